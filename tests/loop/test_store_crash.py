"""Killed or copied at any moment, the store opens and holds every answer it acknowledged, once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import struct
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from aral.loop import Store
from aral.types import ClassAnswer, Selection


def write_until_killed(folder: Path, generation: int, acknowledge: int) -> None:
    with Store.open(folder, create=True) as store:
        number = 0
        while True:
            uuid = f"{generation}/{number}"
            store.labels.record([(ClassAnswer(number, generation % 10), uuid)], 0, "ann")
            os.write(acknowledge, struct.pack("<q", number))
            number += 1


def run_and_kill(folder: Path, generation: int, seconds: float) -> list[str]:
    """Uuids that a writer acknowledged before it was killed.

    The time counts from the first acknowledgement, but in every third generation from the start of the
    process, so that some kills fall into the opening of the store.
    """
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of fork beside threads; the child starts none
        child = os.fork()
    if child == 0:
        try:
            write_until_killed(folder, generation, write_end)
        finally:
            os._exit(1)
    os.close(write_end)
    received = os.read(read_end, 8) if generation % 3 else b""
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the writer ended by itself"
    with os.fdopen(read_end, "rb") as pipe:
        received += pipe.read()
    return [f"{generation}/{number}" for (number,) in struct.iter_unpack("<q", received)]


def test_a_hundred_kills_lose_no_acknowledged_answer(tmp_path: Path) -> None:
    moments = random.Random(1)
    acknowledged: set[str] = set()
    for generation in range(100):
        acknowledged.update(run_and_kill(tmp_path / "run", generation, moments.uniform(0.0, 0.03)))
        with Store.open(tmp_path / "run", create=True) as store:
            recorded = [row.uuid for row in store.labels.history()]
        assert len(recorded) == len(set(recorded))
        assert acknowledged <= set(recorded)
        # At most the one answer whose acknowledgement the kill cut off.
        assert len(recorded) <= len(acknowledged) + generation + 1
    assert len(acknowledged) >= 66


def test_a_copy_taken_at_any_moment_holds_a_prefix(tmp_path: Path) -> None:
    prefix: list[str] = []
    with Store.open(tmp_path / "run", create=True) as store:
        for number in range(60):
            if number % 20 == 10:
                store._database.rows("PRAGMA wal_checkpoint(PASSIVE)")
            store.labels.record([(ClassAnswer(number, 0), str(number))], 0, "ann")
            prefix.append(str(number))
            if number % 3 == 0:
                copy = tmp_path / f"copy {number}"
                shutil.copytree(tmp_path / "run", copy)
                log = copy / "store.sqlite-wal"
                with log.open("r+b") as file:  # the power failed before the end of the log was on the disk
                    file.truncate(max(0, log.stat().st_size - 1000 * (number % 4)))
                with Store.open(copy, create=False) as copied:
                    recorded = [row.uuid for row in copied.labels.history()]
                assert recorded == prefix[: len(recorded)]
                if number % 4 == 0:
                    assert recorded == prefix


@pytest.mark.parametrize("statement", range(1, 7))
def test_a_query_is_written_whole_or_not_at_all(tmp_path: Path, statement: int) -> None:
    """The transaction is cut after each of its rows."""
    query = Selection(np.arange(6), np.arange(6.0), "random", ("",) * 6)
    with Store.open(tmp_path, create=True) as store:
        trigger = (
            f"CREATE TEMP TRIGGER cut AFTER INSERT ON queries WHEN NEW.position = {statement - 1} "
            "BEGIN SELECT RAISE(FAIL, 'cut'); END"
        )
        store._database.rows(trigger)
        with pytest.raises(Exception, match="cut"):
            store.record_query(0, query)
        assert store.query(0) is None
        store._database.rows("DROP TRIGGER cut")
        store.record_query(0, query)
        recorded = store.query(0)
        assert recorded is not None and recorded.ids.tolist() == query.ids.tolist()
