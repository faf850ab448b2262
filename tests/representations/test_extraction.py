import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aral.data import Reason
from aral.data.image_file import Opened
from aral.data.unreadable import Unreadable
from aral.errors import BadInput
from aral.representations import (
    VIEWS,
    Backbone,
    FeatureCache,
    ImageArrays,
    ImageFiles,
    extract_features,
    features_in_order,
    view_of,
)
from aral.representations.backbone import BATCH
from aral.testing import CountingTrunk, tiny_backbone


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[FeatureCache]:
    with FeatureCache.of(tiny_backbone(), tmp_path / "cache") as cache:
        yield cache


def images_seen(backbone: Backbone) -> int:
    assert isinstance(backbone.trunk, CountingTrunk)
    return backbone.trunk.images


def saved(folder: Path, count: int) -> ImageFiles:
    folder.mkdir()
    names = [f"{number:03}.png" for number in range(count)]
    for number, name in enumerate(names):
        Image.new("RGB", (12, 12), (number, 0, 0)).save(folder / name)
    return ImageFiles(folder, names)


def test_features_belong_to_their_images_and_are_computed_once(tmp_path: Path, cache: FeatureCache) -> None:
    files, backbone = saved(tmp_path / "photos", 70), tiny_backbone()
    counts: list[int] = []
    found = extract_features(files, backbone, cache, progress=counts.append)
    assert found.complete and found.unreadable == [] and counts == sorted(counts) and counts[-1] == 70
    features = cache.rows(found.rows(range(70)))
    assert np.allclose(features[:, 0] * 128 + 127, np.arange(70), atol=0.1)
    assert found.cached[3, "original"].format == "PNG"
    again = extract_features(files, backbone, cache)
    assert images_seen(backbone) == 70 and again.cached == found.cached


def test_bad_images_are_listed_and_stop_nothing(tmp_path: Path, cache: FeatureCache) -> None:
    files, backbone = saved(tmp_path / "photos", 12), tiny_backbone()
    whole = (files.folder / "002.png").read_bytes()
    for name in ("002.png", "005.png"):
        (files.folder / name).write_bytes(whole[:-20])
    (files.folder / "007.png").unlink()
    (files.folder / "009.png").write_bytes((files.folder / "001.png").read_bytes())
    found = extract_features(files, backbone, cache)
    bad = {each.path: each.reason for each in found.unreadable}
    assert bad == {"002.png": Reason.TRUNCATED, "005.png": Reason.TRUNCATED, "007.png": Reason.MISSING}
    assert {position for position, _ in found.cached} == set(range(12)) - {2, 5, 7}
    assert found.cached[9, "original"] == found.cached[1, "original"]
    assert images_seen(backbone) == 8 and len(cache) == 8


def test_the_order_is_kept_and_a_stopped_extraction_continues(tmp_path: Path, cache: FeatureCache) -> None:
    files, backbone = saved(tmp_path / "photos", 40), tiny_backbone()
    calls: list[int] = []
    stopped = extract_features(
        files,
        backbone,
        cache,
        order=reversed(range(40)),
        progress=calls.append,
        stopping=lambda: len(calls) >= 1,
        workers=1,
    )
    done = sorted(position for position, _ in stopped.cached)
    assert not stopped.complete and 0 < len(done) < 40 and done == list(range(40 - len(done), 40))
    assert extract_features(files, backbone, cache).complete
    assert images_seen(backbone) == 40


def test_views_are_rows_of_their_own(cache: FeatureCache) -> None:
    pixels = np.zeros((2, 3, 8, 8), np.uint8)
    pixels[0, 0, :, 4:] = 200
    backbone = tiny_backbone()
    found = extract_features(ImageArrays(pixels), backbone, cache, views=VIEWS)
    assert len(cache) == 2 * len(VIEWS) == images_seen(backbone)
    original, flip = (cache.rows(found.rows([0], view)).reshape(3, 2, 2) for view in ("original", "flip"))
    assert np.array_equal(original, flip[:, :, ::-1]) and not np.array_equal(original, flip)
    with pytest.raises(BadInput, match="no view 'upside-down'"):
        extract_features(ImageArrays(pixels), backbone, cache, views=["upside-down"])


def test_crops_are_the_corners_and_the_centre() -> None:
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    first = [int(np.asarray(view_of(image, f"crop-{number}"))[0, 0]) for number in range(1, 6)]
    assert first == [0, 2, 16, 18, 9]
    assert view_of(image, "crop-1").size == (6, 6) and view_of(Image.new("L", (1, 1)), "crop-4").size == (
        1,
        1,
    )


def test_arrays_and_files_are_told_by_their_content(tmp_path: Path, cache: FeatureCache) -> None:
    grey = np.full((3, 1, 8, 8), 9, np.uint8)
    grey[2] = 10
    backbone = tiny_backbone()
    found = extract_features(ImageArrays(grey), backbone, cache)
    assert images_seen(backbone) == 2 and found.cached[0, "original"] == found.cached[1, "original"]
    files = saved(tmp_path / "photos", 1)
    content = hashlib.sha256((files.folder / "000.png").read_bytes()).hexdigest()
    assert (
        files.digest(0) == content and ImageFiles(files.folder, files.names, digests=["ab"]).digest(0) == "ab"
    )


# Without a cache


def test_features_in_order_are_those_of_the_cache(tmp_path: Path, cache: FeatureCache) -> None:
    files, backbone = saved(tmp_path / "photos", 70), tiny_backbone()
    (files.folder / "005.png").write_bytes(b"no image")
    (files.folder / "069.png").unlink()
    found = list(features_in_order(files, backbone))
    bad = {place: each for place, each in enumerate(found) if isinstance(each, Unreadable)}
    assert {place: (each.path, each.reason) for place, each in bad.items()} == {
        5: ("005.png", Reason.NOT_AN_IMAGE),
        69: ("069.png", Reason.MISSING),
    }
    good = [place for place in range(70) if place not in bad]
    expected = cache.rows(extract_features(files, backbone, cache).rows(good))
    assert np.allclose(np.stack([found[place] for place in good]), expected, atol=2e-3)
    assert list(features_in_order(ImageFiles(files.folder, []), backbone)) == []


def test_images_are_read_a_little_ahead_only(tmp_path: Path) -> None:
    """So memory does not grow with the number of images; stopping early reads no further ones."""
    files, opened = saved(tmp_path / "photos", 200), []

    class Watched(ImageFiles):
        def open(self, position: int, enough: tuple[int, int]) -> Opened:
            opened.append(position)
            return super().open(position, enough)

    threads = torch.get_num_threads()
    rows = features_in_order(Watched(files.folder, files.names), tiny_backbone(), workers=2)
    for _ in range(20):
        next(rows)
    assert len(opened) <= 20 + 6 * BATCH
    rows.close()
    assert len(opened) <= 20 + 6 * BATCH and torch.get_num_threads() == threads
