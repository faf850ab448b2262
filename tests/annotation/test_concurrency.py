"""Many threads, several processes, and kills: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import struct
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from aral.annotation import AnswerEvent, ModelRecord, Project
from aral.testing import answer_event, project_rows
from tests.annotation.conftest import change_settings
from tests.forks import forked


def end(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the process ended by itself"


def test_threads_answer_while_another_process_writes_all_the_time(project: Project, photos: Path) -> None:
    """No answer waits for long, none is lost, and no image is given to two annotators."""

    def write() -> None:
        with Project.open(photos) as trainer:
            number = trainer.models.record(ModelRecord(0, "m", 1, 1.0, (0, 1)))
            while True:
                trainer.predictions.replace(number, np.arange(30), [0, 1], np.full((30, 2), 0.5))

    change_settings(project, overlap=4)
    child = forked(write)
    given_out: list[tuple[str, int]] = []
    times: list[float] = []

    def label(name: str) -> None:
        for number in range(30):
            started = time.monotonic()
            (card,) = project.queue.next_cards(name, 1)
            project.annotations.append(
                AnswerEvent(f"{name}{number}", card.image_id, name, "class", number % 2)
            )
            given_out.append((name, card.image_id))
            times.append(time.monotonic() - started)

    try:
        time.sleep(0.1)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(label, ["Ann", "Bob", "Cyd", "Dan"]))
    finally:
        end(child)
    assert len(given_out) == len(set(given_out)) == 120
    assert set(Counter(image_id for _, image_id in given_out).values()) == {4}
    assert [len(project.annotations.history(name, count=99)) for name in ("Ann", "Bob", "Cyd", "Dan")] == [
        30
    ] * 4
    assert_views_agree(project)
    assert float(np.median(times)) < 0.5


def test_eight_threads_never_share_an_image(project: Project) -> None:
    def ask(name: str) -> list[int]:
        return [card.image_id for _ in range(3) for card in project.queue.next_cards(name, 1, tab=str(_))]

    with ThreadPoolExecutor(8) as threads:
        given_out = threads.map(ask, [f"person {number}" for number in range(8)])
        held = [image_id for ids in given_out for image_id in ids]
    assert len(held) == len(set(held)) == 24


def test_kills_lose_no_acknowledged_answer(project: Project, photos: Path) -> None:
    """The child answers, undoes and acknowledges; after each kill every acknowledged event is there once."""
    project.close()
    moments = random.Random(3)
    acknowledged: set[str] = set()
    for generation in itertools.count():
        if generation >= 8 and len(acknowledged) > 20:
            break
        read_end, write_end = os.pipe()

        def work(generation: int = generation, write_end: int = write_end) -> None:
            with Project.open(photos) as writer:
                for number in range(100_000):
                    action = "undo" if number % 3 == 2 else number % 2
                    writer.annotations.append(
                        answer_event(number // 3 % 30, action, key=f"{generation}/{number}")
                    )
                    os.write(write_end, struct.pack("<q", number))

        child = forked(work)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            first = pipe.read(8)
            time.sleep(moments.uniform(0.0, 0.04))
            end(child)
            numbers = struct.iter_unpack("<q", first + pipe.read())
        acknowledged |= {f"{generation}/{number}" for (number,) in numbers}
        with Project.open(photos) as after:
            rows = project_rows(after, "SELECT key FROM answers")
            keys = [key for (key,) in rows]
            assert len(keys) == len(set(keys)) and acknowledged <= set(keys)
            assert len(keys) <= len(acknowledged) + generation + 1
            assert_views_agree(after)


@pytest.mark.sqlite
def test_a_copy_of_a_project_taken_while_it_is_written_holds_all_that_was_acknowledged(
    project: Project, photos: Path, tmp_path: Path
) -> None:
    """Stands in for a power failure: the writer is stopped, its files are copied with the last bytes cut off."""
    project.close()
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)

    def work() -> None:
        with Project.open(photos) as writer:
            for number in range(100_000):
                writer.annotations.append(answer_event(number % 30, number % 2, key=str(number)))
                os.write(write_end, b".")

    child = forked(work)
    copies: list[tuple[Path, int, int]] = []
    try:
        for number in itertools.count():
            if number >= 6 and copies[-1][1] > 20:
                break
            time.sleep(0.05)
            os.kill(child, signal.SIGSTOP)
            os.waitpid(child, os.WUNTRACED)
            acknowledged = (copies[-1][1] if copies else 0) + _waiting(read_end)
            copy = tmp_path / f"copy {number}" / ".aral"
            copy.mkdir(parents=True)
            for path in (photos / ".aral").glob("project.sqlite*"):
                shutil.copy(path, copy)
            cut = 777 * (number % 6) if number % 2 and (copy / "project.sqlite-wal").exists() else 0
            if cut:
                log = copy / "project.sqlite-wal"
                os.truncate(log, max(0, log.stat().st_size - cut))
            copies.append((copy.parent, acknowledged, cut))
            os.kill(child, signal.SIGCONT)
    finally:
        end(child)
        os.close(read_end)
        os.close(write_end)
    for folder, acknowledged, cut in copies:
        with Project.open(folder) as after:
            keys = [int(key) for (key,) in project_rows(after, "SELECT key FROM answers ORDER BY seq")]
            assert keys == list(range(len(keys))), "a part of the history, from its beginning"
            assert cut or len(keys) >= acknowledged
            assert project_rows(after, "PRAGMA integrity_check") == [("ok",)]
            assert_views_agree(after)


def _waiting(descriptor: int) -> int:
    """How many bytes a pipe holds; they are read."""
    try:
        return len(os.read(descriptor, 1 << 20))
    except BlockingIOError:
        return 0


def assert_views_agree(project: Project) -> None:
    """What is kept beside the events says the same as the events."""
    counts = project.labels.counts()
    assert counts.labelled == sum(not label.inherited for label in project.labels.all())
    assert project_rows(
        project,
        """SELECT image_id, annotator_id, max(seq) FROM answers a WHERE action <> 'undo'
            AND NOT EXISTS (SELECT 1 FROM answers u WHERE u.cancels = a.seq) GROUP BY 1, 2 ORDER BY 1, 2""",
    ) == project_rows(project, "SELECT image_id, annotator_id, seq FROM standing ORDER BY 1, 2")


def test_a_forked_process_must_open_its_own(project: Project) -> None:
    read_end, write_end = os.pipe()

    def work() -> None:
        try:
            project.annotations.append(answer_event(1, 0))
        except RuntimeError:
            os.write(write_end, b"refused")
        signal.pause()

    child = forked(work)
    assert os.read(read_end, 7) == b"refused"
    end(child)
    os.close(read_end)
    os.close(write_end)
    assert project.labels.all() == []


def test_reading_sees_one_state(project: Project) -> None:
    """While one thread answers and takes back in one transaction, no other sees the half of it."""
    seen = set()
    stop = False

    def flip() -> None:
        for number in range(60):
            project.annotations.append_many([answer_event(image_id, number % 2) for image_id in range(5)])
        nonlocal stop
        stop = True

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(flip)
        while not stop and not done.done():
            seen.add(tuple(label.class_id for label in project.labels.all()))
        done.result()
    assert seen <= {(), (0,) * 5, (1,) * 5} and len(seen) > 1


def test_a_closed_project_can_be_closed_again(project: Project) -> None:
    project.close()
    project.close()
