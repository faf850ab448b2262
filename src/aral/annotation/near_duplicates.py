"""Near-duplicates: images that look alike, by their difference hashes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt64

MOST_DIFFERING_BITS = 4
"""Of the 64 bits of two difference hashes."""

_BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))
"""Start and width of five bands of bits: two hashes within four bits are equal in at least one of them."""

_MOST_PAIRS = 4_000_000


def near_duplicate_groups(
    ids: Int64[np.ndarray, " N"], hashes: Int64[np.ndarray, " N"]
) -> tuple[tuple[int, ...], ...]:
    """Groups of two or more images, each within four bits of the first of its group; every image is in one.

    A group does not grow along chains of small differences, so all its images look alike.

    Args:
        ids: image ids, ascending.
        hashes: their difference hashes.
    """
    kinds, kind_of = np.unique(hashes.view(np.uint64), return_inverse=True)
    first_image = np.full(kinds.size, ids.size)
    np.minimum.at(first_image, kind_of, np.arange(ids.size))
    near = _neighbours(kinds)
    leader = np.full(kinds.size, -1)
    for kind in np.argsort(first_image).tolist():
        if leader[kind] < 0:
            leader[kind] = kind
            alike = near.get(kind, _NONE)
            leader[alike[leader[alike] < 0]] = kind
    members: dict[int, list[int]] = {}
    for image_id, kind in zip(ids.tolist(), kind_of.tolist(), strict=True):
        members.setdefault(int(leader[kind]), []).append(image_id)
    return tuple(tuple(group) for group in members.values() if len(group) > 1)


_NONE = np.empty(0, dtype=np.int64)


def _neighbours(kinds: UInt64[np.ndarray, " K"]) -> dict[int, Int64[np.ndarray, " n"]]:
    """For each distinct hash the others within four bits, as positions; without those that have none."""
    pairs = [_NONE.reshape(0, 2)]
    for start, width in _BANDS:
        band = (kinds >> np.uint64(start)) & np.uint64((1 << width) - 1)
        order = np.argsort(band, kind="stable")
        ends = np.flatnonzero(np.diff(band[order])) + 1
        for bucket in np.split(order, ends):
            if bucket.size > 1:
                pairs.append(_close_pairs(kinds, bucket))
    joined = np.unique(np.concatenate(pairs), axis=0)
    both = np.concatenate([joined, joined[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    sources, starts = np.unique(both[:, 0], return_index=True)
    return dict(zip(sources.tolist(), np.split(both[:, 1], starts[1:]), strict=True)) if sources.size else {}


def _close_pairs(
    kinds: UInt64[np.ndarray, " K"], bucket: Int64[np.ndarray, " b"]
) -> Int64[np.ndarray, "p 2"]:
    """The pairs of a bucket within four bits; a bucket of many is compared in strips."""
    found = []
    strip = max(1, _MOST_PAIRS // bucket.size)
    for start in range(0, bucket.size, strip):
        part = bucket[start : start + strip]
        differing = np.bitwise_count(kinds[part][:, None] ^ kinds[bucket][None])
        rows, columns = np.nonzero(differing <= MOST_DIFFERING_BITS)
        pairs = np.stack([part[rows], bucket[columns]], axis=1)
        found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found)
