"""The nearest neighbours of every image: which images are probably of one class, before any label is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from scipy.sparse import csr_matrix
from torch import Tensor

from aral.data.augmentation import occurrences
from aral.data.batches import gather
from aral.margins import margin_of
from aral.randomness import Stream
from aral.representations.communities import communities
from aral.representations.components import half_whitened, leading_components, principal_components
from aral.representations.gradients import gradient_features
from aral.representations.graph import affinity_matrix, propagate_labels
from aral.types import NO_IDS, Ids, ImageSet, LabelledSet, UnlabelledBatch

SeenAs = Literal["gradients", "pixels"]
"""What is compared: oriented gradients (:mod:`aral.representations.gradients`) or pixels."""

_CHUNK_BYTES = 2**28


def nearest_neighbours(
    features: Float[Tensor, "N F"], count: int
) -> tuple[Int64[np.ndarray, "N k"], Float64[np.ndarray, "N k"]]:
    """The rows of each row's nearest other rows, and their Euclidean distances, the nearest first.

    Exact, by blocks of distances that fit into a quarter of a gigabyte: about half a minute for 60,000
    images on one core, four times as long for twice as many. A row is never its own neighbour, its exact
    copies are.

    Args:
        features: finite numbers, at least two rows.
        count: neighbours wanted; fewer when there are fewer other rows.
    """
    total = len(features)
    count = min(count, total - 1)
    squares = (features * features).sum(dim=1)
    rows = max(1, _CHUNK_BYTES // (4 * total))
    found, lengths = [], []
    for start in range(0, total, rows):
        block = features[start : start + rows]
        # |a − b|² without |a|², which does not change the order of a row.
        distances = torch.addmm(squares[None], block, features.T, alpha=-2.0)
        own = torch.arange(len(block))
        distances[own, start + own] = torch.inf
        nearest = distances.topk(count, dim=1, largest=False)
        found.append(nearest.indices)
        lengths.append((nearest.values + squares[start : start + rows, None]).clamp(min=0).sqrt())
    return torch.cat(found).numpy(), torch.cat(lengths).double().numpy()


@dataclass(frozen=True)
class PropagatedLabels:
    """Class probabilities of a pool's images, from the labels of a few of them.

    Attributes:
        ids: of the pool, ascending.
        class_probs: rows in the same order; what a row's sum lacks of 1 is the chance of none of the classes.
    """

    ids: Ids
    class_probs: Float32[np.ndarray, "N K"]

    def __call__(self, ids: Ids) -> Float[Tensor, "n K"]:
        """Those of some images, in the order asked for."""
        return torch.from_numpy(self.class_probs[np.searchsorted(self.ids, ids)])

    @cached_property
    def _leads(self) -> Float[Tensor, " N"]:
        return margin_of(torch.from_numpy(self.class_probs))

    def share_confident(self, margin: float) -> float:
        """The share of the pool that some class leads by at least ``margin``: :func:`aral.margins.margin_of`."""
        return float((self._leads >= margin).double().mean())


class NeighbourGraph:
    """The images of a pool and each one's nearest neighbours, sought when they are first needed.

    Args:
        pool: the images; one that is alone is its own neighbour.
        seen_as: what is compared, the directions of edges or the pixels.
        components: neighbours are nearest in this many principal components of that, half whitened.
        count: neighbours of each image; 0: an image stands for itself.
        symmetric: the range of the batches, [-1, 1] or [0, 1].
        stream: decides the randomised decomposition and the communities.
        links: neighbours that each image is linked to where communities are sought and labels spread.
    """

    def __init__(
        self,
        pool: ImageSet,
        seen_as: SeenAs,
        components: int,
        count: int,
        symmetric: bool,
        stream: Stream,
        links: int = 10,
    ) -> None:
        self._pool = pool
        self._seen_as: SeenAs = seen_as
        self._components = components
        self._count = count
        self._symmetric = symmetric
        self._stream = stream
        self._links = links
        self._communities = lru_cache(maxsize=1)(self._sought)
        self._spread = lru_cache(maxsize=1)(self._spread_from)

    def places(self, ids: Ids) -> Float[Tensor, "n c"]:
        """What is compared, of some images of the pool, in the order asked for."""
        return self._compared[np.searchsorted(self._pool.ids, ids)]

    @cached_property
    def _compared(self) -> Float[Tensor, "N c"]:
        if self._seen_as == "pixels":
            found = principal_components(self._pool, self._components, self._stream)
        else:
            found = leading_components(gradient_features(self._pool), self._components, self._stream)
        return half_whitened(found)

    @cached_property
    def _nearest(self) -> tuple[Int64[np.ndarray, "N k"], Float64[np.ndarray, "N k"]]:
        if len(self._pool) == 1:
            return np.zeros((1, 1), dtype=np.int64), np.zeros((1, 1))
        return nearest_neighbours(self._compared, max(self._count, self._links))

    @cached_property
    def table(self) -> Int64[np.ndarray, "N k"]:
        """Ids of the neighbours of each image, in order of id, the nearest first."""
        return self._pool.ids[self._nearest[0][:, : self._count]]

    def communities(self, ids: Ids, count: int) -> Int64[np.ndarray, " n"]:
        """The community of each image, of ``count`` in the whole pool; sought once."""
        return self._communities(count)[np.searchsorted(self._pool.ids, ids)]

    def _sought(self, count: int) -> Int64[np.ndarray, " N"]:
        return communities(self._graph, count, self._stream.child("communities"))

    @cached_property
    def _graph(self) -> csr_matrix:
        rows, distances = (part[:, : self._links] for part in self._nearest)
        return affinity_matrix(rows, distances)

    def spread(self, labelled: LabelledSet, ood: Ids = NO_IDS) -> PropagatedLabels:
        """What some images say of the whole pool: :func:`aral.representations.graph.propagate_labels`.

        Args:
            labelled: images of the pool and their classes.
            ood: ids of images of the pool that are of none of the classes.
        """
        rows, others = (np.searchsorted(self._pool.ids, ids) for ids in (labelled.images.ids, ood))
        classes = labelled.classes.astype(np.int64)
        return self._spread(rows.tobytes(), classes.tobytes(), labelled.class_count, others.tobytes())

    def _spread_from(self, rows: bytes, classes: bytes, class_count: int, ood: bytes) -> PropagatedLabels:
        # Bytes, because the last labels are remembered by them: training and query ask for the same.
        named, classes_of, others = (np.frombuffer(each, np.int64) for each in (rows, classes, ood))
        found = propagate_labels(self._graph, named, classes_of, class_count, others)
        return PropagatedLabels(self._pool.ids, found)

    def __call__(self, ids: Ids, stream: Stream) -> UnlabelledBatch:
        """One neighbour of each image, any of its nearest with equal chance; itself where none are wanted.

        Args:
            ids: images of the pool; one that occurs twice may be given two neighbours.
            stream: decides which.
        """
        if not self._count:
            return UnlabelledBatch(ids, gather(self._pool, ids, self._symmetric))
        keys = ids + (occurrences(ids) << 40)
        places = (stream.uniform(keys) * self.table.shape[1]).astype(np.int64)
        chosen = self.table[np.searchsorted(self._pool.ids, ids), places]
        return UnlabelledBatch(chosen, gather(self._pool, chosen, self._symmetric))
