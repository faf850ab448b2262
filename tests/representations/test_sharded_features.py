"""Features of shards: complete or not there, in order, of the right version, and with flat memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import fsspec
import numpy as np
import pytest

from aral.data.shards import ROWS, Shard, open_shard
from aral.data.unreadable import Reason
from aral.errors import BadInput, Stopped
from aral.representations import (
    Absent,
    Backbone,
    FeaturesFolder,
    ImageFiles,
    ShardFeatures,
    features_in_order,
)
from aral.testing import (
    CountingTrunk,
    parquet_bytes,
    small_images,
    tar_bytes,
    tiny_backbone,
    write_parquet,
    write_tar,
)

IMAGES = small_images(150)
KEYS = [f"image-{number:03}" for number in range(150)]


def seen(backbone: Backbone) -> int:
    assert isinstance(backbone.trunk, CountingTrunk)
    return backbone.trunk.images


def found(folder: FeaturesFolder, shard: Shard) -> ShardFeatures:
    features = folder.find(shard)
    assert isinstance(features, ShardFeatures)
    return features


@pytest.mark.parametrize("kind", ["parquet", "tar"])
def test_features_are_those_of_the_same_images_in_a_folder(tmp_path: Path, kind: str) -> None:
    write = {"parquet": write_parquet, "tar": write_tar}[kind]
    shard = open_shard(str(write(tmp_path / f"a.{kind}", KEYS, IMAGES)))
    backbone = tiny_backbone()
    folder = FeaturesFolder(tmp_path / "features", backbone)
    assert folder.find(shard) is Absent.NEW
    counts: list[int] = []
    computed = folder.compute(shard, counts.append)
    assert counts == sorted(counts) and counts[-1] == shard.bytes
    for name, content in zip(KEYS, IMAGES, strict=True):
        (tmp_path / name).write_bytes(content)
    expected = np.stack(list(features_in_order(ImageFiles(tmp_path, KEYS), tiny_backbone())))
    for features in (computed, found(folder, shard)):
        assert list(features.keys) == KEYS and features.rows.tolist() == list(range(150))
        assert features.features().dtype == np.float16
        assert np.array_equal(features.features(), expected.astype(np.float16))
    assert seen(backbone) == 150
    assert computed.not_read == ({"cls": 150} if kind == "tar" else {})


def test_images_that_cannot_be_decoded_are_named_and_have_no_features(tmp_path: Path) -> None:
    images = [IMAGES[0], b"no image", IMAGES[1], IMAGES[2][:-40], IMAGES[3]]
    shard = open_shard(str(write_parquet(tmp_path / "a.parquet", KEYS[:5], images)))
    folder = FeaturesFolder(tmp_path / "features", tiny_backbone())
    folder.compute(shard)
    features = found(folder, shard)
    assert list(features.keys) == [KEYS[0], KEYS[2], KEYS[4]] and features.rows.tolist() == [0, 2, 4]
    assert [(bad.path, bad.reason) for bad in features.unreadable] == [
        (KEYS[1], Reason.NOT_AN_IMAGE),
        (KEYS[3], Reason.TRUNCATED),
    ]
    assert features.features().shape == (3, 12)
    bad = open_shard(str(write_parquet(tmp_path / "bad.parquet", KEYS[:2], [b"no", b"image"])))
    folder.compute(bad)
    assert len(found(folder, bad)) == 0 and found(folder, bad).features().shape == (0, 12)


def test_another_version_backbone_or_file_is_computed_again(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", KEYS[:4], IMAGES[:4])
    old = open_shard(str(path))
    folder = FeaturesFolder(tmp_path / "features", tiny_backbone())
    folder.compute(old)
    assert FeaturesFolder(tmp_path / "features", tiny_backbone("other")).find(old) is Absent.NEW
    write_parquet(path, KEYS[:5], IMAGES[4:9])
    new = open_shard(str(path))
    assert folder.find(new) is Absent.CHANGED
    assert len(folder.compute(new)) == 5
    assert folder.find(old) is Absent.CHANGED  # as it is when the old content comes back
    (features,) = folder.path.glob("*.npy")
    features.write_bytes(features.read_bytes()[:-1])
    assert folder.find(new) is Absent.DAMAGED
    folder.compute(new)
    (about,) = folder.path.glob("*.json")
    about.write_text(about.read_text()[:-10])
    assert folder.find(new) is Absent.DAMAGED
    folder.compute(new)
    about.write_text(json.dumps(json.loads(about.read_text()) | {"backbone key": "another"}))
    assert folder.find(new) is Absent.DAMAGED
    folder.compute(new)
    next(folder.path.glob("*.npy")).unlink()
    assert folder.find(new) is Absent.DAMAGED


def test_other_keys_are_read_without_computing_features_again(tmp_path: Path) -> None:
    content = parquet_bytes(
        {"image": [*IMAGES[:3], b"bad", IMAGES[3]], "id": KEYS[:5], "name": list("abcde")}
    )
    (tmp_path / "a.parquet").write_bytes(content)
    backbone = tiny_backbone()
    folder = FeaturesFolder(tmp_path / "features", backbone)
    before = folder.compute(open_shard(str(tmp_path / "a.parquet"))).features().copy()
    for keys, expected in (
        ("name", list("abce")),
        (ROWS, [f"{tmp_path}/a.parquet#{row}" for row in (0, 1, 2, 4)]),
    ):
        shard = open_shard(str(tmp_path / "a.parquet"), keys=keys)
        assert folder.find(shard) is Absent.OTHER_KEYS
        folder.compute(shard)
        features = found(folder, shard)
        assert list(features.keys) == expected and np.array_equal(features.features(), before)
    assert features.unreadable[0].path == f"{tmp_path}/a.parquet#3"
    assert seen(backbone) == 4


def test_a_stop_or_an_error_leaves_nothing(tmp_path: Path) -> None:
    shard = open_shard(str(write_tar(tmp_path / "a.tar", KEYS, IMAGES)))
    folder = FeaturesFolder(tmp_path / "features", tiny_backbone())
    read: list[int] = []
    with pytest.raises(Stopped):
        folder.compute(shard, read.append, lambda: bool(read))
    double = tar_bytes([(f"{KEYS[0]}.png", IMAGES[0]), (f"{KEYS[0]}.png", IMAGES[1])])
    (tmp_path / "b.tar").write_bytes(double)
    with pytest.raises(BadInput, match="is of rows 0 and 1"):
        folder.compute(open_shard(str(tmp_path / "b.tar")))
    assert list(folder.path.iterdir()) == []


def test_a_killed_process_leaves_no_features_that_count(tmp_path: Path) -> None:
    shard = open_shard(str(write_tar(tmp_path / "a.tar", KEYS, IMAGES)))
    code = """
