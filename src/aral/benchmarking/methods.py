"""Methods by name: a learner and an acquisition, written ``learner+acquisition``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch

from aral.acquisition import ACQUISITIONS, is_user_defined, make_acquisition
from aral.errors import BadInput, unknown_name
from aral.learners.ablations import generated_only, no_active_learning, no_encoder
from aral.learners.aral import aral
from aral.learners.bgadl import bgadl
from aral.learners.few_labels import few_labels
from aral.learners.interface import Learner
from aral.learners.no_co_training import no_co_training
from aral.learners.semi_supervised import consistency, pseudo_label
from aral.learners.spec import Model, Objective
from aral.learners.supervised import supervised
from aral.learners.vaal import vaal
from aral.networks import ImageShape
from aral.randomness import Stream
from aral.types import ImageSet


@dataclass(frozen=True)
class Making:
    """What a learner is made from; see :func:`aral.learners.aral.aral`."""

    model: Model
    image_shape: ImageShape
    class_count: int
    stream: Stream
    device: torch.device


Make: TypeAlias = Callable[[Making], Learner]
Plain: TypeAlias = Callable[[Model, ImageShape, int, Stream, torch.device], Learner]
WithObjective: TypeAlias = Callable[[Model, Objective, ImageShape, int, Stream, torch.device], Learner]


def _plain(new: Plain) -> Make:
    return lambda of: new(of.model, of.image_shape, of.class_count, of.stream, of.device)


def _trained_by(new: WithObjective, objective: Objective) -> Make:
    return lambda of: new(of.model, objective, of.image_shape, of.class_count, of.stream, of.device)


LEARNERS: dict[str, Make] = {
    "aral": _plain(few_labels),
    "supervised": _plain(supervised),
    "pseudo-label": _plain(pseudo_label),
    "consistency": _plain(consistency),
    "vaal": _plain(vaal),
    "bgadl": _plain(bgadl),
    "aral-paper": _trained_by(aral, Objective.PAPER),
    "aral-released": _trained_by(aral, Objective.RELEASED),
    "aral-no-active": _trained_by(no_active_learning, Objective.RELEASED),
    "aral-no-encoder": _trained_by(no_encoder, Objective.RELEASED),
    "aral-paper-no-active": _trained_by(no_active_learning, Objective.PAPER),
    "aral-paper-no-encoder": _trained_by(no_encoder, Objective.PAPER),
    "no-co-training": _plain(no_co_training),
    "generated-only": _plain(generated_only),
}

OWN_ACQUISITION = {
    "aral": "aral-graph",
    "supervised": "random",
    "pseudo-label": "least-confidence",
    "consistency": "random",
    "vaal": "vaal",
    "bgadl": "bald",
    "aral-paper": "aral",
    "aral-released": "aral",
    "aral-no-active": "random",
    "aral-no-encoder": "bald",
    "aral-paper-no-active": "random",
    "aral-paper-no-encoder": "bald",
    "no-co-training": "vaal",
    "generated-only": "aral",
}
"""The acquisition of a method that names only its learner."""

SHORT_NAMES = {
    "random": "supervised+random",
    "no-active-learning": "aral-no-active+random",
    "no-encoder": "aral-no-encoder+bald",
    "ceal": "pseudo-label+least-confidence",
}


@dataclass(frozen=True)
class Method:
    """A learner and an acquisition by name."""

    learner: str
    acquisition: str

    @classmethod
    def parse(cls, text: str) -> Method:
        """Read ``learner+acquisition``, a learner alone, or a short name such as ``random``.

        An acquisition ``module:NAME`` is taken as it is, and imported when it is run.

        Raises:
            BadInput: a part is unknown; the nearest name is suggested.
        """
        learner, plus, chosen = SHORT_NAMES.get(text, text).partition("+")
        if learner not in LEARNERS:
            if plus and learner in SHORT_NAMES:
                whole = SHORT_NAMES[learner]
                example = f"{whole.partition('+')[0]}+{chosen or 'random'}"
                raise BadInput(f"'{learner}' is short for '{whole}', a whole method.", f"Try '{example}'.")
            raise unknown_name("method", learner, [*LEARNERS, *SHORT_NAMES])
        if plus and not chosen:
            raise BadInput(f"Method '{text}' names no acquisition after '+'.", f"Try '{learner}+random'.")
        if chosen and not is_user_defined(chosen):
            make_acquisition(chosen)
        return cls(learner, chosen or OWN_ACQUISITION[learner])

    def __str__(self) -> str:
        return f"{self.learner}+{self.acquisition}"


def make_learner(
    name: str, model: Model, pool: ImageSet, class_count: int, stream: Stream, device: str = "cpu"
) -> Learner:
    """A new learner by name.

    Args:
        name: one of :data:`LEARNERS`.
        model: networks and settings of training.
        pool: the images it will see; only their shape is used.
        class_count: K.
        stream: decides the initial weights.
        device: where to compute, as PyTorch names it.

    Raises:
        BadInput: there is none of this name, or the networks cannot take images of this shape.
    """
    if name not in LEARNERS:
        raise unknown_name("learner", name, LEARNERS)
    return LEARNERS[name](Making(model, pool.shape, class_count, stream, torch.device(device)))


__all__ = ["ACQUISITIONS", "LEARNERS", "SHORT_NAMES", "Making", "Method", "make_learner"]
