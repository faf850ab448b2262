"""From features of a backbone to what learners read: principal components of the pool, or standardised features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from scipy.linalg import block_diag
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from aral.representations.backbone import FeaturePart

_ROWS_AT_ONCE = 4096

_Block: TypeAlias = tuple[Float32[Tensor, " F"], Float32[Tensor, "F c"]]
"""Mean and components of one part of the features."""

_PARTS = "parts"


@dataclass(frozen=True, eq=False)
class Projection:
    """A fixed map of features, fitted on the pool without labels: (f − mean) · matrix.

    Attributes:
        mean: F.
        matrix: F×c.
        parts: sizes of the parts of f, F in all, each of which is divided by its Euclidean length first; empty if none
            is.
    """

    mean: Float32[Tensor, " F"]
    matrix: Float32[Tensor, "F c"]
    parts: tuple[int, ...]

    def __call__(self, features: Float32[Tensor, "N F"]) -> Float32[Tensor, "N c"]:
        """The projected features; a part of zeros stays what it is."""
        if self.parts:
            features = _unit_length(features, self.parts)
        return (features - self.mean) @ self.matrix

    def module(self) -> ProjectionModule:
        """The projection as a module, for export."""
        return ProjectionModule(self)

    def state(self) -> dict[str, Tensor]:
        """Tensors by name, to save."""
        return {"mean": self.mean, "matrix": self.matrix, _PARTS: torch.tensor(self.parts, dtype=torch.int64)}

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> Projection:
        """The projection that :meth:`state` was taken of."""
        return cls(state["mean"], state["matrix"], tuple(state[_PARTS].tolist()))


class ProjectionModule(nn.Module):
    """A :class:`Projection` as a part of a graph; features become images of one position, as learners read them."""

    mean: Tensor
    matrix: Tensor

    def __init__(self, projection: Projection) -> None:
        super().__init__()
        self.register_buffer("mean", projection.mean)
        self.register_buffer("matrix", projection.matrix)
        self.parts = projection.parts

    def forward(self, features: Float32[Tensor, "N F"]) -> Float32[Tensor, "N c 1 1"]:
        """The projected features."""
        return Projection(self.mean, self.matrix, self.parts)(features)[:, :, None, None]


def fit_projection(
    features: Float[np.ndarray, "N F"], components: int, parts: Sequence[FeaturePart] = ()
) -> Projection:
    """A projection fitted on the features of a pool.

    With ``components``, for each part: features of length 1, centred, their leading principal components, all divided
    by one number so that their variance is 1 on average, times the weight of the part. Components keep their relative
    sizes. Without (0): each feature standardised.

    Exact and computed on one core, so the same pool always gives the same bits, whatever computes beside it. Of fewer
    images than features, the products of images are decomposed instead of those of features, which is much faster.

    Args:
        features: of at least one image; float16 that is mapped from a file is read by blocks.
        components: how many of each part; fewer if there are fewer features or images; 0 keeps all features.
        parts: of the features, F in all; empty: one part.
    """
    parts = parts or (FeaturePart(features.shape[1]),)
    with threadpool_limits(1):
        if components == 0:
            return _standardised(features)
        ends = np.cumsum([part.size for part in parts])
        of_parts = [
            _principal(features[:, end - part.size : end], components, part.weight)
            for part, end in zip(parts, ends, strict=True)
        ]
    means, matrices = zip(*of_parts, strict=True)
    matrix = torch.from_numpy(block_diag(*(each.numpy() for each in matrices)))
    return Projection(torch.cat(means), matrix, tuple(part.size for part in parts))


def project(projection: Projection, features: Float[np.ndarray, "N F"]) -> Float32[Tensor, "N c 1 1"]:
    """Projected features as images of one position, on one core as :func:`fit_projection`."""
    found = torch.empty((len(features), projection.matrix.shape[1], 1, 1))
    mean, matrix = projection.mean.numpy(), projection.matrix.numpy()
    with threadpool_limits(1):
        for start in range(0, len(features), _ROWS_AT_ONCE):
            part = _as_single(features[start : start + _ROWS_AT_ONCE])
            if projection.parts:
                part = _unit_length(torch.from_numpy(part), projection.parts).numpy()
            found[start : start + len(part), :, 0, 0] = torch.from_numpy((part - mean) @ matrix)
    return found


def _unit_length(features: Float32[Tensor, "N F"], sizes: Sequence[int]) -> Float32[Tensor, "N F"]:
    """Each part of the features divided by its length."""
    tiny = torch.finfo(torch.float32).tiny
    parts = torch.split(features, list(sizes), 1)
    return torch.cat([part / part.norm(dim=1, keepdim=True).clamp(min=tiny) for part in parts], 1)


def _as_single(features: Float[np.ndarray, "n F"]) -> Float32[np.ndarray, "n F"]:
    """Some features as float32 in memory; float32 stays where it is."""
    return np.asarray(features, dtype=np.float32)


def _standardised(features: Float[np.ndarray, "N F"]) -> Projection:
    mean, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    matrix = np.diag(1.0 / np.where(spread > 0, spread, 1.0))
    return Projection(_single(mean), _single(matrix), ())


def _principal(features: Float[np.ndarray, "N F"], components: int, weight: float) -> _Block:
    total, size = features.shape
    kept = min(components, size, max(total - 1, 1))
    if total < size:
        return _few_images(_as_single(features), kept, weight)
    mean: Float64[np.ndarray, " F"] = np.zeros(size)
    products: Float64[np.ndarray, "F F"] = np.zeros((size, size))
    for start in range(0, total, _ROWS_AT_ONCE):
        block = torch.from_numpy(_as_single(features[start : start + _ROWS_AT_ONCE]))
        part = _unit_length(block, (size,)).double().numpy()
        mean += part.sum(axis=0)
        products += part.T @ part
    mean /= total
    covariance = products / total - np.outer(mean, mean)
    variances, vectors = np.linalg.eigh(covariance)
    return _of_components(mean, variances[::-1][:kept], vectors[:, ::-1][:, :kept], weight)


def _few_images(features: Float32[np.ndarray, "N F"], kept: int, weight: float) -> _Block:
    """From the inner products of images: an eigenvector u of X Xᵀ gives the component Xᵀ u."""
    rows = _unit_length(torch.from_numpy(features), features.shape[1:]).double().numpy()
    mean = rows.mean(axis=0)
    centred = rows - mean
    variances, vectors = np.linalg.eigh(centred @ centred.T / len(rows))
    variances, vectors = variances[::-1][:kept], centred.T @ vectors[:, ::-1][:, :kept]
    lengths = np.linalg.norm(vectors, axis=0)
    return _of_components(mean, variances, vectors / np.where(lengths > 0, lengths, 1.0), weight)


def _of_components(
    mean: Float64[np.ndarray, " F"],
    variances: Float64[np.ndarray, " c"],
    vectors: Float64[np.ndarray, "F c"],
    weight: float,
) -> _Block:
    # The sign of a component is arbitrary: its largest entry is made positive.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    average = float(np.maximum(variances, 0).mean())
    scale = weight / np.sqrt(average) if average > 0 else weight
    return _single(mean), _single(vectors * scale)


def _single(values: Float[np.ndarray, ...]) -> Float32[Tensor, ...]:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