import json, os, signal, sys
from pathlib import Path
from aral.data.shards import Shard
from aral.representations import FeaturesFolder
from aral.testing import tiny_backbone
folder = FeaturesFolder(Path(sys.argv[1]), tiny_backbone())
folder.compute(Shard.of_json(json.loads(sys.argv[2])), lambda read: os.kill(os.getpid(), signal.SIGKILL))
"""
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "features"), json.dumps(shard.as_json())],
        env=os.environ,
    )
    assert killed.returncode == -signal.SIGKILL
    folder = FeaturesFolder(tmp_path / "features", tiny_backbone())
    assert len(list(folder.path.iterdir())) == 1 and folder.find(shard) is Absent.NEW
    folder.remove_unfinished()
    assert list(folder.path.iterdir()) == []
    assert len(folder.compute(shard)) == 150


def test_features_too_large_for_float16_are_refused(tmp_path: Path) -> None:
    class Large(CountingTrunk):
        def forward(self, images):  # type: ignore[no-untyped-def]
            return super().forward(images) * 1e9

    shard = open_shard(str(write_parquet(tmp_path / "a.parquet", KEYS[:4], IMAGES[:4])))
    folder = FeaturesFolder(tmp_path / "features", tiny_backbone(trunk=Large()))
    with pytest.raises(BadInput, match="too large for float16"):
        folder.compute(shard)


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_memory_does_not_grow_with_the_shard(tmp_path: Path, kind: str) -> None:
    """Of four times as many images, 10 kB each, in one row group, no more is in memory."""
    noise = np.random.default_rng(0)
    contents = [IMAGES[number % 150] + noise.bytes(10_000) for number in range(1000)]
    peaks = []
    for count in (250, 1000):
        if kind == "tar":
            shard = tar_bytes([(f"{number}.png", contents[number]) for number in range(count)])
        else:
            shard = parquet_bytes({"image": contents[:count]}, count)
        fsspec.filesystem("memory").pipe(f"/a.{kind}", shard)
        folder = FeaturesFolder(tmp_path / str(count), tiny_backbone())
        opened = open_shard(f"memory://a.{kind}")
        tracemalloc.start()
        folder.compute(opened, workers=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2_000_000
