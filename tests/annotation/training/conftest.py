"""Projects on folders of small digits, before and after a round of training."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aral.annotation import Project, Trainer
from aral.testing import DIGIT_CLASSES, TINY_TRAINING, answer_cards, run_trainer, save_digits

MakeProject = Callable[..., Project]
PATIENCE_SECONDS = 30.0


def settle(worker: Trainer, project: Project) -> None:
    """Turn until nothing is left to do and all images are read."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while worker.turn() or project.models.training_state().phase == "reading":
        assert time.monotonic() < deadline, project.models.training_state().message
        time.sleep(0.001)
    assert project.models.training_state().phase == "idle", project.models.training_state().message


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tmp_path / "photos"


@pytest.fixture
def make_project(photos: Path) -> Iterator[MakeProject]:
    """Makes a project with so many digits and three classes, imported."""
    opened: list[Project] = []

    def make(count: int = 60, budget: int | None = 40, estimate_share: float = 0.2) -> Project:
        save_digits(photos, count)
        project = Project.create_or_open(photos, class_names=DIGIT_CLASSES, budget=budget)
        opened.append(project)
        project.settings.set(replace(project.settings.get(), estimate_share=estimate_share))
        project.images.sync()
        return project

    yield make
    for project in opened:
        project.close()


def _copied(kept: Path, photos: Path) -> Iterator[Project]:
    """A project that was made once for all tests, as a copy: one inside its photos moves with them."""
    shutil.copytree(kept, photos)
    with Project.open(photos) as project:
        yield project


@pytest.fixture(scope="session")
def imported_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = tmp_path_factory.mktemp("imported") / "photos"
    save_digits(photos, 60)
    with Project.create_or_open(photos, class_names=DIGIT_CLASSES, budget=40) as project:
        project.images.sync()
    return photos


@pytest.fixture(scope="session")
def trained_photos(imported_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = tmp_path_factory.mktemp("trained") / "photos"
    shutil.copytree(imported_photos, photos)
    with Project.open(photos) as project:
        trainer = Trainer(project, TINY_TRAINING)
        run_trainer(trainer)
        while project.labels.counts().for_training < 5:
            answer_cards(project, 2)
        run_trainer(trainer)
        trainer.close()
        assert len(project.models.all()) == 1
    return photos


@pytest.fixture
def project(imported_photos: Path, photos: Path) -> Iterator[Project]:
    """Sixty digits, a budget of forty labels, twenty of them for the estimate set."""
    yield from _copied(imported_photos, photos)


@pytest.fixture
def trained(trained_photos: Path, photos: Path) -> Iterator[Project]:
    """A project after one round, with labels of both kinds."""
    yield from _copied(trained_photos, photos)
