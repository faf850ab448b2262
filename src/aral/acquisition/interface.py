"""The interface of all acquisitions, and the two classes that most of them are made of.

An acquisition is a function of a :class:`PoolView`: the learner's outputs on the unlabelled pool, each with
its image id. Scores always mean *higher = label first*.

:class:`TopScores` scores each image by itself and takes the n highest. :class:`JointBatch` chooses the images of a
batch together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from aral.errors import BadInput
from aral.plural import counted
from aral.randomness import Stream
from aral.types import Ids, Selection


class Need(StrEnum):
    """An output of a learner that an acquisition may ask for; all but the last have one row an image."""

    PROBABILITIES = "probabilities"
    """N×K, class probabilities; rows sum to one."""
    MC_PROBABILITIES = "mc_probabilities"
    """N×M×K, M passes: each is one draw of the network, with the same dropout masks and noise for all images."""
    FEATURES = "features"
    """N×F, the classifier's last hidden layer."""
    LATENTS = "latents"
    """N×Z, the mean of q(z|x, C(x))."""
    SAMPLER_LOGITS = "sampler_logits"
    """N, S(z): high = probably labelled. *Not* a score: the score has the opposite sign."""
    CLUSTERS = "clusters"
    """N×G, probabilities of the clusters found in pretraining; rows sum to one."""
    PROPAGATED = "propagated"
    """N×K, labels propagated along the pool's neighbour graph; uniform where no label reaches. One minus a row's
    sum is the probability that the image is out of distribution."""
    REPRESENTATION = "representation"
    """N×C, the vectors between which the graph's neighbours are nearest; the same in all rounds."""
    DROPPED_CLASSES = "dropped_classes"
    """N×M, the most probable class in each of M passes with dropout on the features that the classifier reads."""
    MIXING_CHANGES = "mixing_changes"
    """N×E, with how many labelled classes' mean features the most probable class changes when an image's features are
    mixed with them, at E ascending magnitudes of mixing."""
    SYNTHESISED = "synthesised"
    """Q×F, features of images generated to be uncertain, the most uncertain first; not of the N images."""


class Predictions:
    """A learner's outputs on images, in eval mode.

    Args:
        ids: the images.
        outputs: by need; each has the shape stated at :class:`Need`.
        named: further outputs by the value of their need, such as ``features=…``; ``None`` is left out.
    """

    def __init__(
        self, ids: Ids, outputs: Mapping[Need, Tensor] | None = None, **named: Tensor | None
    ) -> None:
        self.ids = ids
        self._outputs = dict(outputs or {})
        self._outputs |= {Need(name): value for name, value in named.items() if value is not None}
        for need, value in self._outputs.items():
            if need is not Need.SYNTHESISED and len(value) != len(ids):
                raise ValueError(f"{need} has {len(value)} rows for {len(ids)} images")
        self._at: Int64[np.ndarray, " N"] | None = None

    @property
    def needs(self) -> frozenset[Need]:
        """The outputs that were computed."""
        return frozenset(self._outputs)

    def get(self, need: Need) -> Tensor:
        """One output of all images, in memory; raises ``ValueError`` when it was not computed."""
        value, at = self.source(need)
        return value if at is None else value[torch.from_numpy(at)]

    def source(self, need: Need) -> tuple[Tensor, Int64[np.ndarray, " N"] | None]:
        """A tensor that holds one output, and the row of each image in it; ``None``: the images are its rows.

        Nothing is copied, so this also serves for a file that is mapped into memory. Raises ``ValueError`` when the
        output was not computed.
        """
        if need not in self._outputs:
            raise ValueError(f"{need} was not computed; the acquisition must declare it in `needs`")
        return self._outputs[need], None if need is Need.SYNTHESISED else self._at

    def rows(self, rows: Int64[np.ndarray, " n"]) -> Predictions:
        """The outputs of some of the images, in the order of the given rows; synthesised ones stay as they are.

        They share the memory of these.
        """
        found = Predictions(self.ids[rows])
        found._outputs = self._outputs
        found._at = rows if self._at is None else self._at[rows]
        return found

    def joined(self, outputs: Mapping[Need, Tensor]) -> Predictions:
        """These outputs and others of the same images."""
        return Predictions(self.ids, {**{need: self.get(need) for need in self._outputs}, **outputs})


@dataclass(frozen=True, eq=False)
class PoolView:
    """All that an acquisition may read.

    Attributes:
        unlabelled: outputs on the images that may be queried.
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
        """The name in tables and on the command line."""
        ...

    @property
    def needs(self) -> frozenset[Need]:
        """The outputs it reads; a learner that cannot supply one is refused before training."""
        ...

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Selection:
        """Choose n distinct images of ``pool.unlabelled``, the most useful first.

        The result must not depend on the order in which the pool is listed.
        """
        ...


BLOCK = 1 << 18
"""Numbers of an output that are converted to float64 at a time: 2 MB, which stay in the processor's cache."""

Scores = Float[np.ndarray, " N"]
Describe = Callable[[float], str]


