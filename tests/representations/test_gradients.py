"""Oriented gradients: which way edges run, where they are, and nothing of how bright they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.neighbours import nearest_neighbours
from aral.randomness import Stream
from aral.representations.components import leading_components
from aral.representations.gradients import DIRECTIONS, FEW_DIRECTIONS, gradient_features, oriented_gradients
from aral.types import ImageSet


def edge(turned: int = 0, height: float = 1.0, side: int = 8) -> torch.Tensor:
    """Dark, then light: the step lies across the image, turned by quarter circles against the clock."""
    image = torch.zeros(1, 1, side, side)
    image[..., side // 2 :] = height
    return image.rot90(turned, (2, 3))


def directions(image: torch.Tensor, count: int) -> np.ndarray:
    """The share of each direction in a whole image, from the squares of the features."""
    return oriented_gradients(image).square().reshape(count, -1).sum(dim=1).numpy()


@pytest.mark.parametrize(("side", "count"), [(8, FEW_DIRECTIONS), (28, DIRECTIONS)])
@pytest.mark.parametrize(("turned", "quarters"), [(0, 0), (3, 1), (2, 2), (1, 3)])
def test_a_step_has_one_direction(turned: int, quarters: int, side: int, count: int) -> None:
    """To the right is 0 and down is a quarter of the circle on, which is 2 of 8 and 4 of 16."""
    shares = directions(edge(turned, side=side), count)
    assert shares == pytest.approx(np.eye(count)[quarters * count // 4], abs=1e-6)


def test_a_direction_between_two_is_shared() -> None:
    """A plane that rises by 2 across for each 1 down: atan(1/2) is 0.59 of an eighth of the circle."""
    down, across = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
    plane = (2 * across + down)[None, None]
    inside = oriented_gradients(plane).square().reshape(FEW_DIRECTIONS, 4, 4)[:, 1:3, 1:3].sum(dim=(1, 2))
    at = np.arctan2(1, 2) / (2 * np.pi) * FEW_DIRECTIONS
    assert (
        float(inside[1] / inside[:2].sum()) == pytest.approx(at, abs=1e-5) and float(inside[2:].sum()) < 1e-6
    )


def test_rows_have_length_one_and_blank_images_none() -> None:
    images = torch.cat([edge(), edge(1), torch.full((1, 1, 8, 8), 0.4)])
    assert oriented_gradients(images).norm(dim=1).tolist() == pytest.approx([1.0, 1.0, 0.0])


def test_brightness_and_contrast_do_not_matter_and_direction_does() -> None:
    images = torch.cat([edge(), 0.3 + edge(height=0.2), edge(2)])
    one, fainter, opposite = oriented_gradients(images)
    torch.testing.assert_close(one, fainter)
    assert float(one @ opposite) == 0


def test_of_several_channels_the_steepest_counts() -> None:
    colour = torch.cat([edge(2, 0.2), edge(0, 0.9), torch.zeros(1, 1, 8, 8)], dim=1)
    torch.testing.assert_close(oriented_gradients(colour), oriented_gradients(edge()))


def test_a_stroke_moved_by_a_pixel_is_nearer_than_one_that_is_turned() -> None:
    """In pixels it is not: a thin stroke that has moved shares no pixel with itself."""
    upright = torch.zeros(28, 28)
    upright[4:24, 12] = 1
    images = torch.stack([upright, upright.roll(1, 1), upright.T])[:, None]
    near, far = ((oriented_gradients(images)[0] - other).norm() for other in oriented_gradients(images)[1:])
    assert near < 0.5 * far
    flat = images.flatten(1)
    assert (flat[0] - flat[1]).norm() > (flat[0] - flat[2]).norm()


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1, 28, 28), 16 * 9 * 9), ((3, 32, 32), 16 * 10 * 10), ((1, 26, 30), 8 * 13 * 15), ((1, 2, 5), 8 * 2)],
)
def test_sizes(shape: tuple[int, int, int], size: int) -> None:
    """Cells of 3, of 3, of 2 and of 2 pixels."""
    assert oriented_gradients(torch.rand(2, *shape)).shape == (2, size)


def test_a_set_is_read_in_chunks_in_order_of_id(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.randint(
        0, 256, (7, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    monkeypatch.setattr("aral.representations.gradients._CHUNK", 3)
    images = ImageSet.of(pixels)
    torch.testing.assert_close(gradient_features(images), oriented_gradients(pixels.float() / 255))
    part = images.subset(np.array([5, 1], dtype=np.int64))
    torch.testing.assert_close(gradient_features(part), gradient_features(images)[[1, 5]])
    rows, _ = nearest_neighbours(leading_components(gradient_features(images), 5, Stream.root(0)), 2)
    assert rows.shape == (7, 2)
