"""Histograms of oriented gradients: features that need neither labels nor training."""

from __future__ import annotations

import hashlib
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from aral.data.batches import gather
from aral.representations.backbone import Backbone, Framing, feature_size
from aral.representations.settings import Fit
from aral.types import ImageSet

DIRECTIONS, FEW_DIRECTIONS = 16, 8
"""Bins of a histogram over the full circle; the smaller number where the cells are smallest."""

CELLS = 9
"""The number of cells along the shorter side of an image, about."""

NAME = "gradients"
"""Name of the backbone."""

_SIDE = 64
_SMALLEST_CELL = 2
_CHUNK = 2000


def oriented_gradients(images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N F"]:
    """Histograms of the directions of the gradient in the cells of a grid, after Dalal and Triggs (2005).

    The gradient of a pixel is weighted by its length and shared between the two nearest of sixteen
    directions, or of eight in images so small that a histogram has fewer than two pixels for each of sixteen.
    With several channels, the one with the longest gradient is used. A histogram covers a square of twice the
    spacing of the grid, so a stroke that moves by a pixel changes it little. The histograms of an image are
    divided by their sum, then their square roots are taken (Arandjelović and Zisserman 2012): rows have
    length 1, or 0 for a blank image, so lighter and darker copies of an image are equal.

    Args:
        images: any range of values; sides from 2 pixels up.
    """
    edged = pad(images, (1, 1, 1, 1), mode="replicate")
    across = edged[:, :, 1:-1, 2:] - edged[:, :, 1:-1, :-2]
    down = edged[:, :, 2:, 1:-1] - edged[:, :, :-2, 1:-1]
    length, channel = torch.hypot(across, down).max(dim=1, keepdim=True)
    cell = max(_SMALLEST_CELL, min(images.shape[2:]) // CELLS)
    count = DIRECTIONS if (2 * cell) ** 2 >= 2 * DIRECTIONS else FEW_DIRECTIONS
    angle = torch.atan2(down.gather(1, channel), across.gather(1, channel)) * (count / (2 * math.pi))
    away = (angle - torch.arange(count).view(1, -1, 1, 1)).remainder(count)
    share = (1 - torch.minimum(away, count - away)).clamp(min=0)
    counts = avg_pool2d(share * length, 2 * cell, stride=cell, padding=cell // 2).flatten(1)
    total = counts.sum(dim=1, keepdim=True)
    return (counts / total.clamp(min=torch.finfo(counts.dtype).tiny)).sqrt()


def gradient_features(images: ImageSet) -> Float[Tensor, "N F"]:
    """:func:`oriented_gradients` of a set, in order of id."""
    chunks = [images.ids[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
    return torch.cat([oriented_gradients(gather(images, ids, symmetric=False)) for ids in chunks])


def gradient_backbone() -> Backbone:
    """:func:`oriented_gradients` as a backbone, without weights: for textures, drawings and characters."""
    trunk = _Gradients()
    about = f"{NAME} {DIRECTIONS} {FEW_DIRECTIONS} {CELLS} {_SMALLEST_CELL}"
    framing = Framing(side=_SIDE, fit=Fit.SQUASH, mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))
    return Backbone(
        NAME,
        "MIT",
        "computed, no weights",
        hashlib.sha256(about.encode()).hexdigest(),
        feature_size(NAME, trunk, _SIDE),
        framing,
        trunk,
    )


class _Gradients(nn.Module):
    def forward(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N F"]:
        return oriented_gradients(images)