@dataclass(frozen=True)
class TopScores:
    """An acquisition that scores each image by itself and takes the n highest scores.

    Equal scores are ordered by a random number of the image id, so neither the order of the pool nor the order of
    the ids decides.

    Attributes:
        name: name of the acquisition.
        needs: the outputs that ``score`` reads.
        score: pool and stream to one number an image, higher = label first, in the order of the ids.
        describe: a score as a short reason to show.
        whole_pool: the score of an image also depends on the other images of the pool, as a rank does.
    """

    name: str
    needs: frozenset[Need]
    score: Callable[[PoolView, Stream], Scores]
    describe: Describe = field(default="score {:.3f}".format)
    whole_pool: bool = False

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Selection:
        """The n unlabelled images with the highest score."""
        scores = self.score(pool, stream.child("score"))
        return top_scores(pool.unlabelled.ids, scores, n, self.name, stream.child("ties"), self.describe)


def top_scores(ids: Ids, scores: Scores, n: int, name: str, stream: Stream, describe: Describe) -> Selection:
    """The n ids with the highest scores, highest first; ties are broken by a random number of the id.

    Raises:
        BadInput: n is below 1 or above the number of images.
        ValueError: a score is not finite.
    """
    check_query_size(n, ids.size)
    if not np.isfinite(scores).all():
        raise ValueError(f"{name}: {(~np.isfinite(scores)).sum()} of {scores.size} scores are not finite")
    # Only the n highest are sorted, and what equals the last of them.
    high = np.flatnonzero(scores >= np.partition(scores, scores.size - n)[scores.size - n])
    order = high[np.lexsort((stream.uniform(ids[high]), -scores[high]))[:n]]
    chosen = scores[order].astype(np.float64)
    return Selection(ids[order], chosen, name, tuple(describe(float(value)) for value in chosen))


@dataclass(frozen=True, eq=False)
class Choice:
    """Rows of a pool that is sorted by id, in the order in which they were chosen.

    Attributes:
        rows: n distinct rows of ``pool.unlabelled``.
        scores: the score of each row when it was chosen; higher = label first.
        reasons: one short sentence a row.
    """

    rows: Int64[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, rows: list[int], scores: list[float], reason: Describe) -> Choice:
        """A choice whose reasons are written from the scores."""
        return cls(
            np.array(rows, dtype=np.int64),
            np.array(scores, dtype=np.float64),
            tuple(reason(score) for score in scores),
        )


@dataclass(frozen=True)
class JointBatch:
    """An acquisition that chooses the images of a batch together, each in view of the earlier ones.

    ``choose`` works with row numbers. This class sorts the pool by id before and turns rows into ids afterwards, so
    the result cannot depend on the order in which the pool is listed.

    Attributes:
        name: name of the acquisition.
        needs: the outputs that ``choose`` reads.
        choose: pool (sorted by id), n and stream to n distinct rows.
    """

    name: str
    needs: frozenset[Need]
    choose: Callable[[PoolView, int, Stream], Choice]

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Selection:
        """Choose n distinct unlabelled images.

        Raises:
            BadInput: n is below 1 or above the number of images.
        """
        check_query_size(n, pool.unlabelled.ids.size)
        ordered = sorted_by_id(pool)
        choice = self.choose(ordered, n, stream)
        if choice.rows.size != n:
            raise ValueError(f"{self.name} chose {choice.rows.size} images instead of {n}")
        return Selection(ordered.unlabelled.ids[choice.rows], choice.scores, self.name, choice.reasons)


def sorted_by_id(pool: PoolView) -> PoolView:
    """The same pool, its unlabelled and its labelled images in ascending order of id."""
    order = np.argsort(pool.labelled.ids)
    return PoolView(
        _sorted(pool.unlabelled), _sorted(pool.labelled), pool.labelled_classes[order], pool.class_count
    )


def _sorted(predictions: Predictions) -> Predictions:
    if (np.diff(predictions.ids) > 0).all():
        return predictions
    return predictions.rows(np.argsort(predictions.ids))


def argmax_with_ties(
    values: Float[np.ndarray, " N"], ties: Float[np.ndarray, " N"], tolerance: float = 0.0
) -> int:
    """The row with the highest value; among equal values the one with the lowest random number.

    Args:
        values: −∞ for rows that may not be chosen; at least one row may be.
        ties: a random number of each row's id.
        tolerance: values this close to the highest count as equal.
    """
    best = np.flatnonzero(values >= values.max() - tolerance)
    return int(best[ties[best].argmin()])


def check_query_size(n: int, available: int) -> None:
    """Refuse an empty query, and one that is larger than the unlabelled pool.

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


def scores_by_block(values: Tensor, score: Callable[[Tensor], Float[Tensor, " n"]]) -> Scores:
    """The score of each row of an output, computed in float64 for :data:`BLOCK` numbers at a time.

    Args:
        values: N×…, of any precision; may be mapped from a file.
        score: some rows in float64 to one number each.
    """
    parts = [as_scores(score(part.detach().double())) for part in blocks_of(values)]
    return np.concatenate(parts) if parts else np.empty(0)


def blocks_of(values: Tensor) -> Iterator[Tensor]:
    """All rows of a tensor, :data:`BLOCK` numbers at a time."""
    rows = max(1, BLOCK // max(1, values[:1].numel()))
    for start in range(0, len(values), rows):
        yield values[start : start + rows]
