"""Batches as a function of the step: which images, and their pixels in the range that the networks read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from aral.parallel import WHOLE, Part
from aral.randomness import Stream
from aral.types import ImageSet, LabelledBatch, LabelledSet, UnlabelledBatch, one_hot

_Batch = TypeVar("_Batch", LabelledBatch, UnlabelledBatch)


class EpochOrder:
    """An endless sequence of ids: one random permutation of all ids after another.

    The permutation of an epoch sorts the ids by a random number of the id, so it depends only on the stream, the
    epoch and the set of ids.

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


def to_unit(pixels: UInt8[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
    """Pixels 0..255 as float32 in [0, 1]."""
    return pixels.float().div_(255.0)


def to_symmetric(pixels: UInt8[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
    """Pixels 0..255 as float32 in [-1, 1]."""
    return pixels.float().div_(127.5).sub_(1.0)


def gather(images: ImageSet, ids: Int64[np.ndarray, " n"], symmetric: bool) -> Float[Tensor, "n C H W"]:
    """The images with these ids, in this order, as floats; features as they are, whatever the range.

    Args:
        images: any set of the pool.
        ids: ids of the pool; repetitions are allowed.
        symmetric: scale to [-1, 1] instead of [0, 1].
    """
    rows = images.pixels[torch.from_numpy(ids)]
    if images.is_features:
        return rows
    return to_symmetric(rows) if symmetric else to_unit(rows)


def chunks(
    images: ImageSet, size: int, symmetric: bool
) -> Iterator[tuple[Int64[np.ndarray, " n"], Float[Tensor, "n C H W"]]]:
    """All images in order of id, at most ``size`` at a time, with their ids: for scoring and evaluation."""
    for start in range(0, len(images), size):
        ids = images.ids[start : start + size]
        yield ids, gather(images, ids, symmetric)


class LabelledBatches:
    """Labelled batches as a function of the step.

    Args:
        labelled: at least one labelled image.
        size: images a batch; a set smaller than this is repeated, each image equally often.
        symmetric: the range of the images, [-1, 1] or [0, 1].
        stream: decides the order.
        part: which images of each batch are given.
    """

    def __init__(
        self, labelled: LabelledSet, size: int, symmetric: bool, stream: Stream, part: Part = WHOLE
    ) -> None:
        self._labelled = labelled
        self._size = size
        self._symmetric = symmetric
        self._part = part
        self._order = EpochOrder(labelled.ids, stream)

    def __call__(self, step: int) -> LabelledBatch:
        """The batch of a training step, counted from 0."""
        ids = self._order.take(step * self._size, self._size)[self._part.rows]
        rows = np.searchsorted(self._labelled.ids, ids)
        class_probs = one_hot(self._labelled.classes[rows], self._labelled.class_count)
        return LabelledBatch(ids, gather(self._labelled.images, ids, self._symmetric), class_probs)


class UnlabelledBatches:
    """Unlabelled batches as a function of the step; arguments as for :class:`LabelledBatches`."""

    def __init__(
        self, unlabelled: ImageSet, size: int, symmetric: bool, stream: Stream, part: Part = WHOLE
    ) -> None:
        self._unlabelled = unlabelled
        self._size = size
        self._symmetric = symmetric
        self._part = part
        self._order = EpochOrder(unlabelled.ids, stream)

    def __call__(self, step: int) -> UnlabelledBatch:
        """The batch of a training step, counted from 0."""
        ids = self._order.take(step * self._size, self._size)[self._part.rows]
        return UnlabelledBatch(ids, gather(self._unlabelled, ids, self._symmetric))


class Ahead(Generic[_Batch]):
    """Batches on a device, each made and sent by a thread while the step before it is computed.

    For GPUs: on a processor the thread would take a core from the step. The batches are the same.

    Args:
        batches: a batch as a function of the step.
        device: where they go.
    """

    def __init__(self, batches: Callable[[int], _Batch], device: torch.device) -> None:
        self._batches: Callable[[int], _Batch] = batches
        self._device = device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: tuple[int, Future[_Batch]] | None = None

    def __call__(self, step: int) -> _Batch:
        """The batch of a training step; that of the next step is begun."""
        begun = self._next
        found = begun[1] if begun is not None and begun[0] == step else self._begin(step)
        batch = found.result()
        self._next = (step + 1, self._begin(step + 1))
        return batch

    def _begin(self, step: int) -> Future[_Batch]:
        return self._thread.submit(lambda: self._batches(step).to(self._device))
