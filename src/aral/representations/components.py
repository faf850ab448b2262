"""Principal components of images or features."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aral.data.batches import chunks, gather
from aral.randomness import Stream
from aral.types import ImageSet

if TYPE_CHECKING:
    from sklearn.decomposition import PCA


MOST_BYTES = 2 << 30
"""Of images as float32; of more, components are fitted to as many random images, and images projected by blocks."""


def principal_components(images: ImageSet, count: int, stream: Stream) -> Float[Tensor, "N c"]:
    """The leading principal components of the pixels, in order of id; an approximation beyond :data:`MOST_BYTES`.

    Args:
        images: at least one image.
        count: how many components; fewer if there are fewer images or pixels.
        stream: decides the randomised decomposition, and the images it is fitted to.
    """
    at_once = max(count, MOST_BYTES // (4 * math.prod(images.shape)))
    if len(images) <= at_once:
        return leading_components(gather(images, images.ids, symmetric=False).flatten(1), count, stream)
    drawn = np.argsort(stream.child("fitted").uniform(images.ids), kind="stable")[:at_once]
    fitted = gather(images, np.sort(images.ids[drawn]), symmetric=False).flatten(1).numpy()
    if (fitted == fitted[0]).all():
        return torch.zeros(len(images), min(count, fitted.shape[1]))
    model = _decomposition(count, fitted.shape, stream).fit(fitted)
    del fitted
    parts = chunks(images, max(1, at_once // 8), symmetric=False)
    found = [torch.from_numpy(model.transform(pixels.flatten(1).numpy())).float() for _, pixels in parts]
    return torch.cat(found)


def half_whitened(components: Float[Tensor, "N c"]) -> Float[Tensor, "N c"]:
    """Each component divided by the root of its standard deviation.

    Between the Euclidean distance, in which the first components dominate, and Mahalanobis's, in which the
    last count as much as the first. A component without variance stays as it is.
    """
    spread = components.std(dim=0, correction=0)
    return components / torch.where(spread > 0, spread, 1.0).sqrt()


def leading_components(features: Float[Tensor, "N F"], count: int, stream: Stream) -> Float[Tensor, "N c"]:
    """The leading principal components of any features; arguments as for :func:`principal_components`."""
    flat = features.numpy()
    if (flat == flat[0]).all():  # one image, or copies of one: no variance to divide by
        return torch.zeros(len(flat), min(count, *flat.shape))
    return torch.from_numpy(_decomposition(count, flat.shape, stream).fit_transform(flat)).float()


def _decomposition(count: int, shape: tuple[int, ...], stream: Stream) -> PCA:
    """A decomposition of N×F numbers, not fitted yet."""
    from sklearn.decomposition import PCA

    count = min(count, *shape)
    seed = int(stream.numpy().integers(2**31))
    return PCA(count, svd_solver="randomized" if count < min(shape) else "full", random_state=seed)
