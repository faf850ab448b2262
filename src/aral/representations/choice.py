"""Which representation serves, from images without labels: by size and colour, or by what a view of an image keeps.

Where size and colour do not decide, pixels and a backbone are compared by the **agreement** of neighbours across
views: the share of the nearest neighbours of an image that its central crop has too. Pixels have to be clearly ahead.
How well that predicts the more accurate representation is measured in docs/representations.md.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float32, Int64
from PIL import Image

from aral.data.decode import Channels, shows_colour, square
from aral.data.unreadable import Refused
from aral.randomness import Stream
from aral.representations.backbone import Backbone, FeaturePart
from aral.representations.extraction import ORIGINAL, Images, extract_features, view_of
from aral.representations.feature_cache import FeatureCache
from aral.representations.gradients import oriented_gradients
from aral.representations.projection import fit_projection, project
from aral.representations.settings import PIXELS, backbone_by_size

SAMPLE = 256
"""Images that are compared where the agreement decides."""

SMALL_SAMPLE = 128
"""Images by which size and colour are found, and for which the agreement is reported where these decide."""

MARGIN = 0.1
"""How far the agreement of pixels has to be ahead for them to be chosen."""

NEIGHBOURS = 5
CENTRE = "crop-5"
"""The view. Corners are no use: oriented gradients lose an image that is shifted by an eighth, and still serve."""

_COMPONENTS = 64
_SMALLEST_SIDE, _LARGEST_SIDE = 8, 64
_COLOUR_SIDE = 64
_LEAST = NEIGHBOURS + 2

_Pair: TypeAlias = tuple[Float32[np.ndarray, "n c"], Float32[np.ndarray, "n c"]]
"""Vectors of images, and of a view of each."""


@dataclass(frozen=True)
class Facts:
    """What a choice rests on.

    Attributes:
        images: how many were compared.
        side: the median of their shorter sides, in pixels.
        channels: 3 if one of them shows colour, else 1.
        pixels: agreement of oriented gradients, in [0, 1]; None with too few images.
        backbone: agreement of the backbone's features; likewise.
    """

    images: int
    side: int
    channels: Channels
    pixels: float | None
    backbone: float | None


@dataclass(frozen=True)
class Choice:
    """A representation, and why.

    Attributes:
        backbone: its name, or ``"pixels"``.
        reason: for the terminal and the record of a run, without a full stop.
        facts: what it rests on; None where the images were not looked at.
    """

    backbone: str
    reason: str
    facts: Facts | None = None


def choose_backbone(
    images: Images,
    backbone: Backbone,
    cache: FeatureCache,
    stream: Stream,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Choice:
    """A backbone or pixels, for images of which a sample is read.

    Images that cannot be read are passed over. Features go through the cache, so a second call is quick.

    Args:
        images: to choose for, without labels.
        backbone: the one in question.
        cache: of this backbone.
        stream: draws the sample.
        progress: given the number of images done, and of all in this call.
    """
    order = np.argsort(stream.uniform(np.arange(len(images), dtype=np.int64)), kind="stable")
    seen = _look(images, order[:SMALL_SAMPLE], backbone.framing.enough)
    if not seen:
        return Choice(PIXELS, "no image of the sample can be read")
    side = round(float(np.median([each.side for each in seen.values()])))
    channels: Channels = 3 if any(each.colour for each in seen.values()) else 1
    decided = backbone_by_size(side, channels)
    if decided is not None and decided != PIXELS:
        decided = backbone.name
    if decided is None:
        seen |= _look(images, order[SMALL_SAMPLE:SAMPLE], backbone.framing.enough)
    kind = f"{'colour' if channels == 3 else 'grey'} images of {side} pixels"
    if len(seen) < _LEAST:
        reason = kind if decided is not None else f"{kind}, too few to compare"
        return Choice(decided or backbone.name, reason, Facts(len(seen), side, channels, None, None))
    on_features = view_agreement(*_features(images, sorted(seen), backbone, cache, progress))
    on_pixels = view_agreement(*_gradients([seen[each] for each in sorted(seen)], side))
    facts = Facts(len(seen), side, channels, on_pixels, on_features)
    chosen = decided or (PIXELS if on_pixels - on_features > MARGIN else backbone.name)
    shares = f"{100 * on_features:.0f} % with {backbone.name}, {100 * on_pixels:.0f} % from pixels"
    return Choice(chosen, f"{kind}; neighbours agree across views for {shares}", facts)


def view_agreement(
    originals: Float32[np.ndarray, "N c"], views: Float32[np.ndarray, "N c"], neighbours: int = NEIGHBOURS
) -> float:
    """The share of an image's nearest neighbours that its view has too, on average, in [0, 1].

    Neighbours are other originals, by Euclidean distance. Vectors without any structure give about k / (N − 1).

    Args:
        originals: vectors of the images.
        views: vectors of a view of each, in the same order.
        neighbours: k, below N − 1.
    """
    of_originals, of_views = (_nearest(vectors, originals, neighbours) for vectors in (originals, views))
    shared = (of_originals[:, :, None] == of_views[:, None, :]).any(axis=2)
    return float(shared.mean())


def _nearest(
    vectors: Float32[np.ndarray, "N c"], originals: Float32[np.ndarray, "N c"], count: int
) -> Int64[np.ndarray, "N k"]:
    """The nearest originals of each vector, without the one of its own row."""
    queries, found = vectors.astype(np.float64), originals.astype(np.float64)
    distances = (found**2).sum(axis=1)[None] - 2 * queries @ found.T
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1, kind="stable")[:, :count]


def _features(
    images: Images,
    sample: Sequence[int],
    backbone: Backbone,
    cache: FeatureCache,
    progress: Callable[[int, int], None],
) -> _Pair:
    """Leading components of the backbone's features: of the images, and of their central crops."""
    found = extract_features(
        images,
        backbone,
        cache,
        views=(ORIGINAL, CENTRE),
        order=sample,
        progress=lambda done: progress(done, len(sample)),
    )
    originals, views = (cache.rows(found.rows(sample, view)) for view in (ORIGINAL, CENTRE))
    return _components(originals, views, backbone.parts)


