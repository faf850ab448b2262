"""Projects on small painted images, and files of labels about them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.annotation import AnswerEvent, Project

CLASSES = ("cat", "dog", "owl")
FORMULA = "=cmd|' /C calc'!A0"
"""A class that is a formula to a spreadsheet and no name of a folder."""

MakeProject = Callable[..., Project]
_keys = itertools.count()


def paint(path: Path, number: int) -> Path:
    """Save an image unlike that of any other number; the name may have any ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    with path.open("wb") as file:
        Image.fromarray(pixels).save(file, "PNG")
    return path


def answered(image_id: int, answer: int | str, annotator: str = "Ann") -> AnswerEvent:
    """An event under a new key: a class by its number, anything else by its name."""
    key = f"key-{next(_keys)}"
    if isinstance(answer, int):
        return AnswerEvent(key, image_id, annotator, "class", answer)
    return AnswerEvent(key, image_id, annotator, answer)  # type: ignore[arg-type]


def label_map(project: Project) -> dict[str, str]:
    """Class by file name."""
    names = {each.id: each.name for each in project.classes.all()}
    return {project.images.get(each.image_id).name: names[each.class_id] for each in project.labels.all()}


def label_state(project: Project) -> tuple[dict[str, tuple[str, tuple[str, ...]]], tuple[int, ...]]:
    """Class and annotators by file name, and the counts of answers without a class."""
    names = {each.id: each.name for each in project.classes.all()}
    labels = {
        project.images.get(label.image_id).name: (names[label.class_id], label.annotators)
        for label in project.labels.all()
    }
    counts = project.labels.counts()
    return labels, (counts.bad, counts.none, counts.skipped)


def event_count(project: Project) -> int:
    """How many answers the log holds."""
    return sum(
        len(project.annotations.history(person.name, None, 10_000)) for person in project.annotators.all()
    )


def write_labels(folder: Path, rows: Sequence[tuple[str, str]], format: str = "csv") -> Path:
    """Paths and labels as ``csv``, ``jsonl`` or Label Studio's ``json``."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"labels.{format}"
    if format == "csv":
        target.write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    elif format == "jsonl":
        target.write_text("".join(json.dumps({"path": path, "label": label}) + "\n" for path, label in rows))
    else:
        tasks = [
            {"data": {"image": path}, "annotations": [{"result": [{"value": {"choices": [label]}}]}]}
            for path, label in rows
        ]
        target.write_text(json.dumps(tasks))
    return target


@pytest.fixture
def make_project(tmp_path: Path) -> Iterator[MakeProject]:
    """Makes a project without an estimate set; each image is painted with the place of its name in the list."""
    made: list[Project] = []

    def make(names: Sequence[str], folder: str = "photos", classes: Sequence[str] = ()) -> Project:
        for number, name in enumerate(names):
            paint(tmp_path / folder / name, number)
        project = Project.create_or_open(tmp_path / folder, class_names=classes)
        made.append(project)
        project.settings.set(replace(project.settings.get(), estimate_share=0.0))
        project.images.sync()
        return project

    yield make
    for project in made:
        project.close()


@pytest.fixture
def labelled(make_project: MakeProject) -> Project:
    """Eight images; answers of two annotators to seven of them, one of them corrected."""
    project = make_project([f"{number}.png" for number in range(8)], classes=CLASSES)
    formula = project.classes.add(FORMULA, "Ann")
    project.annotations.append_many(
        [answered(0, 0), answered(1, 1), answered(2, formula.id), answered(0, 0, "Bob; Jr")]
    )
    project.annotations.append_many(
        [answered(3, "bad image"), answered(4, "none of these"), answered(5, "skip")]
    )
    project.annotations.append_many([answered(6, 1), answered(6, 2)])
    return project


@pytest.fixture
def other(make_project: MakeProject) -> Project:
    """A project of the same images without any label."""
    return make_project([f"{number}.png" for number in range(8)], "others", CLASSES)
