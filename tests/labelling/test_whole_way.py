"""From zero labels to an export and predictions, with the trainer in a process that is killed on the way."""

from __future__ import annotations

import csv
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from aral.labelling import TrainerProcess, export, find_classifier, predict, write_options
from aral.labelling.worker import main
from aral.project import Project
from tests.labelling.conftest import OPTIONS, answer_cards, save_digits

PATIENCE_SECONDS = 90.0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the trainer does not get on"
        time.sleep(0.05)


def answer_query(project: Project) -> None:
    """Answer until nothing of the newest query is open."""
    while project.queue_left():
        assert answer_cards(project, 2) == 2


def test_a_person_and_the_trainer(project: Project, tmp_path: Path) -> None:
    write_options(project.folder, OPTIONS)
    with TrainerProcess(project) as trainer:
        assert answer_cards(project, 2) == 2, "images are there before the trainer has chosen any"
        wait_for(lambda: project.queue_left() > 0)
        answer_query(project)
        wait_for(lambda: len(project.models()) == 1 and project.queue_left() > 0)
        killed = trainer.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        answer_query(project)
        wait_for(lambda: len(project.models()) == 2 and project.queue_left() > 0)
        wait_for(lambda: trainer.pid not in (None, killed) and project.training_state().phase == "idle")
    assert trainer.pid is None and project.training_state().phase == "off"
    first, second = project.models()
    assert first.trained_on < second.trained_on <= project.answered_count().for_training
    assert second.estimate is not None and second.estimate.count == project.answered_count().for_estimate

    export(project, tmp_path / "out")
    save_digits(tmp_path / "new", 6, first=100)
    predict(find_classifier(tmp_path / "out"), tmp_path / "new", tmp_path / "said.csv")
    rows = list(csv.DictReader((tmp_path / "said.csv").read_text().splitlines()))
    assert [row["path"] for row in rows] == sorted(path.name for path in (tmp_path / "new").iterdir())
    assert all(row["class"] for row in rows)


def test_the_worker_ends_when_its_server_is_gone(project: Project) -> None:
    # No process has this number as its parent: the server is gone already.
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    nice = os.nice(0)
    try:
        # SIGTERM, SIGINT and SIGHUP are taken by the worker; the niceness of this process stays.
        patched, os.nice = os.nice, lambda by: nice
        assert main([str(project.folder), "--parent", "1"]) == 0
    finally:
        os.nice = patched
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert project.training_state().phase == "off"


def test_a_folder_without_a_project_is_said(tmp_path: Path, capfd: object) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    patched, os.nice = os.nice, lambda by: 0
    try:
        assert main([str(tmp_path)]) == 2
    finally:
        os.nice = patched
        for number, handler in handlers.items():
            signal.signal(number, handler)
