"""Random augmentation: a function of a stream and the image ids only.

The change of an image depends on the stream, on its id and on how often the id has occurred before in the
batch, not on the other images of the batch, so a resumed training repeats it exactly.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from aral.randomness import Stream


class Augmentation(BaseModel):
    """The limits of the random changes; each amount is drawn uniformly up to its limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: float = Field(0.0, ge=0, le=1)  # up to this share of the side, in whole pixels, both ways
    scale: float = Field(0.0, ge=0, lt=1)  # size between 1 − this and 1 + this
    rotation: float = Field(0.0, ge=0, le=180)  # degrees, both ways
    shear: float = Field(0.0, ge=0, lt=90)  # degrees, sideways, both ways
    flip: bool = False  # left and right are exchanged with probability one half
    colour: float = Field(
        0.0, ge=0, le=1
    )  # brightness, contrast and saturation between 1 − this and 1 + this
    cut_out: float = Field(0.0, ge=0, le=1)  # side of a blank square, as a share of the image's side

    @property
    def moves(self) -> bool:
        """Whether there is a geometric change."""
        return bool(self.shift or self.scale or self.rotation or self.shear or self.flip)


def augment(
    images: Float[Tensor, "N C H W"], ids: Int64[np.ndarray, " N"], by: Augmentation, stream: Stream
) -> Float[Tensor, "N C H W"]:
    """Images, each with its own random change; the same tensor when ``by`` allows none.

    Pixels beyond the border are mirrored; colours are clipped to the smallest and the largest value of their
    image; a cut-out square has the mean of its image. So all values stay in the range of the input. No
    gradient should flow.

    Args:
        images: of any range.
        ids: their ids; an id that occurs twice is changed in two ways.
        by: the limits.
        stream: decides each change.
    """
    keys = ids + (occurrences(ids) << 40)
    if by.moves:
        moves = _affine_maps(images.shape[2], images.shape[3], keys, by, stream).to(images)
        grid = affine_grid(moves, list(images.shape), align_corners=False)
        images = grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    if by.colour:
        images = _recoloured(images, keys, by.colour, stream)
    if by.cut_out:
        images = _cut_out(images, keys, by.cut_out, stream)
    return images


def occurrences(ids: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
    """How often each entry's id has occurred before it: 0 for the first, 1 for the second …"""
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    starts = np.r_[True, ordered[1:] != ordered[:-1]][: ids.size]
    places = np.arange(ids.size, dtype=np.int64)
    result = np.empty_like(places)
    result[order] = places - np.maximum.accumulate(np.where(starts, places, 0))
    return result


def _affine_maps(
    height: int, width: int, keys: Int64[np.ndarray, " N"], by: Augmentation, stream: Stream
) -> Float[Tensor, "N 2 3"]:
    """Affine maps from positions in the result to positions in the image, in units of half the side."""

    def drawn(name: str, limit: float) -> np.ndarray:
        return limit * (2.0 * stream.child(name).uniform(keys) - 1.0)

    angle = np.radians(drawn("rotation", by.rotation))
    size = 1.0 / (1.0 + drawn("scale", by.scale))
    lean = np.tan(np.radians(drawn("shear", by.shear)))
    mirrored = np.where(by.flip & (stream.child("flip").uniform(keys) < 0.5), -1.0, 1.0)
    cos, sin, aspect = np.cos(angle) * size, np.sin(angle) * size, height / width
    maps = np.zeros((keys.size, 2, 3))
    maps[:, 0, 0] = cos * mirrored
    maps[:, 0, 1] = (lean * cos - sin) * aspect
    maps[:, 1, 0] = sin * mirrored / aspect
    maps[:, 1, 1] = lean * sin + cos
    for axis, side, name in ((0, width, "shift across"), (1, height, "shift down")):
        maps[:, axis, 2] = 2.0 / side * np.round(drawn(name, by.shift * side))
    return torch.from_numpy(maps)


def _recoloured(
    images: Float[Tensor, "N C H W"], keys: Int64[np.ndarray, " N"], limit: float, stream: Stream
) -> Float[Tensor, "N C H W"]:
    """Images with changed brightness, contrast and, with several channels, saturation.

    Each is a factor: of the distance from the smallest value of the image, from its mean, and from the grey of each
    pixel.
    """

    def factor(name: str) -> Float[Tensor, "N 1 1 1"]:
        drawn = 1.0 + limit * (2.0 * stream.child(name).uniform(keys) - 1.0)
        return torch.from_numpy(drawn).to(images)[:, None, None, None]

    low, high = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
    changed = low + factor("brightness") * (images - low)
    for name, kept in (("contrast", (1, 2, 3)), ("saturation", (1,))):
        centre = changed.mean(dim=kept, keepdim=True)
        changed = centre + factor(name) * (changed - centre)
    return changed.clamp(low, high)


def _cut_out(
    images: Float[Tensor, "N C H W"], keys: Int64[np.ndarray, " N"], share: float, stream: Stream
) -> Float[Tensor, "N C H W"]:
    """Images with a square of their mean value, its centre anywhere inside (cutout; DeVries and Taylor 2017)."""
    height, width = images.shape[2:]
    inside = []
    for name, side in (("cut down", height), ("cut across", width)):
        length = math.ceil(share * side)
        centre = stream.child(name).uniform(keys)[:, None] * side
        distance = np.arange(side)[None] + 0.5 - centre
        inside.append(torch.from_numpy(np.abs(distance) < length / 2).to(images.device))
    blank = (inside[0][:, None, :, None] & inside[1][:, None, None, :]).expand_as(images)
    return torch.where(blank, images.mean(dim=(2, 3), keepdim=True), images)
