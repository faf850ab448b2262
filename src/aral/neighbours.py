"""Nearest neighbours of vectors: exact by blocks of distances, or approximate by an index of FAISS.

The exact search compares all pairs, in bounded memory. The approximate one (``pip install 'aral[neighbours]'``) groups
the vectors into cells by k-means and searches the cells nearest to a vector (an inverted file, Sivic & Zisserman 2003;
FAISS, Douze et al. 2024). How many cells are searched is doubled until the wanted recall is reached on a sample whose
neighbours are computed exactly, so recall is measured, not assumed.
"""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from aral.errors import BadInput
from aral.randomness import Stream

_CHUNK_BYTES = 2**28
_SAMPLE = 1000
_FIRST_PROBED = 4
_FITTED_EACH = 64
_CELLS_PER_ROOT = 2
_SEARCHED = 10_000


class Neighbours(NamedTuple):
    """The nearest other rows of each row, the nearest first."""

    rows: Int64[np.ndarray, "N k"]
    """Rows of the k neighbours."""
    distances: Float64[np.ndarray, "N k"]
    """Euclidean distances to them."""
    recall: float
    """The share of the true neighbours that were found, of a sample of rows; 1 of an exact search."""


def find_neighbours(features: Float[Tensor, "N F"], count: int, recall: float, stream: Stream) -> Neighbours:
    """The nearest neighbours of each row, exact or approximate.

    Args:
        features: finite numbers in float32, at least two rows.
        count: k; fewer when there are fewer other rows.
        recall: 1: exact. Below 1: by an index that finds at least this share of the neighbours of a sample of 1,000
            rows; a pool that is no larger than the sample is searched exactly.
        stream: decides the sample and the cells of the index.

    Raises:
        BadInput: ``recall`` is below 1 and FAISS is not installed.
    """
    if recall >= 1.0:
        return Neighbours(*nearest_neighbours(features, count), 1.0)
    faiss = require_index()
    if len(features) <= _SAMPLE:
        return Neighbours(*nearest_neighbours(features, count), 1.0)
    return _by_index(faiss, features, count, recall, stream)


def nearest_neighbours(
    features: Float[Tensor, "N F"], count: int
) -> tuple[Int64[np.ndarray, "N k"], Float64[np.ndarray, "N k"]]:
    """The rows of each row's nearest other rows, and their Euclidean distances, the nearest first.

    Exact, by blocks of distances that fit into a quarter of a gigabyte: about half a minute for 60,000 images
    on one core, four times as long for twice as many. A row is never its own neighbour; its exact duplicates
    are.

    Args:
        features: finite numbers, at least two rows.
        count: k; fewer when there are fewer other rows.
    """
    return _exact(features, np.arange(len(features)), min(count, len(features) - 1))


def _exact(
    features: Float[Tensor, "N F"], rows: Int64[np.ndarray, " m"], count: int
) -> tuple[Int64[np.ndarray, "m k"], Float64[np.ndarray, "m k"]]:
    """The neighbours of some rows among all."""
    squares = (features * features).sum(dim=1)
    size = max(1, _CHUNK_BYTES // (4 * len(features)))
    found, lengths = [], []
    for start in range(0, rows.size, size):
        own = torch.from_numpy(rows[start : start + size])
        # |a − b|² without |a|², which does not change the order of a row.
        distances = torch.addmm(squares[None], features[own], features.T, alpha=-2.0)
        distances[torch.arange(len(own)), own] = torch.inf
        nearest = distances.topk(count, dim=1, largest=False)
        found.append(nearest.indices)
        lengths.append((nearest.values + squares[own, None]).clamp(min=0).sqrt())
    return torch.cat(found).numpy(), torch.cat(lengths).double().numpy()


def require_index() -> ModuleType:
    """FAISS, which builds the index.

    Raises:
        BadInput: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the generated bindings
            import faiss
    except ImportError as error:
        raise BadInput(
            "Approximate neighbours need FAISS, which is not installed.",
            "Type: pip install 'aral[neighbours]'. Or search exactly, with a recall of 1.",
        ) from error
    return faiss


def _by_index(
    faiss: ModuleType, features: Float[Tensor, "N F"], count: int, recall: float, stream: Stream
) -> Neighbours:
    total, width = features.shape
    count = min(count, total - 1)
    vectors = np.ascontiguousarray(features.numpy(), dtype=np.float32)
    cells = max(1, round(_CELLS_PER_ROOT * total**0.5))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, cells)
    index.cp.seed = int(stream.child("cells").numpy().integers(2**31))
    index.cp.max_points_per_centroid = _FITTED_EACH
    index.cp.min_points_per_centroid = 1
    index.train(vectors)
    index.add(vectors)
    sample = np.sort(stream.child("sample").numpy().permutation(total)[:_SAMPLE])
    _, true = _exact(features, sample, count)
    index.nprobe = min(_FIRST_PROBED, cells)
    while (reached := _recall(_search(index, vectors, sample, count)[1], true)) < recall:
        if index.nprobe == cells:
            break
        index.nprobe = min(2 * index.nprobe, cells)
    rows = np.empty((total, count), dtype=np.int64)
    distances = np.empty((total, count))
    for start in range(0, total, _SEARCHED):
        part = np.arange(start, min(start + _SEARCHED, total))
        rows[part], distances[part] = _search(index, vectors, part, count)
    short = np.flatnonzero((rows < 0).any(axis=1))
    if short.size:  # too few vectors in the cells that were searched
        rows[short], distances[short] = _exact(features, short, count)
    return Neighbours(rows, distances, reached)


def _search(
    index: object, vectors: np.ndarray, rows: Int64[np.ndarray, " m"], count: int
) -> tuple[Int64[np.ndarray, "m k"], Float64[np.ndarray, "m k"]]:
    """Neighbours of some rows; −1 and ∞ where the cells held too few."""
    squared, found = index.search(vectors[rows], count + 1)  # type: ignore[attr-defined]
    own = found == rows[:, None]
    # A row is left out of its own neighbours; where copies of it came before it, the last is.
    own[~own.any(axis=1), -1] = True
    shape = (rows.size, count)
    distances = np.sqrt(np.maximum(squared.astype(np.float64), 0.0))
    distances[found < 0] = np.inf
    return found[~own].reshape(shape).astype(np.int64), distances[~own].reshape(shape)


def _recall(found: Float64[np.ndarray, "m k"], true: Float64[np.ndarray, "m k"]) -> float:
    """The share of neighbours that are no farther than the last true one."""
    return float((found <= true[:, -1:] * (1 + 1e-4) + 1e-4).mean())
