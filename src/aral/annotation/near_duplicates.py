"""Near-duplicates: images that look the same although their files differ, as after resizing or encoding again.

Two images are near-duplicates if their difference hashes differ in few of 64 bits and no cell of a coarse grid over
their pixels differs much in brightness or colour. The hash alone is not enough: it sees only where an image gets
brighter, so all plain images, and many sunsets, have the same one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from jaxtyping import Int64, UInt8

DIFFERING_BITS = 2
"""How many of the 64 bits of two difference hashes may differ, in a new project."""

MOST_DIFFERING_BITS = 8

MOST_CELL_DIFFERENCE = 12
"""How much the averages of a cell may differ, of 255. Encoding again changes them by one to three."""

GRID = 8
"""Rows and columns of cells."""

_CHUNK_BYTES = 2**22


def near_duplicate_groups(
    ids: Int64[np.ndarray, " N"],
    hashes: Int64[np.ndarray, " N"],
    cells: UInt8[np.ndarray, "N D"],
    differing_bits: int = DIFFERING_BITS,
) -> tuple[tuple[int, ...], ...]:
    """Groups of two or more images of which every two are near-duplicates; an image is in at most one.

    In the order of the ids, an image joins the first group to all of whose images it is near. So groups never grow
    along chains of small differences, and images that are added later do not change the groups of earlier ones.

    Args:
        ids: image ids, ascending.
        hashes: their difference hashes.
        cells: averages of the cells of their pixels, from :func:`cell_averages`.
        differing_bits: how many bits of two hashes may differ.
    """
    groups = _Groups(cells.shape[1], differing_bits)
    for image_id, hashed, row in zip(ids.tolist(), hashes.view(np.uint64).tolist(), cells, strict=True):
        groups.add(image_id, hashed, row)
    return tuple(tuple(members) for members in groups.members if len(members) > 1)


class _Groups:
    """The groups so far, found by the hash and the brightness of their first image.

    Two hashes that differ in B bits are equal in at least one of B+1 bands of bits. Two images whose cells differ by at
    most D have averages that differ by at most D, so their brightness is equal or next to each other in steps of D.
    """

    def __init__(self, cells: int, differing_bits: int) -> None:
        self.members: list[list[int]] = []
        self._hashes: list[set[int]] = []
        self._lowest = np.empty((0, cells), np.int16)
        self._highest = np.empty((0, cells), np.int16)
        self._differing_bits = differing_bits
        edges = np.linspace(0, 64, differing_bits + 2).astype(int).tolist()
        self._bands = [(start, (1 << (end - start)) - 1) for start, end in pairwise(edges)]
        self._found: dict[tuple[int, int, int], list[int]] = defaultdict(list)

    def add(self, image_id: int, hashed: int, cells: UInt8[np.ndarray, " D"]) -> None:
        """Put an image into the first group that fits, or a group of its own."""
        row = cells.astype(np.int16)
        brightness = int(row.mean()) // (MOST_CELL_DIFFERENCE + 1) if row.size else 0
        group = self._fitting(hashed, row, brightness)
        if group is None:
            self._begin(image_id, hashed, row, brightness)
            return
        self.members[group].append(image_id)
        self._hashes[group].add(hashed)
        np.minimum(self._lowest[group], row, out=self._lowest[group])
        np.maximum(self._highest[group], row, out=self._highest[group])

    def _fitting(self, hashed: int, row: np.ndarray, brightness: int) -> int | None:
        keys = (
            (*band, step) for band in self._values(hashed) for step in range(brightness - 1, brightness + 2)
        )
        candidates = sorted({group for key in keys for group in self._found.get(key, ())})
        if not candidates:
            return None
        # The largest difference within a group is that of its extremes, so these tell for all its images.
        spread = np.maximum(self._highest[candidates], row) - np.minimum(self._lowest[candidates], row)
        fits = (spread <= MOST_CELL_DIFFERENCE).all(axis=1)
        for group in np.array(candidates)[fits].tolist():
            if all((hashed ^ other).bit_count() <= self._differing_bits for other in self._hashes[group]):
                return int(group)
        return None

    def _begin(self, image_id: int, hashed: int, row: np.ndarray, brightness: int) -> None:
        number = len(self.members)
        if number == len(self._lowest):
            room = np.zeros((max(64, number), row.size), np.int16)
            self._lowest = np.concatenate([self._lowest, room])
            self._highest = np.concatenate([self._highest, room])
        self._lowest[number] = self._highest[number] = row
        self.members.append([image_id])
        self._hashes.append({hashed})
        for band in self._values(hashed):
            self._found[*band, brightness].append(number)

    def _values(self, hashed: int) -> Iterator[tuple[int, int]]:
        """Number and value of each band of bits."""
        return ((number, hashed >> start & mask) for number, (start, mask) in enumerate(self._bands))


def cell_averages(pixels: UInt8[np.ndarray, "N C side side"]) -> UInt8[np.ndarray, "N D"]:
    """The averages of the cells of a grid over the pixels, of each channel; 8 by 8 cells, fewer for smaller images."""
    count, channels, side, _ = pixels.shape
    grid = min(GRID, side)
    edges = np.linspace(0, side, grid + 1).astype(np.int64)
    areas = np.multiply.outer(np.diff(edges), np.diff(edges))
    averages = np.empty((count, channels, grid, grid), np.uint8)
    step = max(1, _CHUNK_BYTES // max(1, channels * side * side * 4))
    for start in range(0, count, step):
        part = pixels[start : start + step].astype(np.uint32)
        sums = np.add.reduceat(np.add.reduceat(part, edges[:-1], axis=2), edges[:-1], axis=3)
        averages[start : start + step] = np.rint(sums / areas)
    return averages.reshape(count, -1)
