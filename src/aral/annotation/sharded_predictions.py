"""Predictions for a pool in shards: features by the jobs of :mod:`aral.benchmarking.shard_jobs`, then a table a shard.

The features are those that queries use, in the same folder, so they are computed once for both. A table is written
beside and renamed; one that is there is written again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aral.annotation.classifier import Classifier, PredictionRow, prediction_cells, prediction_header
from aral.annotation.formats import csv_bytes
from aral.benchmarking.jobs import GridObserver, Report
from aral.benchmarking.shard_jobs import ShardJobs, ShardResources, written_features
from aral.data.shards import Shard
from aral.durable import writing
from aral.errors import BadInput, RunFailed, Stopped
from aral.representations import FeaturesFolder, ShardFeatures

PREDICT = "aral.annotation.sharded_predictions:classify"
"""What a worker does."""

ROWS_AT_ONCE = 2048
INDEX = "shards.csv"
"""The table of tables: address of each shard, its file, and how many of its images were classified."""

BYTES_AN_IMAGE = 200
"""Of what is in memory for all images of a shard: its key and its row."""


@dataclass(frozen=True)
class ShardsPredicted:
    """What was written.

    Attributes:
        images: that were classified.
        unreadable: that could not be decoded; they are in the tables, without a class.
        files: one a shard, in order.
    """

    images: int
    unreadable: int
    files: tuple[Path, ...]


def predict_shards(
    classifier: Classifier,
    shards: Sequence[Shard],
    target: Path,
    resources: ShardResources,
    *,
    download: bool = False,
    observer: GridObserver | None = None,
    say: Callable[[str], None] = lambda text: None,
    stopping: Callable[[], bool] = lambda: False,
) -> ShardsPredicted:
    """Classify all images of shards and write a CSV file for each shard, and ``shards.csv``, which lists them.

    Args:
        classifier: of features; as :func:`aral.annotation.find_classifier` gives it.
        shards: what to classify.
        target: folder of the tables; on other engines one that all machines share.
        resources: where to compute.
        download: whether weights of its backbone that are not on this machine may be fetched.
        observer: is told of the progress of the jobs.
        say: given sentences on what is computed.
        stopping: asked a few times a second; true stops, and the features of finished shards stay.

    Raises:
        BadInput: the classifier reads pixels, its backbone is missing, a shard cannot be used, the target can be no
            folder, or another command uses the folder of features.
        RunFailed: a shard could not be read, a table not be written, or workers died.
        Stopped: ``stopping`` returned true.
    """
    resources.engine.check()
    backbone = classifier.backbone(download)
    if backbone is None:
        raise BadInput(
            "This classifier reads pixels; images of shards are classified by features of a backbone.",
            "Train one on a representation, such as: aral label PHOTOS, or aral run DATA --representation auto",
        )
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"The folder {target} cannot be made: {error}.", "Give another: --target FOLDER"
        ) from error
    folder = FeaturesFolder(resources.features, backbone)
    with ShardJobs(folder, resources, observer or GridObserver(), stopping) as jobs:
        jobs.compute_features(shards, say)
        classifier.save(jobs.path / "classifier")
        counts = []
        for shard in shards:  # one after another: the keys of a shard are many
            features = written_features(folder, shard)
            counts.append((len(features), len(features.unreadable)))
        files = [target.absolute() / f"{folder.name_of(shard)}.csv" for shard in shards]
        parts = [
            {"shard": shard.as_json(), "count": sum(count), "result": str(file)}
            for shard, count, file in zip(shards, counts, files, strict=True)
        ]
        request = {"classifier": str(jobs.path / "classifier"), "folder": str(folder.path.parent)}
        jobs.execute_in_groups(PREDICT, "predict", parts, request, BYTES_AN_IMAGE)
    index = [
        (shard.address, file.name, images, unreadable)
        for shard, file, (images, unreadable) in zip(shards, files, counts, strict=True)
    ]
    _write(target / INDEX, [csv_bytes(("shard", "file", "images", "unreadable"), index)])
    images, unreadable = (sum(each[place] for each in counts) for place in (0, 1))
    return ShardsPredicted(images, unreadable, tuple(files))


def classify(request: Mapping[str, Any], report: Report, stopping: Callable[[], bool]) -> None:
    """Write the predictions for some shards.

    Args:
        request: ``classifier`` and ``folder`` of features; ``parts``: shard, count and result, the CSV file.
        report: sends the images that were classified as steps.
        stopping: asked before each shard.

    Raises:
        BadInput: the classifier or its backbone is missing.
        RunFailed: a table cannot be written.
        Stopped: ``stopping`` returned true.
    """
    report({"round": 0, "stage": "predictions"})
    classifier = Classifier.load(Path(request["classifier"]))
    backbone = classifier.backbone()
    assert backbone is not None
    folder = FeaturesFolder(Path(request["folder"]), backbone)
    done = 0
    for part in request["parts"]:
        if stopping():
            raise Stopped("Stopped.", "Run the same command to continue.")
        features = written_features(folder, Shard.of_json(part["shard"]))
        _write(Path(part["result"]), _table(classifier, features))
        done += part["count"]
        report({"round": 0, "step": done})


def _table(classifier: Classifier, features: ShardFeatures) -> Iterator[bytes]:
    """The rows of a shard in order, some at a time, first the header."""
    names = classifier.description.class_names
    yield csv_bytes(("key", "row", *prediction_header(names)), ())
    values = features.features()
    bad = [
        (row, PredictionRow(each.path, "", 0.0, (), f"{each.reason}: {each.detail}"))
        for row, each in zip(features.unreadable_rows, features.unreadable, strict=True)
    ]
    for start in range(0, max(len(features), 1), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        probabilities = classifier.of_features(np.asarray(values[part], dtype=np.float32))
        last = features.rows[part][-1] if start + ROWS_AT_ONCE < len(features) else np.inf
        rows = [
            (int(row), PredictionRow.of(key, names, each))
            for key, row, each in zip(features.keys[part], features.rows[part], probabilities, strict=True)
        ]
        while bad and bad[0][0] <= last:
            rows.append(bad.pop(0))
        rows.sort(key=lambda each: each[0])
        table: list[tuple[str | int, ...]] = [
            (row.path, place, *prediction_cells(row, names)) for place, row in rows
        ]
        yield csv_bytes((), table).removeprefix(b"\n")


def _write(path: Path, parts: Iterator[bytes] | Sequence[bytes]) -> None:
    try:
        with writing(path) as file:
            for part in parts:
                file.write(part)
    except OSError as error:
        raise RunFailed(
            f"{path} was not written: {error}.", "Free some space, then run the same command again."
        ) from error
