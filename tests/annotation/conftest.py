"""Small folders of photos, and projects on them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aral.annotation import ModelRecord, Project
from aral.testing import PostgresServer, save_noise

MakeProject = Callable[..., Project]

ON_BOTH = (
    "test_annotators",
    "test_answers",
    "test_classes",
    "test_concurrency",
    "test_estimate",
    "test_grid",
    "test_labels",
    "test_leases",
    "test_models",
    "test_provenance",
    "test_queue",
    "test_searches",
    "test_sync",
)
"""Modules whose tests run on SQLite and on Postgres, but for those with the mark ``sqlite``."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    both = metafunc.module.__name__.rpartition(".")[2] in ON_BOTH
    if both and "database" in metafunc.fixturenames and not metafunc.definition.get_closest_marker("sqlite"):
        metafunc.parametrize("database", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str | None:
    """The address of the database of new projects; None for a file."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.address()


def save_pictures(folder: Path, count: int, first: int = 0) -> None:
    """PNG files ``000.png``, ``001.png`` … with pictures of these numbers."""
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        save_noise(folder / f"{number:03d}.png", number)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The SQLite connections that are opened from now on; a project opens one that writes, then one that reads."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def recorded(*arguments: Any, **more: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **more))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", recorded)
    return opened


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def make_project(photos: Path, database: str | None) -> Iterator[MakeProject]:
    """Makes a project with so many images and classes 0 ``cat`` and 1 ``dog``, imported."""
    opened: list[Project] = []

    def make(count: int = 30, budget: int | None = None, estimate_share: float = 0.0) -> Project:
        save_pictures(photos, count)
        project = Project.create_or_open(photos, class_names=("cat", "dog"), budget=budget, database=database)
        opened.append(project)
        change_settings(project, estimate_share=estimate_share)
        project.images.sync()
        return project

    yield make
    for project in opened:
        project.close()


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """Thirty images, two classes, no estimate set."""
    return make_project()


def change_settings(project: Project, **changes: object) -> None:
    """Set some of the settings."""
    project.settings.set(replace(project.settings.get(), **changes))  # type: ignore[arg-type]


def label_map(project: Project) -> dict[int, int]:
    """Class by image of the current labels."""
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
