from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aral.data import Limits, folder_dataset
from aral.randomness import Stream
from aral.representations import FeatureCache, FeatureReader, projected, with_features
from aral.testing import CountingTrunk, planted_data, tiny_backbone


def test_a_folder_of_classes_gives_the_same_data_set_as_with_pixels(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number in range(12):
            path = tmp_path / "pets" / split / ("cats", "dogs")[number % 2] / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 8), (20 * number, 0, len(split))).save(path)
    bad = tmp_path / "pets" / "train" / "cats" / "02.png"
    bad.write_bytes(bad.read_bytes()[:-9])
    backbone, limits = tiny_backbone(), Limits(8, None, Stream.root(0))
    seen: list[tuple[int, int]] = []
    with FeatureCache.of(backbone, tmp_path / "cache") as cache:
        reader = FeatureReader(backbone, cache, lambda done, total: seen.append((done, total)))
        pixels, data, _ = (
            folder_dataset(tmp_path / "pets", 8, 0.5, Stream.root(1), limits=limits, reader=each)
            for each in (None, reader, reader)
        )
    assert data.pool.shape == (12, 1, 1) and data.pool.pixels.dtype == torch.float32
    assert len(data.pool) == 8 and data.note == pixels.note and data.class_names == pixels.class_names
    assert np.array_equal(data.pool_classes, pixels.pool_classes)
    expected = pixels.pool.pixels[:, 0].float().amax((1, 2))
    assert torch.allclose(data.pool.pixels[:, 0, 0, 0] * 128 + 127, expected, atol=16)
    assert torch.equal(data.pool.pixels[:, 0].argsort(dim=0), expected[:, None, None].argsort(dim=0))
    assert isinstance(backbone.trunk, CountingTrunk) and backbone.trunk.images == len(data.pool) + len(
        data.test
    )
    assert (8, 8) in seen


def test_arrays_become_projected_features(tmp_path: Path) -> None:
    planted, backbone = planted_data(), tiny_backbone()
    with FeatureCache.of(backbone, tmp_path) as cache:
        data = with_features(planted, FeatureReader(backbone, cache))
    assert with_features(data, FeatureReader(backbone, cache)) is data
    found, projection = projected(data, backbone, 3)
    assert found.pool.shape == found.test.images.shape == (3, 1, 1)
    assert np.array_equal(found.pool_classes, planted.pool_classes)
    assert float(found.pool.pixels.var(dim=0, correction=0).mean()) == pytest.approx(1, abs=1e-3)
    assert torch.allclose(
        projection(data.test.images.pixels.flatten(1)), found.test.images.pixels.flatten(1), atol=1e-4
    )
    assert found.features_of is not None and found.features_of.digest == backbone.digest
    assert "features of tiny" in found.note
