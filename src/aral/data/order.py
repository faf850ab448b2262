"""The order in which images are visited, as a function of (stream, position): no state to save."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Int64

from aral.randomness import Stream


class EpochOrder:
    """An endless sequence of ids: one random permutation of all ids after another.

    Each epoch's permutation sorts the ids by a random number of the id, so it depends on the seed, the epoch
    and the ids alone, not on how they were listed.

    Args:
        ids: the ids to visit, at least one.
        stream: decides the permutations.
    """

    def __init__(self, ids: Int64[np.ndarray, " N"], stream: Stream) -> None:
        if ids.size == 0:
            raise ValueError("an order needs at least one id")
        self._ids = np.sort(ids)
        self._stream = stream
        self._epoch = lru_cache(maxsize=2)(self._permutation)

    def take(self, start: int, count: int) -> Int64[np.ndarray, " count"]:
        """The ids at positions ``start`` to ``start + count - 1`` of the endless sequence."""
        size = self._ids.size
        first, last = start // size, (start + count - 1) // size
        pieces = [self._epoch(epoch) for epoch in range(first, last + 1)]
        begin = start - first * size
        return np.concatenate(pieces)[begin : begin + count]

    def _permutation(self, epoch: int) -> Int64[np.ndarray, " N"]:
        keys = self._stream.child("epoch", epoch).uniform(self._ids)
        return self._ids[np.argsort(keys, kind="stable")]
