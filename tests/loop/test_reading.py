"""A look into a store: complete, of one moment, and without a trace in the run."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from aral.errors import BadInput, RunFailed
from aral.loop import EventRow, RoundRow, Store, reading
from aral.loop.reading import store_reading
from aral.loop.run_store import FILE_NAME
from aral.types import ClassAnswer, NoClass, NoClassAnswer, Selection


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder at rest: one round, a query of three images and two answers."""
    folder = tmp_path / "a run #1?"  # characters that mean something in an address
    with Store.open(folder, create=True) as store:
        store.record_setting("seed", 7)
        store.record_round(0, 2)
        store.record_query(
            0, Selection(np.array([4, 1, 9]), np.array([0.9, 0.5, 0.1]), "entropy", ("a", "b", "c"))
        )
        store.labels.record([(ClassAnswer(4, 2), "u1"), (NoClassAnswer(1, NoClass.SKIP), "u2")], 0, "me")
        store.record_metrics(0, 10, {"accuracy": 0.25, "loss total": float("nan")})
        store.record_document(0, "confusion", [[1, 0], [2, 3]])
        store.record_event("warning", "careful")
    return folder


@contextmanager
def another_process(work: Callable[[], object]) -> Iterator[int]:
    """A forked process that has done ``work`` and waits; it is killed at the end of the block."""
    ready, done = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of fork beside threads; the child starts none
        child = os.fork()
    if child == 0:
        try:
            kept = work()
            os.write(done, b"!")
            while kept is not None:
                signal.pause()
        finally:
            os._exit(1)
    os.close(done)
    try:
        assert os.read(ready, 1) == b"!"
        yield child
    finally:
        os.close(ready)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def hold_and_write(folder: Path, seed: int) -> Store:
    store = Store.open(folder, create=False)
    store.record_setting("seed", seed)
    return store


def traces(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of every file of a folder."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_everything_recorded_is_read(run: Path) -> None:
    with store_reading(run) as store:
        assert store.setting("seed") == 7
        assert store.rounds() == [RoundRow(0, 2, None, None)]
        selection = store.query(0)
        assert selection is not None
        assert selection.ids.tolist() == [4, 1, 9]
        assert store.labels.answers() == [NoClassAnswer(1, NoClass.SKIP), ClassAnswer(4, 2)]
        assert [row.uuid for row in store.labels.history()] == ["u1", "u2"]
        assert [(row.name, row.step) for row in store.metrics()] == [("accuracy", 10), ("loss total", 10)]
        assert store.document(0, "confusion") == [[1, 0], [2, 3]]
        assert store.checkpoints() == []
        (event,) = store.events()
        assert event == EventRow(1, event.created_at, "warning", "careful")


def test_a_run_at_rest_is_left_as_it_was(run: Path) -> None:
    before = traces(run)
    with store_reading(run):
        assert traces(run) == before
    assert traces(run) == before


def test_it_is_read_while_another_process_holds_it(run: Path) -> None:
    with another_process(lambda: hold_and_write(run, 8)):
        before = traces(run)
        assert f"{FILE_NAME}-shm" in before
        with store_reading(run) as store:
            assert store.setting("seed") == 8
        assert traces(run) == before
        with pytest.raises(BadInput, match="in use"):  # the holder has it still
            Store.open(run, create=False)


def test_it_is_read_after_its_holder_was_killed(run: Path) -> None:
    with another_process(lambda: hold_and_write(run, 8)):
        pass
    before = traces(run)
    assert before[f"{FILE_NAME}-wal"][0]
    with store_reading(run) as store:
        assert store.setting("seed") == 8
    assert traces(run) == before
    with Store.open(run, create=False) as store_again:
        assert store_again.setting("seed") == 8


def test_a_copied_folder_without_the_index_of_the_log_is_read(run: Path) -> None:
    with another_process(lambda: hold_and_write(run, 8)):
        pass
    (run / f"{FILE_NAME}-shm").unlink()
    before = traces(run)
    with store_reading(run) as store:
        assert store.setting("seed") == 8
    assert traces(run) == before


def test_the_holder_itself_can_read_and_go_on_writing(run: Path) -> None:
    with Store.open(run, create=False) as holder:
        holder.record_setting("seed", 8)
        with store_reading(run) as store:
            holder.record_setting("seed", 9)
            holder.record_round(1, 5)
            assert store.setting("seed") == 8, "a reading is of one moment"
            assert len(store.rounds()) == 1
        with store_reading(run) as store:
            assert store.setting("seed") == 9
    with Store.open(run, create=False) as after:
        assert after.setting("seed") == 9


def test_a_folder_without_a_store_is_no_run(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BadInput, match=r"no run in .*store\.sqlite is missing"), store_reading(folder):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "problem"), [(b"", "was never started"), (b"no database at all" * 100, "damaged or no store")]
)
def test_a_file_that_is_no_store_is_refused_under_its_own_name(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(BadInput, match=problem) as caught, store_reading(tmp_path):
        pass
    assert str(tmp_path) in str(caught.value)
    assert (tmp_path / FILE_NAME).read_bytes() == content


def test_the_file_of_another_program_and_of_a_newer_release_are_refused(tmp_path: Path, run: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.execute("CREATE TABLE other (x)")
    with pytest.raises(BadInput, match="not the store of a run"), store_reading(tmp_path):
        pass
    with closing(sqlite3.connect(run / FILE_NAME)) as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(BadInput, match="layout 99") as caught, store_reading(run):
        pass
    assert "aral-reading-" not in str(caught.value)


def test_a_store_that_changes_while_it_is_copied_is_copied_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, changes = shutil.copyfile, [11, 12]

    def disturbed(source: Path, target: Path) -> None:
        real(source, target)
        if changes:
            with Store.open(run, create=False) as store:
                store.record_setting("seed", changes.pop())

    monkeypatch.setattr(shutil, "copyfile", disturbed)
    monkeypatch.setattr(reading, "PAUSE_SECONDS", 0.0)
    with store_reading(run) as store:
        assert store.setting("seed") == 11, "the last change, made during the second copy"


def test_a_store_that_never_rests_is_given_up(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_copy_at_rest", lambda path, copy: False)
    monkeypatch.setattr(reading, "PAUSE_SECONDS", 0.0)
    with pytest.raises(RunFailed, match="opened and closed all the time"), store_reading(run):
        pass
