"""One process at a time, however the last one ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from aral.errors import BadInput
from aral.loop import Store
from aral.loop.database import Database
from aral.loop.run_store import SCHEMA
from tests.forks import forked


def holder(folder: Path, then: Callable[[Store], None]) -> int:
    """A process that has the folder open and does ``then``; returns once it has it."""
    read_end, write_end = os.pipe()

    def hold() -> None:
        store = Store.open(folder, create=True)
        os.write(write_end, b"!")
        then(store)

    child = forked(hold)
    os.close(write_end)
    assert os.read(read_end, 1) == b"!"
    os.close(read_end)
    return child


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_second_process_is_refused_at_once_and_told_the_holder(tmp_path: Path) -> None:
    child = holder(tmp_path, lambda store: time.sleep(60))
    try:
        start = time.monotonic()
        with pytest.raises(BadInput, match=f"is in use by process {child} on {socket.gethostname()}\\."):
            Store.open(tmp_path, create=False)
        assert time.monotonic() - start < 1
    finally:
        kill(child)


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    for _ in range(10):
        kill(holder(tmp_path, lambda store: time.sleep(60)))
        with Store.open(tmp_path, create=False) as store:
            assert store.setting("seed") is None


def test_a_surviving_child_of_a_killed_holder_keeps_no_lock(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()

    def start_loader(store: Store) -> None:
        loader = forked(lambda: time.sleep(60))
        os.write(write_end, loader.to_bytes(8, "little"))
        time.sleep(60)

    child = holder(tmp_path, start_loader)
    loader = int.from_bytes(os.read(read_end, 8), "little")
    try:
        with pytest.raises(BadInput, match="in use"):
            Store.open(tmp_path, create=False)
        kill(child)
        Store.open(tmp_path, create=False).close()
    finally:
        os.kill(loader, signal.SIGKILL)
        os.close(read_end)
        os.close(write_end)


def test_a_forked_child_can_neither_unlock_nor_write(tmp_path: Path) -> None:
    with Store.open(tmp_path, create=True) as store:

        def misuse() -> None:
            with pytest.raises(RuntimeError, match="forked"):
                store.record_setting("seed", 1)
            with pytest.raises(RuntimeError, match="forked"):
                store.setting("seed")
            store._lock.release()

        assert os.waitpid(forked(misuse), 0)[1] == 0
        with pytest.raises(BadInput, match="in use"):
            Store.open(tmp_path, create=False)
        store.record_setting("seed", 2)
        assert store.setting("seed") == 2


def test_a_second_opening_in_one_process_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path, create=True)
    with pytest.raises(BadInput, match=f"in use by process {os.getpid()}"):
        Store.open(tmp_path, create=False)
    store.record_setting("seed", 1)
    store.close()
    store.close()
    Store.open(tmp_path, create=False).close()


def test_a_failed_opening_keeps_no_lock(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no run in"):
        Store.open(tmp_path, create=False)
    Store.open(tmp_path, create=True).close()


def test_the_end_of_a_with_block_frees_the_folder_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Store.open(tmp_path, create=True):
        raise ZeroDivisionError
    Store.open(tmp_path, create=False).close()


def test_the_locks_outlast_a_second_connection_so_that_nobody_else_takes_the_log_away(tmp_path: Path) -> None:
    """Who opens the file by hand and closes it drops the locks of the whole process, as POSIX has it.

    The other process would then take itself for the last one and delete the write-ahead log, and what is
    written afterwards would be lost.
    """
    path = tmp_path / "store.sqlite"
    writer = Database(path, create=True, schema=SCHEMA)
    reader = Database(path, create=False, schema=SCHEMA)
    other = (
        "import sqlite3, sys; it = sqlite3.connect(sys.argv[1]); it.execute('SELECT * FROM run'); it.close()"
    )
    for value in ("one", "two"):
        with writer.transaction() as connection:
            connection.execute("INSERT INTO run VALUES (?, ?)", (value, value))
        subprocess.run([sys.executable, "-c", other, str(path)], check=True)
        assert Path(f"{path}-wal").exists()
    assert reader.rows("SELECT key FROM run ORDER BY key") == [("one",), ("two",)]
    kept = shutil.copytree(tmp_path, tmp_path / "as a power failure leaves it")
    with closing(sqlite3.connect(kept / "store.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (2,)
    reader.close()
    writer.close()
