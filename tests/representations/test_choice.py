"""The choice between pixels and a backbone, by size, colour and the agreement of neighbours across views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from aral.randomness import Stream
from aral.representations import (
    Backbone,
    Choice,
    FeatureCache,
    ImageArrays,
    ImageFiles,
    Images,
    backbone_by_size,
    choose_backbone,
    view_agreement,
)
from aral.representations.choice import MARGIN, NEIGHBOURS, SAMPLE, SMALL_SAMPLE
from aral.testing import tiny_backbone

Choose = Callable[..., Choice]


@pytest.fixture
def choose(tmp_path: Path) -> Iterator[Choose]:
    def made(images: Images, backbone: Backbone | None = None) -> Choice:
        backbone = backbone or tiny_backbone()
        with FeatureCache.of(backbone, tmp_path / "cache") as cache:
            return choose_backbone(images, backbone, cache, Stream.root(0))

    yield made


def noise(count: int, channels: int, side: int) -> ImageArrays:
    values = np.random.default_rng(0).integers(0, 256, (count, channels, side, side))
    return ImageArrays(values.astype(np.uint8))


@pytest.mark.parametrize(
    ("side", "channels", "expected"),
    [
        (28, 1, "pixels"),
        (64, 1, "pixels"),
        (65, 1, None),
        (16, 3, None),
        (17, 3, "efficientnet-lite0-spatial"),
        (512, 3, "efficientnet-lite0-spatial"),
    ],
)
def test_what_size_and_colour_decide(side: int, channels: int, expected: str | None) -> None:
    assert backbone_by_size(side, channels) == expected


def test_agreement_is_the_share_of_common_neighbours() -> None:
    """Six points on a line, two neighbours each; the views of two of them lie elsewhere."""
    originals = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]], dtype=np.float32)
    assert view_agreement(originals, originals, 2) == 1.0
    views = originals.copy()
    views[0], views[4] = 11.5, 8.0  # neighbours 4 and 5 instead of 1 and 2; 3 and 5 as before
    assert view_agreement(originals, views, 2) == pytest.approx(5 / 6)
    line = np.array([[0.0], [1.0], [2.5], [4.5]], dtype=np.float32)
    moved = np.array([[0.1], [1.4], [2.9], [4.5]], dtype=np.float32)
    assert view_agreement(line, moved, 1) == 0.5, "an image is no neighbour of its own view"
    random = np.random.default_rng(0).normal(size=(2, 200, 8)).astype(np.float32)
    assert view_agreement(random[0], random[1], 5) == pytest.approx(5 / 199, abs=0.02)


@pytest.mark.parametrize(("images", "expected"), [(noise(140, 1, 20), "pixels"), (noise(140, 3, 20), "tiny")])
def test_where_size_and_colour_decide_the_agreement_is_only_reported(
    choose: Choose, images: ImageArrays, expected: str
) -> None:
    found = choose(images)
    assert found.backbone == expected and found.facts is not None
    assert (found.facts.images, found.facts.side) == (SMALL_SAMPLE, 20)
    assert found.facts.pixels is not None and found.facts.backbone is not None
    for number in (found.facts.pixels, found.facts.backbone):
        assert f"{100 * number:.0f} %" in found.reason


def quarters(count: int) -> ImageArrays:
    """Grey images whose quarters have a brightness each, under noise: little for gradients, all for mean colours."""
    rng = np.random.default_rng(1)
    levels = rng.integers(100, 156, (count, 1, 2, 2)).repeat(40, axis=2).repeat(40, axis=3)
    return ImageArrays((levels + rng.integers(-100, 100, (count, 1, 80, 80))).astype(np.uint8))


def stripes(count: int) -> ImageArrays:
    """Grey images of stripes of one direction each: gradients find it in the crop too."""
    rng = np.random.default_rng(2)
    down, across = np.mgrid[:80, :80]
    angles, phases = rng.uniform(0, np.pi, (2, count))
    waves = [
        np.sin(0.3 * (across * np.cos(a) + down * np.sin(a)) + p) for a, p in zip(angles, phases, strict=True)
    ]
    return ImageArrays((127 + 100 * np.array(waves)[:, None]).astype(np.uint8))


class Corner(nn.Module):
    """Twelve pixels of a corner, which a crop does not show."""

    def forward(self, images: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N 12"]:
        return images[:, :, :2, :2].flatten(1)


@pytest.mark.parametrize(
    ("images", "trunk", "expected"), [(quarters(300), None, "tiny"), (stripes(300), Corner(), "pixels")]
)
def test_in_between_an_agreement_that_is_clearly_higher_wins(
    choose: Choose, images: ImageArrays, trunk: nn.Module | None, expected: str
) -> None:
    found = choose(images, tiny_backbone(trunk=trunk))
    facts = found.facts
    assert facts is not None and facts.images == SAMPLE and (facts.side, facts.channels) == (80, 1)
    assert facts.pixels is not None and facts.backbone is not None
    assert found.backbone == expected == ("tiny" if facts.backbone > facts.pixels else "pixels")
    assert abs(facts.backbone - facts.pixels) > 0.2
    assert choose(images, tiny_backbone(trunk=trunk)) == found


def test_a_sample_is_in_colour_if_one_image_shows_it(choose: Choose) -> None:
    grey = np.repeat(noise(30, 1, 20).pixels, 3, axis=1)
    assert choose(ImageArrays(grey)).backbone == "pixels"
    grey[7, 0] = 255 - grey[7, 0]
    found = choose(ImageArrays(grey))
    assert found.backbone == "tiny" and found.facts is not None and found.facts.channels == 3


def test_images_that_cannot_be_read_are_passed_over(tmp_path: Path, choose: Choose) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    names = [f"{number:02}.png" for number in range(12)]
    for name, pixels in zip(names, noise(12, 3, 30).pixels, strict=True):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / name)
    for name in names[:3]:
        (folder / name).write_bytes((folder / name).read_bytes()[:-40])
    found = choose(ImageFiles(folder, names))
    assert found.backbone == "tiny" and found.facts is not None and found.facts.images == 9
    for name in names[3:9]:
        (folder / name).unlink()
    found = choose(ImageFiles(folder, names))
    assert found.backbone == "tiny" and found.facts is not None and found.facts.pixels is None
    for name in names[9:]:
        (folder / name).unlink()
    found = choose(ImageFiles(folder, names))
    assert (found.backbone, found.facts) == ("pixels", None) and "can be read" in found.reason


@pytest.mark.parametrize(
    ("channels", "side", "expected"), [(1, 80, "tiny"), (3, 12, "tiny"), (1, 40, "pixels")]
)
def test_with_a_few_images_that_cannot_be_compared_pixels_are_for_small_grey_ones(
    choose: Choose, channels: int, side: int, expected: str
) -> None:
    found = choose(noise(NEIGHBOURS + 1, channels, side))
    assert found.backbone == expected
    assert ("too few" in found.reason) == ((channels, side) != (1, 40))


@pytest.mark.parametrize(
    ("channels", "side", "lead", "expected"),
    [
        (1, 80, -MARGIN + 0.01, "tiny"),
        (1, 80, -MARGIN - 0.01, "pixels"),
        (3, 12, -MARGIN + 0.01, "tiny"),
        (3, 12, -MARGIN - 0.01, "pixels"),
    ],
)
def test_pixels_are_chosen_where_they_are_clearly_ahead(
    choose: Choose, monkeypatch: pytest.MonkeyPatch, channels: int, side: int, lead: float, expected: str
) -> None:
    """The agreement is given: first of the features, then of pixels."""
    shares = iter((0.5 + lead, 0.5))
    monkeypatch.setattr("aral.representations.choice.view_agreement", lambda originals, views: next(shares))
    assert choose(noise(20, channels, side)).backbone == expected
