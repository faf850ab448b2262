"""Projects on small images of noise, and files of labels about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from aral.annotation import Project
from aral.testing import answer_event, save_noise

CLASSES = ("cat", "dog", "owl")
FORMULA = "=cmd|' /C calc'!A0"
"""A class that is a formula to a spreadsheet and no name of a folder."""

MakeProject = Callable[..., Project]


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
    """Makes a project without an estimate set; each image is noise of the position of its name in the list."""
    made: list[Project] = []

    def make(names: Sequence[str], folder: str = "photos", classes: Sequence[str] = ()) -> Project:
        for number, name in enumerate(names):
            save_noise(tmp_path / folder / name, number)
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
        [answer_event(0, 0), answer_event(1, 1), answer_event(2, formula.id), answer_event(0, 0, "Bob; Jr")]
    )
    project.annotations.append_many(
        [answer_event(3, "bad image"), answer_event(4, "none of these"), answer_event(5, "skip")]
    )
    project.annotations.append_many([answer_event(6, 1), answer_event(6, 2)])
    return project


@pytest.fixture
def other(make_project: MakeProject) -> Project:
    """A project of the same images without any label."""
    return make_project([f"{number}.png" for number in range(8)], "others", CLASSES)
