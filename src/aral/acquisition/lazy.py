"""The highest of many values that are costly to compute and can only fall: lazy greedy evaluation (Minoux 1978).

In a greedy algorithm that adds one image at a time, what another image would add, or its distance to the nearest one
that was added, can only become smaller. So a value that was computed earlier is an upper bound of the present one, and
a value has to be computed again only while its bound is among the highest. The result is that of computing all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64

from aral.acquisition.interface import argmax_with_ties

_LEADERS = 4096


class LazyMaximum:
    """Values of N rows, of which upper bounds are known.

    The rows with the highest bounds, the leaders, are kept apart, so that a step does not sort all rows.

    Args:
        bounds: an upper limit of each value, N; lowered in place to values that are computed. −∞ removes a row.
        compute: the present values of some rows.
        ties: a random number of each row, which decides between equal values.
        tolerance: values this close are equal.
        nothing: rows with a bound of at most this are not computed any more.
        block: how many values are computed first; then twice as many, and so on.
    """

    def __init__(
        self,
        bounds: Float64[np.ndarray, " N"],
        compute: Callable[[Int64[np.ndarray, " m"]], Float64[np.ndarray, " m"]],
        ties: Float64[np.ndarray, " N"],
        tolerance: float = 0.0,
        nothing: float = -np.inf,
        block: int = 64,
    ) -> None:
        self.bounds = bounds
        self._compute = compute
        self._ties = ties
        self._tolerance = tolerance
        self._nothing = nothing
        self._block = block
        self._choose_leaders(1)

    def highest(self, passed_over: int = 0) -> int:
        """The row with the highest value; among equal ones that with the lowest random number.

        Args:
            passed_over: so many of the highest values do not count; fewer than there are rows.
        """
        rank = passed_over + 1
        if rank < self._leaders.size:
            limit = self._settle(self._leaders, rank)
            if limit - self._tolerance > self._outside:
                return self._first(self._leaders, limit)
        everything = np.arange(self.bounds.size)
        found = self._first(everything, self._settle(everything, rank))
        self._choose_leaders(rank)
        return found

    def _settle(self, rows: Int64[np.ndarray, " m"], rank: int) -> float:
        """Compute until the ``rank`` highest values of these rows are known; the last of them."""
        order = rows[np.argsort(-self.bounds[rows], kind="stable")]
        start, size = 0, self._block + rank - 1
        limit = -np.inf
        while start < order.size and self.bounds[order[start]] > self._nothing:
            if start >= rank and self.bounds[order[start]] < limit - self._tolerance:
                break
            block = order[start : start + size]
            block = block[self.bounds[block] > -np.inf]
            self.bounds[block] = np.minimum(self.bounds[block], self._compute(block))
            start, size = start + size, 2 * size
            limit = _ranked(self.bounds[order[:start]], rank)
        return _ranked(self.bounds[rows], rank)

    def _first(self, rows: Int64[np.ndarray, " m"], limit: float) -> int:
        values = self.bounds[rows]
        values = np.where(values > limit, -np.inf, values)
        return int(rows[argmax_with_ties(values, self._ties[rows], self._tolerance)])

    def _choose_leaders(self, rank: int) -> None:
        count, size = max(_LEADERS, 4 * rank), self.bounds.size
        if size <= count:
            self._leaders, self._outside = np.arange(size), -np.inf
            return
        order = np.argpartition(self.bounds, size - count)
        self._leaders = np.sort(order[size - count :])
        self._outside = float(self.bounds[order[: size - count]].max())


def _ranked(values: Float64[np.ndarray, " m"], rank: int) -> float:
    """The value that ``rank`` − 1 others precede; the lowest if there are fewer."""
    place = max(0, values.size - rank)
    return float(np.partition(values, place)[place])
