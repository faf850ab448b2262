"""From no label to an export and predictions, with the training worker killed in between."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import struct
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from PIL import Image

from aral.annotation import Project, TrainerProcess, export, find_classifier, predict, write_options
from aral.annotation.formats import unescape_cell
from aral.annotation.training_worker import main
from aral.testing import DIGIT_CLASSES, TINY_TRAINING, answer_event, digit_class, save_digits

PATIENCE_SECONDS = 90.0

NAMES = (
    "-rf first.png",
    ' it\'s "quoted", and more .png',
    "çà é 猫 🐈 مرحبا.png",
    "two\nlines\tand a tab.png",
    "x" * 251 + ".png",
    "=1+1.png",
    os.fsdecode(b"caf\xe9\xff.png"),
    "deep er/-sub/a b.png",
    "no ending",
)

BROKEN = {
    "-empty.jpg": "not_an_image",
    "cut 'short' é.jpg": "truncated",
    'text "called" image.png': "not_an_image",
    "huge header.png": "truncated",
}
"""Files that cannot be read, with their reasons."""


def fill(folder: Path, count: int, first: int = 0) -> dict[str, int]:
    """Save digits, the first of them under the names above, and the broken files; gives class by name.

    A name that the file system does not allow is left out.
    """
    save_digits(folder, count, first)
    truth = {}
    odd = list(NAMES)
    for path in sorted(folder.iterdir()):
        name, number = path.name, digit_class(path.name)
        if odd:
            with suppress(OSError):
                target = folder / odd.pop()
                target.parent.mkdir(parents=True, exist_ok=True)
                name = str(path.rename(target).relative_to(folder))
        truth[name] = number
    _break(folder)
    return truth


def _break(folder: Path) -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(whole, "JPEG")
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    contents = (
        b"",
        whole.getvalue()[:900],
        b"this is text",
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"")),
    )
    for name, content in zip(BROKEN, contents, strict=True):
        (folder / name).write_bytes(content)


def _chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file outside the project."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files
        if path.relative_to(folder).parts[0] != ".aral"
    }


def table(file: Path) -> list[dict[str, str]]:
    """A CSV file of ours as it was meant, whatever its cells hold."""
    text = file.read_bytes().decode("utf-8", "surrogateescape")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return [{column: unescape_cell(cell) for column, cell in row.items()} for row in rows]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the trainer does not get on"
        time.sleep(0.05)


def answer(project: Project, truth: dict[str, int], count: int) -> None:
    """Answer the next cards truthfully."""
    cards = project.queue.next_cards("Ann", count)
    assert len(cards) == count, "images are there before the trainer has chosen any, and later on"
    project.annotations.append_many([answer_event(card.image_id, truth[card.name]) for card in cards])


def answer_query(project: Project, truth: dict[str, int]) -> None:
    """Answer until nothing of the newest query is open."""
    while project.queue.remaining():
        answer(project, truth, 2)


def answer_oddly_named(project: Project, truth: dict[str, int]) -> None:
    """Answer the images with odd names that have not been asked for."""
    known = {label.image_id for label in project.labels.all()}
    left = [image_id for image_id in project.images.labelable_ids().tolist() if image_id not in known]
    odd = [image_id for image_id in left if project.images.get(image_id).name in NAMES]
    project.annotations.append_many(
        [answer_event(image_id, truth[project.images.get(image_id).name]) for image_id in odd]
    )


def train_twice(project: Project, truth: dict[str, int]) -> None:
    """Two rounds beside the answers; the trainer is killed in the second one."""
    write_options(project.folder, TINY_TRAINING)
    with TrainerProcess(project) as trainer:
        answer(project, truth, 2)
        wait_for(lambda: project.queue.remaining() > 0)
        answer_query(project, truth)
        wait_for(lambda: len(project.models.all()) == 1 and project.queue.remaining() > 0)
        killed = trainer.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        answer_query(project, truth)
        wait_for(lambda: len(project.models.all()) == 2 and project.queue.remaining() > 0)
        wait_for(
            lambda: trainer.pid not in (None, killed) and project.models.training_state().phase == "idle"
        )
    assert trainer.pid is None and project.models.training_state().phase == "off"


def test_labelling_and_training_with_odd_names_and_broken_files(photos: Path, tmp_path: Path) -> None:
    truth = fill(photos, 60)
    assert len(truth) == 60 and len(set(truth) & set(NAMES)) >= 7
    before, out = contents(photos), tmp_path / "out"
    with Project.create_or_open(photos, class_names=DIGIT_CLASSES, budget=40) as project:
        done = project.images.sync()
        assert (done.readable, done.unreadable) == (60, len(BROKEN))
        train_twice(project, truth)
        first, second = project.models.all()
        assert first.trained_on < second.trained_on <= project.labels.counts().for_training
        assert second.estimate is not None
        assert second.estimate.count == project.labels.counts().for_estimate
        answer_oddly_named(project, truth)
        labelled = {project.images.get(label.image_id).name: label.class_id for label in project.labels.all()}
        export(project, out)
    assert labelled == {name: truth[name] for name in labelled} and set(labelled) >= set(truth) & set(NAMES)
    by_name = {name: DIGIT_CLASSES[class_id] for name, class_id in labelled.items()}
    assert {row["path"]: row["label"] for row in table(out / "labels.csv")} == by_name
    lines = (out / "labels.jsonl").read_text().splitlines()
    assert {row["path"]: row["label"] for row in map(json.loads, lines)} == by_name
    assert {row["path"]: row["reason"] for row in table(out / "unreadable.csv")} == BROKEN
    assert contents(photos) == before

    new = tmp_path / "new"
    wanted = fill(new, 12, first=100)
    before = contents(new)
    predict(find_classifier(out), new, tmp_path / "by_name.csv")
    rows = {row["path"]: row for row in table(tmp_path / "by_name.csv")}
    assert set(rows) == {*wanted, *BROKEN} == set(before)
    assert all(rows[name]["class"] in DIGIT_CLASSES and not rows[name]["problem"] for name in wanted)
    assert all(not rows[name]["class"] and rows[name]["problem"] for name in BROKEN)
    assert contents(new) == before


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
    assert project.models.training_state().phase == "off"


def test_a_folder_without_a_project_is_refused(tmp_path: Path, capfd: object) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    patched, os.nice = os.nice, lambda by: 0
    try:
        assert main([str(tmp_path)]) == 2
    finally:
        os.nice = patched
        for number, handler in handlers.items():
            signal.signal(number, handler)
