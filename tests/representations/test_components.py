"""Principal components of pixels: planted directions, order of id, and small sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.randomness import Stream
from aral.representations import components
from aral.representations.components import half_whitened, principal_components
from aral.types import ImageSet

STREAM = Stream.root(0)


def planted(count: int = 30) -> tuple[ImageSet, np.ndarray, np.ndarray]:
    """Grey images whose left half follows one number of the image and, weaker, right half another."""
    random = Stream.root(1).numpy()
    left, right = random.integers(-100, 101, count), random.integers(-20, 21, count)
    pixels = np.full((count, 1, 4, 4), 128)
    pixels[:, 0, :, :2] += left[:, None, None]
    pixels[:, 0, :, 2:] += right[:, None, None]
    return ImageSet.of(torch.from_numpy(pixels.astype(np.uint8))), left, right


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return abs(float(np.corrcoef(one, other)[0, 1]))


@pytest.mark.parametrize("count", [2, 16])
def test_leading_components_are_the_planted_ones(count: int) -> None:
    images, left, right = planted()
    found = principal_components(images, count, STREAM).numpy()
    assert found.shape == (30, count)
    assert found.dtype == np.float32
    # The two planted numbers are nearly uncorrelated, the first has 25 times the variance.
    assert correlation(found[:, 0], left) > 0.99
    assert correlation(found[:, 1], right) > 0.95
    assert np.abs(found.mean(axis=0)).max() < 1e-5


def test_distances_are_kept() -> None:
    """Two directions hold everything here, so two components keep all distances of the scaled pixels."""
    images, _, _ = planted()
    found = principal_components(images, 2, STREAM)
    flat = images.pixels.flatten(1).double() / 255
    torch.testing.assert_close(
        torch.cdist(found.double(), found.double()), torch.cdist(flat, flat), atol=1e-4, rtol=1e-3
    )


def test_rows_follow_the_ids_of_a_subset() -> None:
    images, left, _ = planted()
    ids = np.array([3, 4, 8, 15, 16, 23, 29], dtype=np.int64)
    found = principal_components(images.subset(ids[::-1].copy()), 1, STREAM).numpy()
    assert found.shape == (7, 1)
    assert correlation(found[:, 0], left[ids]) > 0.98


def test_same_stream_same_numbers() -> None:
    random = Stream.root(5).numpy()
    images = ImageSet.of(torch.from_numpy(random.integers(0, 256, (40, 3, 4, 4), dtype=np.uint8)))
    one, other = (principal_components(images, 5, STREAM) for _ in range(2))
    assert one.equal(other)


@pytest.mark.parametrize(
    ("images", "pixels", "wanted", "given"), [(3, 4, 50, 3), (20, 2, 50, 4), (2, 4, 1, 1)]
)
def test_no_more_components_than_images_or_pixels(images: int, pixels: int, wanted: int, given: int) -> None:
    random = Stream.root(2).numpy()
    array = random.integers(0, 256, (images, 1, pixels, pixels), dtype=np.uint8)
    found = principal_components(ImageSet.of(torch.from_numpy(array)), wanted, STREAM)
    assert found.shape == (images, given)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("count", [1, 4])
def test_images_without_any_difference_have_components_of_zero(count: int) -> None:
    """One image, or copies of one: nothing to tell apart, and no division by a variance of zero."""
    images = ImageSet.of(torch.full((count, 1, 3, 3), 77, dtype=torch.uint8))
    found = principal_components(images, 2, STREAM)
    assert found.shape == (count, min(count, 2))
    assert found.abs().max() == 0


def test_half_whitening_by_hand() -> None:
    """Standard deviations 4, 1 and 0 become 2, 1 and 0: each is divided by its root."""
    found = half_whitened(torch.tensor([[4.0, 1.0, 7.0], [-4.0, -1.0, 7.0]]))
    torch.testing.assert_close(found, torch.tensor([[2.0, 1.0, 7.0], [-2.0, -1.0, 7.0]]))


def test_components_of_more_images_than_memory_holds_are_nearly_those_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two strong directions: a fitted third of the images finds them, up to the sign."""
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.normal(size=(64, 2)))[0].T
    values = random.normal(size=(600, 2)) * [300, 150] @ directions + random.normal(size=(600, 64))
    images = ImageSet.of(torch.from_numpy(np.clip(128 + values, 0, 255).astype(np.uint8)).view(-1, 1, 8, 8))
    whole = principal_components(images, 2, STREAM).numpy()
    monkeypatch.setattr(components, "MOST_BYTES", 200 * 64 * 4)
    part = principal_components(images, 2, STREAM).numpy()
    assert part.shape == whole.shape
    agreement = [abs(np.corrcoef(whole[:, each], part[:, each])[0, 1]) for each in range(2)]
    assert min(agreement) > 0.99
    assert not np.array_equal(whole, part)


def test_components_of_many_copies_are_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "MOST_BYTES", 1)
    images = ImageSet.of(torch.full((40, 1, 3, 3), 7, dtype=torch.uint8))
    assert torch.equal(principal_components(images, 4, STREAM), torch.zeros(40, 4))
