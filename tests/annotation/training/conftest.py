"""Folders of small digits written out as PNG files, projects on them, and networks that train in a blink."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from aral.annotation import AnswerEvent, Project, Trainer, TrainingOptions

CLASSES = ("zero", "one", "two")
TINY = (
    "learner.networks.widths=[4, 8]",
    "learner.networks.depth=1",
    "learner.networks.encoder_widths=[4, 4, 4]",
    "learner.networks.generator_widths=[4, 4, 4]",
    "learner.training.steps=4",
    "learner.training.labelled_batch=8",
    "learner.training.unlabelled_batch=16",
    "learner.training.warm_up=0",
    'learner.training.precision="float32"',
    "learner.pretraining.steps=3",
    "learner.pretraining.imitation_steps=2",
)
OPTIONS = TrainingOptions(query_size=5, threads=1, settings=TINY)

MakeProject = Callable[..., Project]
_keys = itertools.count()


def save_digits(folder: Path, count: int, first: int = 0) -> None:
    """Digits 0, 1 and 2 as ``CLASS-NNN.png``, whatever their order among the digits."""
    folder.mkdir(exist_ok=True, parents=True)
    digits = load_digits()
    chosen = np.flatnonzero(digits.target < len(CLASSES))[first : first + count]
    for number, row in enumerate(chosen, first):
        pixels = (digits.images[row] * 15.9).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{CLASSES[digits.target[row]]}-{number:03d}.png")


def class_of(name: str) -> int:
    """The true class of a file of :func:`save_digits`."""
    return CLASSES.index(name.rpartition("/")[2].split("-")[0])


def given(image_id: int, answer: int | str, annotator: str = "Ann") -> AnswerEvent:
    """An event under a new key: a class by its number, anything else by its name."""
    key = f"key-{next(_keys)}"
    if isinstance(answer, int):
        return AnswerEvent(key, image_id, annotator, "class", answer)
    return AnswerEvent(key, image_id, annotator, answer)  # type: ignore[arg-type]


def answer_cards(project: Project, count: int) -> int:
    """Answer the next cards truthfully; gives how many there were."""
    cards = project.queue.next_cards("Ann", count)
    project.annotations.append_many([given(card.image_id, class_of(card.name)) for card in cards])
    return len(cards)


def work(trainer: Trainer) -> None:
    """Let a trainer do all there is to do."""
    for _ in range(20):
        if not trainer.turn():
            return
    raise AssertionError("the trainer never comes to rest")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tmp_path / "photos"


@pytest.fixture
def make_project(photos: Path) -> Iterator[MakeProject]:
    """Makes a project with so many digits and three classes, imported."""
    opened: list[Project] = []

    def make(count: int = 60, budget: int | None = 40, estimate_share: float = 0.2) -> Project:
        save_digits(photos, count)
        project = Project.create_or_open(photos, class_names=CLASSES, budget=budget)
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
    with Project.create_or_open(photos, class_names=CLASSES, budget=40) as project:
        project.images.sync()
    return photos


@pytest.fixture(scope="session")
def trained_photos(imported_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = tmp_path_factory.mktemp("trained") / "photos"
    shutil.copytree(imported_photos, photos)
    with Project.open(photos) as project:
        trainer = Trainer(project, OPTIONS)
        work(trainer)
        while project.labels.counts().for_training < 5:
            answer_cards(project, 2)
        work(trainer)
        trainer.close()
        assert len(project.models.all()) == 1
    return photos


@pytest.fixture
def project(imported_photos: Path, photos: Path) -> Iterator[Project]:
    """Sixty digits, a budget of forty labels, twenty of them for measuring."""
    yield from _copied(imported_photos, photos)


@pytest.fixture
def trained(trained_photos: Path, photos: Path) -> Iterator[Project]:
    """A project after one round, with labels of both kinds."""
    yield from _copied(trained_photos, photos)
