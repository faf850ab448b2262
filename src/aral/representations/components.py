"""Principal components of images or features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from aral.data.batches import gather
from aral.randomness import Stream
from aral.types import ImageSet


def principal_components(images: ImageSet, count: int, stream: Stream) -> Float[Tensor, "N c"]:
    """The leading principal components of the pixels, in order of id.

    Args:
        images: at least one image.
        count: how many components; fewer if there are fewer images or pixels.
        stream: decides the randomised decomposition.
    """
    return leading_components(gather(images, images.ids, symmetric=False).flatten(1), count, stream)


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
    count = min(count, *flat.shape)
    if (flat == flat[0]).all():  # one image, or copies of one: no variance to divide by
        return torch.zeros(len(flat), count)
    seed = int(stream.numpy().integers(2**31))
    from sklearn.decomposition import PCA

    model = PCA(count, svd_solver="randomized" if count < min(flat.shape) else "full", random_state=seed)
    return torch.from_numpy(model.fit_transform(flat)).float()
