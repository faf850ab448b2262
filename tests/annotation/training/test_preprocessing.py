"""Preprocessing as a graph gives the pixels of Pillow, for all sizes, shapes of the input, fits and filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from aral.annotation.preprocessing import Fit, Preprocess, Preprocessing, Resampling
from aral.data.decode import square
from aral.networks import ImageShape, PixelRange
from aral.representations import Fit as SquareFit
from aral.representations import Framing

SIZES = ((1, 1), (2, 1), (5, 9), (32, 32), (20, 36), (64, 64), (50, 31), (33, 100), (240, 320), (300, 20))
"""Height and width."""

FILTERS: dict[Resampling, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

MOST_LEVELS: dict[Resampling, int] = {"bilinear": 1, "bicubic": 3, "lanczos": 8}
"""An overshoot is clipped after the first axis, and rounded differently here and there."""

MOST_MEAN = 0.1
"""In levels; with the axes in the other order it is about 0.3."""


def photo(height: int, width: int) -> Image.Image:
    """A smooth picture with edges, in colours."""
    draw = np.random.default_rng(height * 1000 + width)
    blocks = draw.integers(0, 256, (max(1, height // 6), max(1, width // 6), 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)


def levels(preprocessing: Preprocessing, image: Image.Image) -> np.ndarray:
    return Preprocess(preprocessing).resized(torch.from_numpy(np.asarray(image)[None].copy()))[0].numpy()


def by_pillow(image: Image.Image, shape: ImageShape, fit: Fit, filter: Resampling, fill: int) -> np.ndarray:
    channels, height, width = shape
    image = image.convert("L" if channels == 1 else "RGB")
    size, method = (width, height), FILTERS[filter]
    if fit == "crop":
        image = ImageOps.fit(image, size, method)
    elif fit == "pad":
        scale = min(width / image.width, height / image.height)
        small = image.resize([max(1, round(length * scale)) for length in image.size], method)
        image = Image.new(image.mode, size, fill if channels == 1 else (fill,) * 3)
        image.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    else:
        image = image.resize(size, method)
    pixels = np.asarray(image).astype(np.float32)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_squares_are_those_of_the_training(channels: int, size: tuple[int, int]) -> None:
    preprocessing = Preprocessing.of((channels, 32, 32), PixelRange.UNIT)
    expected = square(photo(*size), 32, 1 if channels == 1 else 3).astype(np.float32)
    difference = np.abs(levels(preprocessing, photo(*size)) - expected)
    assert difference.max() <= 1 and difference.mean() < 0.25


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 20, 36)])
def test_every_fit_and_filter_is_that_of_pillow(shape: ImageShape, fit: Fit, filter: Resampling) -> None:
    zeros, ones = (0.0,) * shape[0], (1.0,) * shape[0]
    preprocessing = Preprocessing(shape, zeros, ones, fit, filter, 77.0)
    for size in SIZES:
        expected = by_pillow(photo(*size), shape, fit, filter, 77)
        difference = np.abs(levels(preprocessing, photo(*size)) - expected)
        assert difference.max() <= MOST_LEVELS[filter] and difference.mean() < MOST_MEAN, (
            size,
            difference.max(),
        )


@pytest.mark.parametrize("fit", list(SquareFit))
@pytest.mark.parametrize("share", [1.0, 0.875])
def test_the_squares_of_a_backbone_are_those_of_its_framing(fit: SquareFit, share: float) -> None:
    """Also where the border of a padded image falls, for many sizes."""
    framing = Framing(side=24, fit=fit, crop_share=share, fill=200)
    preprocessing = Preprocessing.of_framing(framing)
    draw = np.random.default_rng(1)
    for size in [*SIZES, *draw.integers(1, 90, (60, 2)).tolist()]:
        difference = np.abs(levels(preprocessing, photo(*size)) - framing.frame(photo(*size)))
        assert difference.max() <= MOST_LEVELS["bicubic"] and difference.mean() < MOST_MEAN, (
            size,
            difference.max(),
        )
    assert (preprocessing.mean, preprocessing.deviation) == (framing.mean, framing.std)


def test_scaling_is_that_of_the_networks() -> None:
    pixels = torch.tensor(
        [[[[0, 0, 0], [255, 255, 255]], [[51, 51, 51], [102, 102, 102]]]], dtype=torch.uint8
    )
    unit = Preprocess(Preprocessing.of((1, 2, 2), PixelRange.UNIT))(pixels)
    symmetric = Preprocess(Preprocessing.of((3, 2, 2), PixelRange.SYMMETRIC))(pixels)
    assert torch.allclose(unit, torch.tensor([[[[0.0, 1.0], [0.2, 0.4]]]]))
    assert torch.allclose(symmetric, (2 * unit - 1).expand(1, 3, 2, 2))
    own = Preprocessing((3, 2, 2), (10.0, 20.0, 30.0), (1.0, 2.0, 4.0))
    assert Preprocess(own)(pixels)[0, :, 0, 1].tolist() == [245.0, 117.5, 56.25]


def test_channels_keep_their_order() -> None:
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).expand(1, 5, 7, 3)
    found = Preprocess(Preprocessing.of((3, 4, 4), PixelRange.UNIT))(red)
    assert found.amin(dim=(0, 2, 3)).tolist() == found.amax(dim=(0, 2, 3)).tolist() == [1.0, 0.0, 0.0]
    grey = Preprocess(Preprocessing.of((1, 4, 4), PixelRange.UNIT)).resized(red)
    assert grey.unique().tolist() == [76.0]  # 0.299 of 255


@pytest.mark.parametrize(
    "arguments",
    [((2, 8, 8), (0.0, 0.0), (1.0, 1.0)), ((3, 8, 8), (0.0,), (1.0,)), ((1, 8, 8), (0.0,), (0.0,))],
)
def test_what_does_not_fit_is_refused(
    arguments: tuple[ImageShape, tuple[float, ...], tuple[float, ...]],
) -> None:
    with pytest.raises(ValueError):
        Preprocessing(*arguments)
