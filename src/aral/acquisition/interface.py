"""What an acquisition is given, and what it gives back.

An acquisition is a function of a :class:`PoolView`: the learner's outputs on the unlabelled pool, each with
its image id. Scores always mean *higher = label first*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from aral.errors import BadInput
from aral.randomness import Stream
from aral.types import Ids, Selection
from aral.words import counted


class Need(StrEnum):
    """An output of a learner on images that an acquisition may ask for."""

    PROBABILITIES = "probabilities"
    MC_PROBABILITIES = "MC probabilities"
    FEATURES = "features"
    LATENTS = "latents"
    SAMPLER_LOGITS = "sampler logits"
    SYNTHESISED = "synthesised images"
    GROUPS = "groups"
    SPREAD = "labels along the graph"
    PLACES = "places in the graph"


@dataclass(frozen=True, eq=False)
class Predictions:
    """A learner's outputs on images, in eval mode; fields that nobody asked for are ``None``.

    Attributes:
        ids: the images.
        probabilities: N×K, rows sum to one.
        mc_probabilities: N×M×K, M stochastic passes (dropout and noise on, batch norm in eval mode).
        features: N×F, the classifier's last hidden layer.
        latents: N×Z, the mean of q(z|x, C(x)).
        sampler_logits: N, S(z): high = looks labelled. *Not* a score: scores have the opposite sign.
        groups: N×G, probabilities of the groups of images that look alike; rows sum to one.
        spread: N×K, what the labels given so far say of each image along the pool's graph of neighbours; equal
            where no label reaches. What a row's sum lacks of one is the chance of none of the classes.
        places: N×C, the features in which the graph's neighbours are nearest; they stay the same in all rounds.
        synthesised: Q×F, features of images made to be uncertain, the most uncertain first; they are not of
            the N images, and Q is the learner's own.
    """

    ids: Ids
    probabilities: Float[Tensor, "N K"] | None = None
    mc_probabilities: Float[Tensor, "N M K"] | None = None
    features: Float[Tensor, "N F"] | None = None
    latents: Float[Tensor, "N Z"] | None = None
    sampler_logits: Float[Tensor, " N"] | None = None
    synthesised: Float[Tensor, "Q F"] | None = None
    groups: Float[Tensor, "N G"] | None = None
    spread: Float[Tensor, "N K"] | None = None
    places: Float[Tensor, "N C"] | None = None

    def get(self, need: Need) -> Tensor:
        """One output, N×… (or Q×F); raises ``ValueError`` when it was not computed."""
        value: Tensor | None = {
            Need.PROBABILITIES: self.probabilities,
            Need.MC_PROBABILITIES: self.mc_probabilities,
            Need.FEATURES: self.features,
            Need.LATENTS: self.latents,
            Need.SAMPLER_LOGITS: self.sampler_logits,
            Need.SYNTHESISED: self.synthesised,
            Need.GROUPS: self.groups,
            Need.SPREAD: self.spread,
            Need.PLACES: self.places,
        }[need]
        if value is None:
            raise ValueError(f"{need} were not computed; the acquisition must declare them in `needs`")
        return value


@dataclass(frozen=True, eq=False)
class PoolView:
    """All that an acquisition may look at.

    Attributes:
        unlabelled: outputs on the candidates; selections come from here.
        labelled: outputs on the images that are labelled already.
        labelled_classes: their classes, in the order of ``labelled.ids``.
        class_count: K.
    """

    unlabelled: Predictions
    labelled: Predictions
    labelled_classes: Int64[np.ndarray, " n"]
    class_count: int


@runtime_checkable
class Acquisition(Protocol):
    """Chooses the images to label next."""

    @property
    def name(self) -> str:
        """The name under which the strategy is known in tables and on the command line."""
        ...

    @property
    def needs(self) -> frozenset[Need]:
        """The outputs the strategy reads; a learner that cannot supply one is refused before training."""
        ...

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Selection:
        """Choose n distinct images of ``pool.unlabelled``, the most wanted first.

        The result must not depend on the order in which the pool is listed.
        """
        ...


Scores = Float[np.ndarray, " N"]
Describe = Callable[[float], str]


@dataclass(frozen=True)
class TopScores:
    """An acquisition that scores each image by itself and takes the n highest.

    Equal scores are ordered by a random number of the image's id, so that neither the pool's order nor the
    order of ids decides.

    Attributes:
        name: the strategy's name.
        needs: the outputs that ``score`` reads.
        score: pool and stream to one number an image, higher = label first, in the order of the ids.
        describe: a score as a short reason for people.
    """

    name: str
    needs: frozenset[Need]
    score: Callable[[PoolView, Stream], Scores]
    describe: Describe = field(default="score {:.3f}".format)

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Selection:
        """The n unlabelled images with the highest score."""
        scores = self.score(pool, stream.child("score"))
        return top_scores(pool.unlabelled.ids, scores, n, self.name, stream.child("ties"), self.describe)


def top_scores(ids: Ids, scores: Scores, n: int, name: str, stream: Stream, describe: Describe) -> Selection:
    """The n ids with the highest scores, highest first; ties by a random number of the id.

    Raises:
        BadInput: more images are asked for than there are.
        ValueError: a score is not finite.
    """
    check_query_size(n, ids.size)
    if not np.isfinite(scores).all():
        raise ValueError(f"{name}: {(~np.isfinite(scores)).sum()} of {scores.size} scores are not finite")
    order = np.lexsort((stream.uniform(ids), -scores))[:n]
    chosen = scores[order].astype(np.float64)
    return Selection(ids[order], chosen, name, tuple(describe(float(value)) for value in chosen))


def check_query_size(n: int, available: int) -> None:
    """Refuse a query that is larger than the unlabelled pool, or empty.

    Raises:
        BadInput: n is below 1 or above ``available``.
    """
    if n < 1:
        raise BadInput(f"A query asks for at least one image, not {n}.", "Set the query size to 1 or more.")
    if n > available:
        raise BadInput(
            f"The query asks for {counted(n, 'image')} but only {counted(available, 'is', 'are')} unlabelled.",
            f"Set the query size to {available} or less.",
        )


def as_scores(values: Float[Tensor, " N"]) -> Scores:
    """A tensor of scores as NumPy float64."""
    return values.detach().to(torch.float64).numpy()
