"""Methods by name: a learner and an acquisition, written ``learner+acquisition``."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from pydantic import ValidationError

from aral.acquisition import ACQUISITIONS, is_user_defined, make_acquisition
from aral.benchmarking.auto import (
    AUTO,
    AUTO_METHOD,
    AUTO_METHOD_ON_FEATURES,
    AUTO_REASON,
    AUTO_REASON_ON_FEATURES,
)
from aral.benchmarking.variations import named
from aral.errors import BadInput, unknown_name
from aral.learners import DEFAULT_ACQUISITION, LEARNERS, Learner, LearnerSettings, Task, variant_settings
from aral.networks import ImageShape
from aral.parallel import ALONE, Group
from aral.randomness import Stream
from aral.representations.settings import PIXELS
from aral.types import ImageSet

SHORT_NAMES = {"ceal": "pseudo-label+least-confidence"}
"""Methods of the literature with a name of their own."""


@dataclass(frozen=True)
class Method:
    """A learner and an acquisition by name.

    Attributes:
        learner: a learner with its variants, such as ``aral:released:no-sampler``; ``auto`` until :meth:`on` is called.
        acquisition: one of the acquisitions, or ``module:NAME``; ``auto`` likewise.
        reason: why it was chosen, where the name was ``auto``; empty otherwise.
        varied: single settings in which a grid compares it with itself; a part of its name.
    """

    learner: str
    acquisition: str
    reason: str = field(default="", compare=False)
    varied: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Method:
        """Read ``learner+acquisition``, a learner, an acquisition (of the supervised learner), or ``auto``.

        A learner may name variants: ``aral:no-sampler``. An acquisition ``module:NAME`` is taken as it is, and
        imported when it is run.

        Raises:
            BadInput: a part is unknown; the nearest learner, acquisition or combination is suggested.
        """
        if text == AUTO:
            return cls(AUTO, AUTO)
        learner, plus, acquisition = SHORT_NAMES.get(text, text).partition("+")
        name, _, variants = learner.partition(":")
        if learner != AUTO and name not in LEARNERS:
            if learner in ACQUISITIONS and not plus:
                return cls("supervised", learner)
            if learner in ACQUISITIONS:
                raise BadInput(
                    f"'{learner}' is an acquisition, not a learner.", f"Try 'supervised+{learner}'."
                )
            raise _unknown(text)
        variant_names = tuple(part.strip() for part in variants.split(":") if part.strip())
        title = AUTO if learner == AUTO else _title(name, variant_names)
        if plus and not acquisition:
            raise BadInput(f"Method '{text}' names no acquisition after '+'.", f"Try '{title}+random'.")
        if acquisition and not is_user_defined(acquisition):
            if acquisition not in ACQUISITIONS:
                raise _unknown(text)
        return cls(title, acquisition or _default_acquisition(title))

    def on(self, representation: str) -> Method:
        """The method by name that ``auto`` stands for, with the reason; any other method as it is.

        Args:
            representation: what is read: pixels, or a backbone by name.
        """
        if self.learner != AUTO:
            return self
        on_pixels = representation == PIXELS
        chosen = Method.parse(AUTO_METHOD if on_pixels else AUTO_METHOD_ON_FEATURES)
        acquisition = chosen.acquisition if self.acquisition == AUTO else self.acquisition
        return Method(chosen.learner, acquisition, AUTO_REASON if on_pixels else AUTO_REASON_ON_FEATURES)

    @property
    def learner_name(self) -> str:
        """The learner without its variants."""
        return self.learner.partition(":")[0]

    @property
    def variants(self) -> tuple[str, ...]:
        """The learner's variants."""
        variants = self.learner.partition(":")[2]
        return tuple(variants.split(":")) if variants else ()

    def __str__(self) -> str:
        return AUTO if self.acquisition == AUTO else f"{self.learner}+{self.acquisition}{named(self.varied)}"


def _title(name: str, variants: tuple[str, ...]) -> str:
    """The learner with its variants in a fixed order, default ones left out."""
    known = LEARNERS[name].VARIANTS
    for variant in variants:
        if variant not in known:
            if not known:
                raise BadInput(f"Learner '{name}' has no variants.", f"Write '{name}'.")
            raise unknown_name(f"variant of '{name}'", variant, known)
    chosen = variant_settings(name, variants)
    if any(chosen[setting] != value for variant in variants for setting, value in known[variant].items()):
        raise BadInput(
            f"The variants of '{name}:{':'.join(variants)}' contradict each other.", "Name one of them."
        )
    try:
        return LEARNERS[name].model_validate({"name": name, **chosen}).title
    except ValidationError as error:
        raise BadInput(
            f"The variants of '{name}:{':'.join(variants)}' do not fit together: "
            f"{error.errors()[0]['msg'].removeprefix('Value error, ')}.",
            "Name one of them.",
        ) from error


def _default_acquisition(title: str) -> str:
    name, _, variants = title.partition(":")
    of_variants = [DEFAULT_ACQUISITION.get(f"{name}:{variant}") for variant in reversed(variants.split(":"))]
    return next((found for found in of_variants if found), DEFAULT_ACQUISITION[name])


def learner_titles() -> list[str]:
    """Every learner, and every learner with one of its variants."""
    titles: dict[str, None] = {}
    for name, settings in LEARNERS.items():
        titles[name] = None
        for variant in settings.VARIANTS:
            titles[_title(name, (variant,))] = None
    return list(titles)


def _unknown(text: str) -> BadInput:
    """An error with the nearest learner, acquisition or combination of both."""
    _, plus, _ = text.partition("+")
    written = [f"{name}:{variant}" for name, settings in LEARNERS.items() for variant in settings.VARIANTS]
    learners = [*LEARNERS, *written]
    simple = [*learners, *ACQUISITIONS, *SHORT_NAMES, AUTO]
    combined = [f"{learner}+{name}" for learner in learners for name in ACQUISITIONS]
    nearest = unknown_name("method", text, combined if plus else simple).hint.partition(" Valid:")[0]
    hint = f"{nearest} " if nearest.startswith("Did you mean") else ""
    return BadInput(
        f"Unknown method '{text}'.", f"{hint}Write learner+acquisition; 'aral list' shows all of both."
    )


def make_learner(
    settings: LearnerSettings,
    pool: ImageSet,
    class_count: int,
    stream: Stream,
    device: str = "cpu",
    group: Group = ALONE,
) -> Learner:
    """A new learner.

    Args:
        settings: of one of the learners.
        pool: the images it will see; only their shape is used.
        class_count: K.
        stream: decides the initial weights.
        device: where to compute, as PyTorch names it.
        group: the processes that train it together.

    Raises:
        BadInput: the networks cannot take images of this shape, or the learner cannot be trained by several processes.
    """
    return settings.build(Task(pool.shape, class_count, stream, torch.device(device), group))


def make_learner_without_weights(settings: LearnerSettings, shape: ImageShape, class_count: int) -> Learner:
    """A learner that allocates no memory: to count its weights, or to ask what it supplies.

    Args:
        settings: of one of the learners.
        shape: channels, height and width of the images.
        class_count: K.

    Raises:
        BadInput: the networks cannot take images of this shape.
    """
    device = torch.device("meta")
    with device:
        return settings.build(Task(shape, class_count, Stream.root(0), device))


def check_acquisition_name(name: str) -> None:
    """Refuse an acquisition that does not exist; one of the user's own is not imported.

    Raises:
        BadInput: suggests the nearest name.
    """
    if not is_user_defined(name):
        make_acquisition(name)
