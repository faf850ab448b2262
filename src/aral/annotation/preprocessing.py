"""From a photo of any size to the input of a network: one definition, and the same as operations of a graph.

Projects and predictions resize with Pillow. An exported graph cannot call it, so :class:`Preprocess` does the same in
tensor operations that torch.export and ONNX have: resampling is a matrix product for each axis, with the weights that
Pillow uses, and values are rounded to whole levels after each axis, as Pillow does. Where Pillow rounds the other way,
or takes the axes in the other order, a bilinear result differs by one level of 255; a bicubic one by more where an
overshoot is clipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, no_type_check

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from aral.networks import ImageShape, PixelRange
from aral.representations import Fit as SquareFit
from aral.representations import Framing

Fit = Literal["crop", "pad", "stretch"]
"""How an image of another aspect ratio gets the shape of the input: its centre is cut out, it is padded evenly, or its
sides are scaled by different factors."""

Resampling = Literal["bilinear", "bicubic", "lanczos"]
"""Filter of the resize; all are widened when an image becomes smaller (antialiasing), as in Pillow."""

GREY_WEIGHTS = (19595, 38470, 7471)
"""Red, green and blue in grey, in parts of 65536, as Pillow has them (ITU-R 601-2)."""

BICUBIC = -0.5
LANCZOS = 3.0
"""Half the width of the filter."""

_FITS: dict[SquareFit, Fit] = {
    SquareFit.PAD: "pad",
    SquareFit.CROP: "crop",
    SquareFit.SQUASH: "stretch",
}


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an image between its pixels and a network.

    Attributes:
        shape: channels (3 for RGB, 1 for grey), height and width of the network's input.
        mean: what is subtracted from each channel, in levels 0..255.
        deviation: by what the difference is divided, in levels.
        fit: what is done about another aspect ratio.
        resampling: the filter of the resize.
        fill: level of the border of a padded image, in 0..255.
        crop_share: sides of what "crop" keeps, as a share of the largest part that has the aspect ratio.
        enough: sizes of the longer and the shorter side above which a JPEG may be decoded at a half, a quarter or an
            eighth of its size, before all this; None: never.

    Raises:
        ValueError: the numbers do not fit each other.
    """

    shape: ImageShape
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    fit: Fit = "crop"
    resampling: Resampling = "bilinear"
    fill: float = 0.0
    crop_share: float = 1.0
    enough: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        channels = self.shape[0]
        if channels not in (1, 3) or min(self.shape) < 1:
            raise ValueError(f"an input of shape {self.shape} is neither grey nor RGB")
        if not len(self.mean) == len(self.deviation) == channels or min(self.deviation) <= 0:
            raise ValueError(
                f"{self.mean} and {self.deviation} are not mean and deviation of {channels} channels"
            )
        if self.fit not in get_args(Fit) or self.resampling not in get_args(Resampling):
            raise ValueError(f"{self.fit!r} with {self.resampling!r} is unknown")
        if not 0 < self.crop_share <= 1:
            raise ValueError(f"{self.crop_share} is no share of a side")

    @staticmethod
    def of(shape: ImageShape, pixel_range: PixelRange) -> Preprocessing:
        """That of networks whose input is in [0, 1] or in [-1, 1]: the centre, resized by a bilinear filter."""
        middle, half = (127.5, 127.5) if pixel_range is PixelRange.SYMMETRIC else (0.0, 255.0)
        return Preprocessing(shape, (middle,) * shape[0], (half,) * shape[0])

    @staticmethod
    def of_framing(framing: Framing) -> Preprocessing:
        """That of a backbone."""
        return Preprocessing(
            (3, framing.side, framing.side),
            framing.mean,
            framing.std,
            _FITS[framing.fit],
            framing.resampling,
            float(framing.fill),
            framing.crop_share,
            framing.enough,
        )

    def as_json(self) -> dict[str, Any]:
        """The same as JSON, with names for the numbers of the shape."""
        channels, height, width = self.shape
        body = asdict(self)
        del body["shape"]
        return {
            "channels": "RGB" if channels == 3 else "grey",
            "height": height,
            "width": width,
            **{name: list(value) if isinstance(value, tuple) else value for name, value in body.items()},
            "antialias": True,
        }

    def in_words(self) -> str:
        """The same as a sentence without a subject, for people."""
        channels, height, width = self.shape
        part = "" if self.crop_share == 1 else f"{100 * self.crop_share:.3g} % of the sides of "
        what = {
            "crop": f"{part}the largest part around the centre that has the aspect ratio {height}:{width} is resized",
            "pad": f"the whole photo is resized and padded evenly with level {self.fill:g}",
            "stretch": "the whole photo is resized, whatever its aspect ratio",
        }[self.fit]
        numbers = f"mean {_listed(self.mean)}, deviation {_listed(self.deviation)}"
        return (
            f"{'converted to grey; ' if channels == 1 else ''}{what} to {height}×{width} (height×width) by a "
            f"{self.resampling} filter with antialiasing; then scaled: {numbers}, in levels 0..255"
        )


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in dict.fromkeys(values))


