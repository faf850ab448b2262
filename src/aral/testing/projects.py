"""Small folders of images, and answers in projects on them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from aral.annotation import AnswerEvent, Project, Trainer, TrainingOptions
from aral.annotation.database import ProjectDatabase
from aral.annotation.project import open_database

DIGIT_CLASSES = ("zero", "one", "two")
"""The classes of :func:`save_digits`."""

TINY_TRAINING = TrainingOptions(
    query_size=5,
    threads=1,
    settings=(
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
    ),
)
"""Options with which a round of a project takes less than a second."""

MOST_TASKS = 20

_numbers = itertools.count()


def noise_image(number: int, size: tuple[int, int] = (20, 16)) -> Image.Image:
    """An image of 6×8 coloured blocks, unlike that of any other number; ``size`` is width and height."""
    blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)


def save_noise(path: Path, number: int, size: tuple[int, int] = (20, 16)) -> Path:
    """Save :func:`noise_image` as PNG, whatever the ending of the name, in folders that may be missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        noise_image(number, size).save(file, "PNG")
    return path


def save_digits(folder: Path, count: int, first: int = 0) -> None:
    """Save images of the digits 0, 1 and 2 as ``CLASS-NNN.png``, NNN from ``first`` on."""
    folder.mkdir(exist_ok=True, parents=True)
    digits = load_digits()
    chosen = np.flatnonzero(digits.target < len(DIGIT_CLASSES))[first : first + count]
    for number, row in enumerate(chosen, first):
        pixels = (digits.images[row] * 15.9).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{DIGIT_CLASSES[digits.target[row]]}-{number:03d}.png")


def digit_class(name: str) -> int:
    """The true class of a file of :func:`save_digits`."""
    return DIGIT_CLASSES.index(name.rpartition("/")[2].split("-")[0])


def answer_event(
    image_id: int, answer: int | str, annotator: str = "Ann", key: str | None = None, **more: Any
) -> AnswerEvent:
    """An annotation event.

    Args:
        image_id: the image.
        answer: number of a class, or the name of another action.
        annotator: who answers.
        key: of the event; None for a new one.
        more: further fields of the event.
    """
    key = f"key-{next(_numbers)}" if key is None else key
    if isinstance(answer, int):
        return AnswerEvent(key, image_id, annotator, "class", answer, **more)
    return AnswerEvent(key, image_id, annotator, answer, **more)  # type: ignore[arg-type]


@contextmanager
def project_database(project: Project) -> Iterator[ProjectDatabase]:
    """A further connection to the database of a project, to look into it or to change it as another process would."""
    database = open_database(project.folder, create=False)
    try:
        yield database
    finally:
        database.close()


def project_rows(project: Project, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a query on the database of a project."""
    with project_database(project) as database:
        return database.rows(statement)


def answer_cards(project: Project, count: int) -> int:
    """Give the next cards of a project of :func:`save_digits` their true classes; returns how many there were."""
    cards = project.queue.next_cards("Ann", count)
    project.annotations.append_many([answer_event(card.image_id, digit_class(card.name)) for card in cards])
    return len(cards)


def run_trainer(trainer: Trainer) -> None:
    """Let a trainer do all tasks that there are.

    Raises:
        AssertionError: it has not become idle after :data:`MOST_TASKS` tasks.
    """
    for _ in range(MOST_TASKS):
        if not trainer.turn():
            return
    raise AssertionError("the trainer never becomes idle")
