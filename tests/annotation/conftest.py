"""Small folders of photos, and projects on them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.annotation import (
    AnswerEvent,
    ModelRecord,
    Project,
    Provenance,
)

MakeProject = Callable[..., Project]


def picture(number: int, width: int = 20, height: int = 16) -> Image.Image:
    """A coloured picture unlike that of any other number."""
    blocks = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)


def save_pictures(folder: Path, count: int, first: int = 0) -> None:
    """PNG files ``000.png``, ``001.png`` … with pictures of these numbers."""
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        picture(number).save(folder / f"{number:03d}.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def make_project(photos: Path) -> Iterator[MakeProject]:
    """Makes a project with so many images and classes 0 ``cat`` and 1 ``dog``, imported."""
    opened: list[Project] = []

    def make(count: int = 30, budget: int | None = None, estimate_share: float = 0.0) -> Project:
        save_pictures(photos, count)
        project = Project.create_or_open(photos, class_names=("cat", "dog"), budget=budget)
        opened.append(project)
        change_settings(project, estimate_share=estimate_share)
        project.images.sync()
        return project

    yield make
    for project in opened:
        project.close()


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """Thirty images, two classes, nothing set aside for measuring."""
    return make_project()


_keys = itertools.count()


def given(
    image_id: int,
    answer: int | str,
    annotator: str = "Ann",
    key: str | None = None,
    shown: bool = False,
    provenance: Provenance | None = None,
) -> AnswerEvent:
    """An event under a new key: a class by its number, anything else by its name."""
    key = f"key-{next(_keys)}" if key is None else key
    if isinstance(answer, int):
        return AnswerEvent(
            key, image_id, annotator, "class", answer, suggestion_shown=shown, provenance=provenance
        )
    return AnswerEvent(key, image_id, annotator, answer)  # type: ignore[arg-type]


def change_settings(project: Project, **changes: object) -> None:
    """Set some of the settings."""
    project.settings.set(replace(project.settings.get(), **changes))  # type: ignore[arg-type]


def label_map(project: Project) -> dict[int, int]:
    """Class by image, as the labels stand."""
    return {label.image_id: label.class_id for label in project.labels.all()}


NO_IDS = np.empty(0, dtype=np.int64)


def set_wall(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(time, "time", lambda: seconds)


def predict(project: Project, dog: dict[int, float], round_number: int = 0, newest_answer: int = 0) -> int:
    """Store a model that gives these probabilities of the dog."""
    number = project.models.record(
        ModelRecord(round_number, f"m{round_number}", 1, 1.0, (0, 1), newest_answer=newest_answer)
    )
    ids = np.array(sorted(dog), dtype=np.int64)[::-1].copy()
    chances = np.array([[1 - dog[image_id], dog[image_id]] for image_id in ids.tolist()])
    project.predictions.replace(number, ids, [0, 1], chances)
    return number
