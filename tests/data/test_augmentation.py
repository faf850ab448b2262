"""Augmentation is a function of stream, id and occurrence; what it does is seen on named pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.data.augmentation import Augmentation, augment, occurrences
from aral.randomness import Stream

STREAM = Stream.root(3)
IDS = np.array([4, 9, 4, 2, 9, 4], dtype=np.int64)
EVERYTHING = Augmentation(shift=0.2, scale=0.3, rotation=30, shear=10, flip=True, colour=0.5, cut_out=0.4)


def pictures(count: int, height: int = 8, width: int = 6) -> torch.Tensor:
    return torch.rand(count, 2, height, width, generator=torch.Generator().manual_seed(0))


def test_occurrences_by_hand() -> None:
    assert occurrences(IDS).tolist() == [0, 0, 1, 0, 1, 2]
    assert occurrences(IDS[:0]).tolist() == []


def test_nothing_allowed_changes_nothing() -> None:
    images = pictures(6)
    assert augment(images, IDS, Augmentation(), STREAM) is images


def test_an_image_is_changed_alike_in_any_company() -> None:
    images = pictures(6)
    whole = augment(images, IDS, EVERYTHING, STREAM)
    alone = augment(images[3:4], IDS[3:4], EVERYTHING, STREAM)
    torch.testing.assert_close(whole[3:4], alone)
    order = [3, 1, 0, 2, 4, 5]  # keeps the order of equal ids
    torch.testing.assert_close(augment(images[order], IDS[order], EVERYTHING, STREAM), whole[order])


def test_occurrences_and_streams_differ() -> None:
    images = pictures(1).repeat(6, 1, 1, 1)
    whole = augment(images, IDS, EVERYTHING, STREAM)
    assert not torch.allclose(whole[0], whole[2])
    assert not torch.allclose(whole, augment(images, IDS, EVERYTHING, STREAM.child("other")))
    torch.testing.assert_close(whole, augment(images, IDS, EVERYTHING, STREAM))


def test_flips_exchange_columns_of_about_half() -> None:
    ids = np.arange(400, dtype=np.int64)
    images = pictures(400)
    found = augment(images, ids, Augmentation(flip=True), STREAM)
    flipped = torch.isclose(found, images.flip(3), atol=1e-5).all(dim=(1, 2, 3))
    kept = torch.isclose(found, images, atol=1e-5).all(dim=(1, 2, 3))
    assert (flipped ^ kept).all()
    assert 150 < int(flipped.sum()) < 250


def test_shifts_are_whole_pixels_within_the_limit() -> None:
    """Each interior pixel of the result is a pixel of the image, at one common displacement of at most 2."""
    ids = np.arange(60, dtype=np.int64)
    images = pictures(60, 10, 10)
    found = augment(images, ids, Augmentation(shift=0.2), STREAM)
    seen = set()
    for image, result in zip(images, found, strict=True):
        matches = [
            (down, across)
            for down in range(-2, 3)
            for across in range(-2, 3)
            if torch.allclose(
                result[:, 2:8, 2:8], image[:, 2 + down : 8 + down, 2 + across : 8 + across], atol=1e-4
            )
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert {down for down, _ in seen} == {across for _, across in seen} == {-2, -1, 0, 1, 2}


def test_a_turn_keeps_distances_on_images_that_are_not_square() -> None:
    """A dot eight pixels off the centre stays eight pixels off, whatever the angle."""
    images = torch.zeros(50, 1, 41, 21)
    images[:, 0, 12, 10] = 1.0
    found = augment(images, np.arange(50, dtype=np.int64), Augmentation(rotation=180), STREAM)[:, 0]
    down, across = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(21.0) - 10, indexing="ij")
    found = found * (down.hypot(across) < 11)  # mirror images of the dot appear in the far corners
    mass = found.sum(dim=(1, 2))
    centres = torch.stack([(found * down).sum(dim=(1, 2)) / mass, (found * across).sum(dim=(1, 2)) / mass])
    torch.testing.assert_close(centres.norm(dim=0), torch.full((50,), 8.0), atol=0.15, rtol=0)
    assert centres.std(dim=1).min() > 1


def test_scale_enlarges_and_shrinks() -> None:
    images = torch.zeros(50, 1, 32, 32)
    images[:, :, 12:20, 12:20] = 1.0
    areas = augment(images, np.arange(50, dtype=np.int64), Augmentation(scale=0.5), STREAM).sum(dim=(1, 2, 3))
    assert 0.25 * 64 - 3 < areas.min() < 40 and 90 < areas.max() < 2.25 * 64 + 3


def test_a_cut_out_square_has_the_images_mean() -> None:
    images = pictures(40, 10, 10)
    found = augment(images, np.arange(40, dtype=np.int64), Augmentation(cut_out=0.4), STREAM)
    changed = (found != images).any(dim=1)
    counts = changed.sum(dim=(1, 2))
    assert 4 <= counts.min() and counts.max() == 16
    for image, result, mask in zip(images, found, changed, strict=True):
        torch.testing.assert_close(
            result[:, mask], image.mean(dim=(1, 2))[:, None].expand(-1, int(mask.sum()))
        )


def recoloured(images: torch.Tensor) -> torch.Tensor:
    ids = np.arange(len(images), dtype=np.int64)
    return augment(images, ids, Augmentation(colour=0.5), STREAM)


def test_brightness_contrast_and_saturation_by_hand() -> None:
    """Three grey values stay grey and equally spaced; their spacing is brightness times contrast, 0.25 to 2.25."""
    images = torch.zeros(200, 3, 2, 5)  # of the ten pixels two are bounds, 0 and 1, the rest the ramp
    images[:, :, 0] = torch.tensor([0.0, 0.28, 0.3, 0.32, 0.3])
    images[:, :, 1] = torch.tensor([1.0, 0.28, 0.3, 0.32, 0.3])
    found = recoloured(images)
    assert torch.allclose(found[:, 0], found[:, 1]) and torch.allclose(found[:, 1], found[:, 2])
    one, two, three = found[:, 0, 0, 1:4].unbind(dim=1)
    inside = (one > 1e-3) & (three < 1 - 1e-3)
    assert inside.sum() > 150
    torch.testing.assert_close((three - two)[inside], (two - one)[inside])
    spacing = (three - two)[inside] / 0.02
    assert 0.25 <= spacing.min() < 0.5 and 1.5 < spacing.max() <= 2.25


def test_saturation_moves_channels_to_and_from_grey() -> None:
    """Brightness and contrast scale the differences between channels alike in all pixels; their signs stay."""
    images = torch.full((200, 3, 2, 2), 0.5)
    images[:, 0] += 0.05
    images[:, 1] -= 0.05
    images[:, :, 0, 0], images[:, :, 1, 1] = 0.0, 1.0  # room for the others
    found = recoloured(images)
    apart = found[:, 0, 0, 1] - found[:, 1, 0, 1]
    assert (apart > 0).all()
    ratio = apart / 0.1
    assert 0.125 <= ratio.min() < 0.4 and 1.6 < ratio.max() <= 3.375


def test_the_grey_of_every_pixel_follows_one_line() -> None:
    """Saturation leaves it, so of an image's greys brightness and contrast make a line, the same for all pixels."""
    images = 0.5 + 0.05 * torch.randn(100, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    images[:, :, 0, 0], images[:, :, 3, 3] = 0.0, 1.0
    for before, after in zip(images, recoloured(images), strict=True):
        whole = ((after > 0) & (after < 1)).all(dim=0)  # pixels in which nothing was held back
        x, y = before.mean(dim=0)[whole], after.mean(dim=0)[whole]
        if len(x) > 2:
            slope = (y[-1] - y[0]) / (x[-1] - x[0])
            torch.testing.assert_close(y, y[0] + slope * (x - x[0]), atol=1e-4, rtol=0)


def test_one_channel_has_no_saturation() -> None:
    """Brightness and contrast of one channel are those of three equal ones."""
    images = pictures(30)[:, :1]
    torch.testing.assert_close(recoloured(images), recoloured(images.repeat(1, 3, 1, 1))[:, :1])


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_values_stay_within_the_range(low: float) -> None:
    images = low + (1 - low) * pictures(6)
    found = augment(images, IDS, EVERYTHING, STREAM)
    assert found.shape == images.shape and found.dtype == images.dtype
    assert found.min() >= low - 1e-6 and found.max() <= 1 + 1e-6
