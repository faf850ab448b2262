"""Acquisitions that choose the images of a batch together, each choice in view of the earlier ones.

A strategy is one function of a pool in order of id. :class:`JointBatch` makes an acquisition of it: it checks
the query, sorts the pool, and turns rows back into ids, so no result can depend on how the pool is listed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from aral.acquisition.interface import Need, PoolView, Predictions, check_query_size
from aral.randomness import Stream
from aral.types import Selection


@dataclass(frozen=True, eq=False)
class Choice:
    """Rows of a pool in order of id, in the order in which they were chosen.

    Attributes:
        rows: n distinct rows of ``pool.unlabelled``.
        scores: what each row was worth at the moment it was chosen; higher is better.
        reasons: one short sentence a row.
    """

    rows: Int64[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, rows: list[int], scores: list[float], reason: Callable[[float], str]) -> Choice:
        """A choice whose reasons are written from the scores."""
        return cls(
            np.array(rows, dtype=np.int64),
            np.array(scores, dtype=np.float64),
            tuple(reason(score) for score in scores),
        )


Choose = Callable[[PoolView, int, Stream], Choice]


@dataclass(frozen=True)
class JointBatch:
    """An acquisition made of one function that chooses n rows of a pool in order of id.

    Attributes:
        name: the strategy's name.
        needs: the outputs that ``choose`` reads.
        choose: pool (in order of id), n and stream to n distinct rows.
    """

    name: str
    needs: frozenset[Need]
    choose: Choose

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Selection:
        """Choose n distinct unlabelled images.

        Raises:
            BadInput: more images are asked for than there are, or none.
        """
        check_query_size(n, pool.unlabelled.ids.size)
        ordered = in_order_of_id(pool)
        choice = self.choose(ordered, n, stream)
        if choice.rows.size != n:
            raise ValueError(f"{self.name} chose {choice.rows.size} images instead of {n}")
        return Selection(ordered.unlabelled.ids[choice.rows], choice.scores, self.name, choice.reasons)


def in_order_of_id(pool: PoolView) -> PoolView:
    """The same pool with its candidates and its labelled images in ascending order of id."""
    order = np.argsort(pool.labelled.ids)
    return PoolView(
        _sorted(pool.unlabelled), _sorted(pool.labelled), pool.labelled_classes[order], pool.class_count
    )


def _sorted(predictions: Predictions) -> Predictions:
    if (np.diff(predictions.ids) > 0).all():
        return predictions
    return predictions.rows(np.argsort(predictions.ids))


def first_of_best(
    values: Float[np.ndarray, " N"], ties: Float[np.ndarray, " N"], tolerance: float = 0.0
) -> int:
    """The row with the highest value; among equals the one with the lowest random number.

    Args:
        values: rows that may not be taken hold −∞; at least one may.
        ties: a random number of each row's id.
        tolerance: values this close to the highest count as equal.
    """
    best = np.flatnonzero(values >= values.max() - tolerance)
    return int(best[ties[best].argmin()])