def _gradients(seen: Sequence[_Seen], side: int) -> _Pair:
    """The same of oriented gradients, half whitened as the neighbour graph of a pool has them."""
    size = (max(_SMALLEST_SIDE, min(side, _LARGEST_SIDE)),) * 2
    pixels = np.stack([[np.asarray(_resized(each, size)) for each in image.squares] for image in seen])
    rows = torch.from_numpy(pixels.transpose(1, 0, 4, 2, 3).astype(np.float32) / 255)
    whole, centre = (oriented_gradients(images).numpy() for images in rows)
    originals, views = _components(whole, centre)
    spread = originals.std(axis=0)
    root = np.sqrt(np.where(spread > 0, spread, 1.0))
    return originals / root, views / root


def _components(
    originals: Float32[np.ndarray, "n F"],
    views: Float32[np.ndarray, "n F"],
    parts: Sequence[FeaturePart] = (),
) -> _Pair:
    projection = fit_projection(originals, min(_COMPONENTS, len(originals) // 2), parts)
    one, other = (project(projection, rows).flatten(1).numpy() for rows in (originals, views))
    return one, other


@dataclass(frozen=True)
class _Seen:
    """What is kept of an image: its size and colour, and small squares of it and of its central crop."""

    side: int
    colour: bool
    squares: tuple[Image.Image, Image.Image]


def _look(images: Images, positions: Int64[np.ndarray, " n"], enough: tuple[int, int]) -> dict[int, _Seen]:
    """The images that can be read, by position."""

    def look(position: int) -> _Seen | None:
        try:
            opened = images.open(position, enough)
        except Refused:
            return None
        side = min(opened.width, opened.height)
        colour = not opened.grey and shows_colour(square(opened.image, _COLOUR_SIDE, 3))
        size = (min(side, _LARGEST_SIDE),) * 2
        whole, centre = (_resized(view_of(opened.image, view), size) for view in (ORIGINAL, CENTRE))
        return _Seen(side, colour, (whole, centre))

    chosen = positions.tolist()
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as threads:
        warnings.simplefilter("ignore")  # Pillow's, of metadata and size, which are checked
        found = dict(zip(chosen, threads.map(look, chosen), strict=True))
    return {position: seen for position, seen in found.items() if seen is not None}


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    image = image.convert("RGB")
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