class Preprocess(nn.Module):
    """:class:`Preprocessing` as a module; N, H and W of its input may be any numbers from 1."""

    grey: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        for name, values in (
            ("grey", GREY_WEIGHTS),
            ("mean", preprocessing.mean),
            ("deviation", preprocessing.deviation),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, pixels: UInt8[Tensor, "N H W three"]) -> Float[Tensor, "N C height width"]:
        """Pixels in the order red, green, blue, 0..255, to the input of the network."""
        return (self.resized(pixels) - self.mean[:, None, None]) / self.deviation[:, None, None]

    def resized(self, pixels: UInt8[Tensor, "N H W three"]) -> Float[Tensor, "N C height width"]:
        """The same before mean and deviation: whole numbers in 0..255."""
        channels, height, width = self.preprocessing.shape
        images = pixels.to(torch.float32)
        if channels == 1:  # exact: all products and sums are whole numbers below 2**24
            images = torch.floor(((images * self.grey).sum(dim=3) + 32768.0) / 65536.0)[:, None]
        else:
            images = images.permute(0, 3, 1, 2)
        # As tensors, because a graph for any size cannot hold them as numbers.
        rows, columns = (torch.arange(size).to(torch.float32) for size in pixels.shape[1:3])
        high, wide = rows[-1] + 1.0, columns[-1] + 1.0
        kept_rows, kept_columns, new_rows, new_columns = self._sizes(high, wide)
        down = _weights(rows, kept_rows, new_rows, height, self.preprocessing)
        across = _weights(columns, kept_columns, new_columns, width, self.preprocessing)
        # The axes in the order in which Pillow takes them.
        tall = (high > new_rows) & (high - new_rows > 2.0 * (wide - new_columns))
        images = _either(tall, _rows_first, _columns_first, (images, down, across))
        if self.preprocessing.fit == "pad":
            inside = down.sum(dim=1)[:, None] * across.sum(dim=1)[None]
            images = torch.where(inside > 0.5, images, self.preprocessing.fill)
        return images

    def _sizes(self, high: Tensor, wide: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Height and width of what is kept of a photo, then of what becomes of it, without a border."""
        _, height, width = self.preprocessing.shape
        if self.preprocessing.fit == "pad":
            # In float64, as Python computes: the sides are rounded to whole pixels.
            scale = torch.minimum(height / high.double(), width / wide.double())
            small_high, small_wide = (
                torch.round(side.double() * scale).clamp(min=1.0).to(torch.float32) for side in (high, wide)
            )
            return high, wide, small_high, small_wide
        whole = torch.full((), float(height)), torch.full((), float(width))
        if self.preprocessing.fit == "crop":
            scale = torch.minimum(high / height, wide / width) * self.preprocessing.crop_share
            return scale * height, scale * width, *whole
        return high, wide, *whole


def _weights(
    positions: Float[Tensor, " n"], kept: Tensor, count: Tensor, size: int, preprocessing: Preprocessing
) -> Float[Tensor, "size n"]:
    """How much each pixel of an axis counts in each pixel of the result: rows sum to one, those of a border to 0.

    Args:
        positions: 0 to n − 1.
        kept: how many of them, around the middle, are resized.
        count: pixels that become of them.
        size: of the axis afterwards, with a border.
        preprocessing: names the filter.
    """
    places = torch.arange(size).to(torch.float32)
    offset = torch.floor((size - count) / 2.0)
    start = (positions[-1] + 1.0 - kept) / 2.0
    step = kept / count
    centres = start + (places - offset + 0.5) * step
    distances = (positions[None] + 0.5 - centres[:, None]).abs() / step.clamp(min=1.0)
    weights = _FILTERS[preprocessing.resampling](distances)
    inside = (places >= offset) & (places < offset + count)
    total = torch.where(inside, weights.sum(dim=1), 1.0)
    return torch.where(inside[:, None], weights / total[:, None], 0.0)


Step = Callable[[Tensor, Tensor, Tensor], Tensor]


def _either(condition: Tensor, yes: Step, no: Step, given: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """One of two functions, chosen when the graph is run."""
    if torch.compiler.is_exporting():
        chosen: Tensor = torch.cond(condition, yes, no, given)
        return chosen
    return yes(*given) if bool(condition) else no(*given)


# The tracer does not follow a check of types into a branch.


@no_type_check
def _columns_first(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    narrow = _whole_levels(images @ across.T)
    return _whole_levels(down @ narrow)


@no_type_check
def _rows_first(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    low = _whole_levels(down @ images)
    return _whole_levels(low @ across.T)


def _triangle(distances: Tensor) -> Tensor:
    return (1.0 - distances).clamp(min=0.0)


def _cubic(distances: Tensor) -> Tensor:
    """Keys 1981."""
    near = ((BICUBIC + 2.0) * distances - (BICUBIC + 3.0)) * distances * distances + 1.0
    far = (((distances - 5.0) * distances + 8.0) * distances - 4.0) * BICUBIC
    return torch.where(distances < 1.0, near, torch.where(distances < 2.0, far, 0.0))


def _lanczos(distances: Tensor) -> Tensor:
    """Duchon 1979."""
    angles = math.pi * distances.clamp(min=1e-6)  # at 0 the limit is 1
    product = torch.sin(angles) * torch.sin(angles / LANCZOS) * LANCZOS / angles.square()
    return torch.where(distances < LANCZOS, product, 0.0)


_FILTERS: dict[Resampling, Callable[[Tensor], Tensor]] = {
    "bilinear": _triangle,
    "bicubic": _cubic,
    "lanczos": _lanczos,
}


@no_type_check
def _whole_levels(values: Tensor) -> Tensor:
    return torch.floor(values + 0.5).clamp(0.0, 255.0)
