"""What a whole way came to: accuracy on new photos, the estimate against the truth, labels, a baseline."""

from __future__ import annotations

import csv
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch

from aral import run
from aral.annotation import Project, TrainingOptions
from aral.annotation.formats import unescape_cell
from aral.annotation.training_presets import ProjectFacts as Sizes
from aral.annotation.training_presets import spec_for
from aral.data import DataSet, read_image_folder
from aral.data.decode import Channels
from aral.loop import Store
from aral.types import ImageSet, LabelledSet
from folder_material import Material

BASELINE = "supervised+random"


def table_of(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file that ``aral`` has written, in which a file name may be no UTF-8."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [{name: unescape_cell(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def predicted(table: Path, of: Material) -> dict[str, Any]:
    """Accuracy on the held-out images; a file without a prediction counts as wrong."""
    said = {row["path"]: row for row in table_of(table)}
    right = [
        said.get(name, {}).get("class") == of.class_names[index] for name, index in of.held_out_truth.items()
    ]
    problems = {name: row["problem"].partition(":")[0] for name, row in said.items() if row["problem"]}
    return {
        "held_out": len(right),
        "accuracy_held_out": round(mean(right), 4),
        "held_out_missing": len(of.held_out_truth.keys() - said.keys()),
        "held_out_unreadable_as_expected": problems == of.broken,
    }


def exported_labels(target: Path, of: Material) -> dict[str, Any]:
    """Labels in ``labels.csv``, and those that are not the truth of their file."""
    rows = [row for row in table_of(target / "labels.csv") if row["answer"] == "class"]
    wrong = [row for row in rows if row["label"] != of.class_names[of.truth[row["path"]]]]
    return {"labels_exported": len(rows), "labels_exported_wrong": len(wrong)}


def unreadable(project: Project, of: Material) -> dict[str, Any]:
    """Files that the import has refused, with reasons, and whether these are those that are broken."""
    found = {each.path: each.reason.value for each in project.images.unreadable()}
    return {
        "readable": project.images.count()
        + sum(len(copies) for copies in project.images.duplicates().values()),
        "unreadable": found,
        "unreadable_as_expected": found == of.broken,
        "names_refused": of.refused_names,
    }


def purposes(project: Project) -> dict[str, Any]:
    """Answers by why their image was shown: chosen by the newest round, next best, by chance, to measure."""
    place = f"file:{project.folder / 'project.sqlite'}?mode=ro"
    with closing(sqlite3.connect(place, uri=True)) as connection:
        rows = connection.execute("SELECT purpose, count(*) FROM answers GROUP BY purpose").fetchall()
    return {"purposes": dict(rows)}


def estimate_against_truth(project: Project, of: Material, held_out: float) -> dict[str, Any]:
    """The product's own estimate, and whether its interval holds three true accuracies of the same model.

    They are over all images of the pool, over those that nobody has answered, and over the held-out ones.
    """
    newest = project.models.all()[-1].estimate
    assert newest is not None
    right: dict[int, bool] = {}
    live = {each.id: each.name for each in project.classes.all()}
    for image_id in project.images.labelable_ids().tolist():
        said = project.predictions.get(image_id)
        truth = of.class_names[of.truth[project.images.get(image_id).name]]
        right[image_id] = said is not None and live[said.class_id] == truth
    answered = {label.image_id for label in project.labels.all()}
    rest = mean(is_right for image_id, is_right in right.items() if image_id not in answered)
    true = {"pool": mean(right.values()), "rest": rest, "held_out": held_out}
    return {
        "trained_on": project.models.all()[-1].trained_on,
        "estimate": round(newest.accuracy, 4),
        "estimate_low": round(newest.low, 4),
        "estimate_high": round(newest.high, 4),
        "measured_on": newest.count,
        "accuracy_pool": round(true["pool"], 4),
        "accuracy_rest": round(true["rest"], 4),
        **{f"covers_{name}": newest.low <= value <= newest.high for name, value in true.items()},
        "curve": [curve_point(model.curve_point) for model in project.models.all()],
    }


def curve_point(point: tuple[int, float] | None) -> Mapping[str, float] | None:
    """Labels spent and the estimate of then."""
    return None if point is None else {"labels": point[0], "estimate": round(point[1], 4)}


def baseline(
    project: Project, of: Material, options: TrainingOptions, labels: int, budget: int, folder: Path
) -> dict[str, Any]:
    """Accuracy on the held-out images of a supervised classifier on equally many labels drawn at random.

    It sees the pixels that the product's trainer sees, with the same networks and steps a round.
    """
    begun = time.monotonic()
    file = project.images.pixels()
    ids = project.images.labelable_ids()
    names = [project.images.get(image_id).name for image_id in ids.tolist()]
    kind: Channels = 1 if file.channels == 1 else 3
    new = read_image_folder(of.held_out, file.side, channels=kind)
    classes = np.array([of.held_out_truth[path] for path in new.paths], dtype=np.int64)
    shape = (file.channels, file.side, file.side)
    data = DataSet(
        "folder",
        ImageSet.of(torch.from_numpy(np.ascontiguousarray(file.rows(ids)))),
        np.array([of.truth[name] for name in names], dtype=np.int64),
        LabelledSet(new.images, classes, len(of.class_names)),
        of.class_names,
    )
    wishes = (*options.settings, 'rounds.first_query="random"', f"rounds.budget={labels}")
    options = options.model_copy(update={"method": BASELINE, "settings": wishes})
    spec = spec_for(project.folder, Sizes(shape, len(ids), len(of.class_names), budget), options)
    run(spec, data, folder)
    with Store.open(folder, create=False) as store:
        rows = store.metrics("accuracy")
    return {
        "baseline": BASELINE,
        "baseline_labels": labels,
        "baseline_accuracy_held_out": round(rows[-1].value, 4),
        "baseline_seconds": round(time.monotonic() - begun, 1),
    }
