"""The examples of export formats in docs/formats.md have the columns and fields that an export writes."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from aral.annotation import (
    ClassFigure,
    Classifier,
    Description,
    Estimate,
    ModelRecord,
    Project,
    export,
    import_labels,
    predict,
)
from aral.annotation.exporting import FILES
from aral.annotation.formats import class_folder_names, unescape_cell
from aral.annotation.model_cards import ExportedModel, metadata
from aral.networks import CompactFamily
from aral.testing import answer_event, save_noise

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text().partition("## Export formats")[2]
EXAMPLES = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos; one of each class, and a bad one."""
    folder = tmp_path / "photos"
    for number, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        save_noise(folder / name, number)
    with Project.create_or_open(folder, class_names=("cat", "=dog")) as project:
        project.images.sync()
        project.annotations.append_many(
            [answer_event(0, 0), answer_event(0, 0, "Bob"), answer_event(1, 1), answer_event(2, "bad image")]
        )
    return folder


def exported(photos: Path) -> Path:
    out = photos.parent / "out"
    with Project.open(photos) as project:
        export(project, out, ["csv", "jsonl", "label-studio", "imagefolder"])
    return out


def shape(value: Any) -> Any:
    """The names and types of a JSON value; of a list its first element."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def test_the_table_has_the_columns_of_an_export_and_can_be_imported(photos: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader(EXAMPLES["labels.csv"].splitlines()))
    written = list(csv.DictReader((exported(photos) / "labels.csv").read_text().splitlines()))
    assert list(rows[0]) == list(written[0])
    assert [(row["path"], row["label"], row["answer"]) for row in rows] == [
        (row["path"], row["label"], row["answer"]) for row in written
    ]
    assert unescape_cell(rows[1]["label"]) == "=dog"
    (tmp_path / "example.csv").write_text(re.sub(r"[0-9a-f]+…(; [0-9a-f]+…)?", "", EXAMPLES["labels.csv"]))
    with Project.open(photos) as project:
        read = import_labels(project, tmp_path / "example.csv")
        assert not read.rejected and not read.new_classes


def test_json_has_the_fields_of_an_export(photos: Path) -> None:
    out = exported(photos)
    (line,) = EXAMPLES["labels.jsonl"].splitlines()
    written = json.loads((out / "labels.jsonl").read_text().splitlines()[0])
    assert list(json.loads(line)) == list(written)
    (task,) = json.loads(EXAMPLES["label-studio.json"])
    first = json.loads((out / "label-studio.json").read_text())[0]
    for part in (task, first):
        del (
            part["meta"],
            part["data"]["aral_annotators"],
            part["predictions"],
        )  # null or empty without a model
    assert shape(task) == shape(first)


def test_class_folders_are_as_the_example_says(photos: Path) -> None:
    example = json.loads(EXAMPLES["images/classes.json"])["classes"]
    names = class_folder_names([each["name"] for each in example])
    assert [{"folder": folder, "name": name} for name, folder in names.items()] == example
    written = json.loads((exported(photos) / "images" / "classes.json").read_text())
    assert shape(written) == shape({"classes": example})


def a_classifier() -> Classifier:
    family = CompactFamily(widths=(4, 8), depth=1)
    description = Description(family, (3, 96, 96), ("cat", "dog"), (0, 1), 8, {})
    return Classifier(description, family.discriminator((3, 96, 96), 2, 8).state_dict())


def test_the_metadata_of_a_classifier_are_as_the_example_says() -> None:
    example = json.loads(EXAMPLES["classifier.json"])
    record = ModelRecord(
        5,
        "m",
        60,
        1.0,
        (0, 1),
        Estimate(0.9, 0.7681, 0.9722, 40),
        (ClassFigure(0, 31, Estimate(1.0, 0.8, 1.0, 22)), ClassFigure(1, 29, Estimate(0.8, 0.5, 1.0, 18))),
    )
    written = metadata(ExportedModel(record, a_classifier(), licence="CC-BY-4.0"))
    assert {**written, "versions": example["versions"]} == example


def test_predictions_have_the_columns_of_the_example(photos: Path, tmp_path: Path) -> None:
    predict(a_classifier(), photos, tmp_path / "predictions.csv")
    header = EXAMPLES["predictions.csv"].splitlines()[0]
    assert header == (tmp_path / "predictions.csv").read_text().splitlines()[0]


def test_every_file_is_named(photos: Path) -> None:
    named = set(re.findall(r"`(?:python )?([\w.-]+)", PAGE)) | {"unreadable.csv"}
    assert set(FILES) <= named
