"""Predictions for shards are those for the same images in a folder, also after a kill."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from aral.annotation import Classifier, Description, predict
from aral.annotation.sharded_predictions import predict_shards
from aral.benchmarking import GridObserver, Job, ShardResources
from aral.cli import main
from aral.data.dataset import FeaturesOf
from aral.data.shards import open_shards
from aral.errors import BadInput
from aral.networks import FeatureFamily
from aral.representations import Backbone, RepresentationSettings, fit_projection, make_backbone
from aral.testing import small_images, write_parquet, write_tar

COUNT, BAD = 40, (0, 13, 39)
KEYS = [f"{number:02}" for number in range(COUNT)]


def classifier_of(backbone: Backbone) -> Classifier:
    """Of three classes, with random weights on four components."""
    draw = np.random.default_rng(5)
    squares = torch.from_numpy(
        draw.integers(0, 256, (30, 3, backbone.framing.side, backbone.framing.side)).astype(np.uint8)
    )
    projection = fit_projection(backbone.features(squares).numpy(), 4)
    family = FeatureFamily(discriminator_sizes=(), input_noise=0.0)
    state = family.discriminator((4, 1, 1), 3, 4).state_dict()
    state |= {"class_layer.weight": torch.from_numpy(draw.normal(size=(3, 4))).float()}
    framing = backbone.framing.model_dump_json()
    made = FeaturesOf(backbone.name, backbone.licence, backbone.source, backbone.digest, framing, 4)
    described = Description(family, (4, 1, 1), ("a", "b", "c"), (0, 1, 2), 4, {}, made)
    return Classifier(described, state, projection)


@pytest.fixture
def classifier() -> Classifier:
    """On oriented gradients of another side than their own."""
    return classifier_of(make_backbone(RepresentationSettings(backbone="gradients", side=24)))


@pytest.fixture
def pool(tmp_path: Path) -> list[str]:
    """Two shards, and the same images as files of ``photos``."""
    (tmp_path / "photos").mkdir()
    images = small_images(COUNT)
    for number in BAD:
        images[number] = b"no image"
    for key, content in zip(KEYS, images, strict=True):
        (tmp_path / "photos" / key).write_bytes(content)
    write_parquet(tmp_path / "a.parquet", KEYS[:25], images[:25])
    write_tar(tmp_path / "b.tar", KEYS[25:], images[25:])
    return [str(tmp_path / "a.parquet"), str(tmp_path / "b.tar")]


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


class Killer(GridObserver):
    """Kills the first worker that starts to compute something."""

    def __init__(self) -> None:
        self.killed = 0

    def changed(self, job: Job, news: str) -> None:
        if news == "stage" and not self.killed and job.process is not None:
            self.killed = job.process
            os.kill(job.process, signal.SIGKILL)


def test_tables_of_shards_are_that_of_a_folder(
    tmp_path: Path, pool: list[str], classifier: Classifier
) -> None:
    predict(classifier, tmp_path / "photos", tmp_path / "photos.csv")
    header, *expected = table(tmp_path / "photos.csv")
    killer = Killer()
    resources = ShardResources(tmp_path / "features", 1)
    shards = open_shards(pool)
    done = predict_shards(classifier, shards, tmp_path / "out", resources, observer=killer)
    assert (done.images, done.unreadable) == (COUNT - len(BAD), len(BAD)) and killer.killed
    tables = [table(file) for file in done.files]
    assert [each[0] for each in tables] == [["key", "row", *header[1:]]] * 2
    rows = [row for each in tables for row in each[1:]]
    assert [[row[0], *row[2:3]] for row in rows] == [[row[0], *row[1:2]] for row in expected]
    assert [int(row[1]) for row in rows] == [*range(25), *range(15)]
    for row, other in zip(rows, expected, strict=True):
        assert row[-1] == other[-1]  # why it has no class
        numbers = [[float(value or "nan") for value in part] for part in (row[3:-1], other[2:-1])]
        assert np.allclose(*numbers, atol=2e-3, equal_nan=True)  # features are kept in half precision
    assert table(tmp_path / "out" / "shards.csv") == [
        ["shard", "file", "images", "unreadable"],
        [pool[0], done.files[0].name, "23", "2"],
        [pool[1], done.files[1].name, "14", "1"],
    ]


def test_blocks_of_a_table_are_in_order(
    tmp_path: Path, pool: list[str], classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aral.annotation import sharded_predictions
    from aral.representations import FeaturesFolder

    backbone = classifier.backbone()
    assert backbone is not None
    shard = open_shards(pool[:1])[0]
    folder = FeaturesFolder(tmp_path / "features", backbone)
    folder.compute(shard)
    request = {"folder": str(tmp_path / "features"), "classifier": str(tmp_path / "model")}
    classifier.save(tmp_path / "model")
    results = []
    for rows in (2048, 7, 1):
        monkeypatch.setattr(sharded_predictions, "ROWS_AT_ONCE", rows)
        part = {"shard": shard.as_json(), "count": 25, "result": str(tmp_path / f"{rows}.csv")}
        sharded_predictions.classify({**request, "parts": [part]}, lambda message: None, lambda: False)
        results.append(table(tmp_path / f"{rows}.csv"))
    assert [[cell for row in each for cell in row[:3]] for each in results[1:]] == [
        [cell for row in results[0] for cell in row[:3]]
    ] * 2


def test_a_classifier_of_pixels_is_refused(tmp_path: Path, pool: list[str]) -> None:
    family = FeatureFamily(discriminator_sizes=(), input_noise=0.0)
    described = Description(family, (3, 1, 1), ("a", "b"), (0, 1), 4, {})
    pixels = Classifier(described, family.discriminator((3, 1, 1), 2, 4).state_dict())
    with pytest.raises(BadInput, match="reads pixels"):
        predict_shards(pixels, open_shards(pool), tmp_path / "out", ShardResources(tmp_path / "features"))
    assert not (tmp_path / "out").exists()


def test_the_command_writes_a_folder(
    tmp_path: Path,
    pool: list[str],
    classifier: Classifier,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    classifier.save(tmp_path / "model")

    def aral(*words: str) -> int | str | None:
        monkeypatch.setattr("sys.argv", ["aral", *words])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code

    assert aral("predict", "model", "*.tar", "--features", "features", "--json") == 0
    said = capsys.readouterr()
    assert '"images": 14, "unreadable": 1, "target": "predictions"' in said.out
    assert len(list(Path("predictions").glob("b-*.csv"))) == 1 and "1 shard: WebDataset" in said.err
    assert aral("predict", "model", "photos", "--keys", "rows") == 2
    assert aral("predict", "model", "*.tar", "--max-pixels", "3") == 2
    assert aral("predict", "model", "*.tar", "--target", "a.parquet") == 2
    assert "a.parquet cannot be made" in capsys.readouterr().err
