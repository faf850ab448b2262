"""What is recorded comes back, all or nothing, and again after the store was closed and opened."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest

from aral.errors import AralError, BadInput, RunFailed
from aral.loop import Stage, Store
from aral.types import ClassAnswer, Selection


def selection(*ids: int, acquisition: str = "margin") -> Selection:
    scores = np.array([1.0 / (1 + place) for place in range(len(ids))])
    return Selection(np.array(ids, dtype=np.int64), scores, acquisition, tuple(f"image {i}" for i in ids))


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("is_missing", [False, True])
def test_a_lost_store_is_not_started_again(tmp_path: Path, is_missing: bool) -> None:
    Store.open(tmp_path / "run", create=True).close()
    (tmp_path / "run" / "checkpoints" / "0-4").mkdir(parents=True)
    path = tmp_path / "run" / "store.sqlite"
    path.unlink()
    if not is_missing:
        path.touch()
    with pytest.raises(BadInput, match="is not started again"):
        Store.open(tmp_path / "run", create=True)
    assert path.exists() != is_missing


def test_everything_survives_closing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run", create=True) as store:
        store.record_setting("seed", 7)
        store.record_setting("spec", {"budget": [10, 20], "name": "größe", "rate": 0.1, "none": None})
        store.record_query(0, selection(5, 2, 9))
        store.labels.record([(ClassAnswer(2, 1), "u1")], 0, "ann")
        store.record_round(0, 1)
        store.record_metrics(0, 4, {"loss": 0.5})
        store.record_document(0, "confusion", [[3, 1], [0, 4]])
        store.record_checkpoint("0-4", 0, 4)
        store.record_event("checkpoint", "damaged checkpoint skipped")
    with Store.open(tmp_path / "run", create=False) as store:
        assert store.setting("seed") == 7
        assert store.setting("spec") == {"budget": [10, 20], "name": "größe", "rate": 0.1, "none": None}
        assert store.setting("never recorded") is None
        assert store.labels.answers() == [ClassAnswer(2, 1)]
        assert [(row.round, row.labelled, row.stage) for row in store.rounds()] == [(0, 1, None)]
        assert [(row.round, row.step, row.name, row.value) for row in store.metrics()] == [
            (0, 4, "loss", 0.5)
        ]
        assert store.document(0, "confusion") == [[3, 1], [0, 4]]
        assert store.document(1, "confusion") is None
        assert [(row.folder, row.round, row.step) for row in store.checkpoints()] == [("0-4", 0, 4)]
        assert [(row.kind, row.message) for row in store.events()] == [
            ("checkpoint", "damaged checkpoint skipped")
        ]


def test_settings_and_documents_are_replaced_and_events_are_not(store: Store) -> None:
    for value in (1, 2):
        store.record_setting("seed", value)
        store.record_document(3, "diagnostics", {"kl": value})
        store.record_event("rate", "halved")
    assert store.setting("seed") == 2
    assert store.document(3, "diagnostics") == {"kl": 2}
    assert [event.seq for event in store.events()] == [1, 2]


def test_metrics_keep_what_is_not_finite_and_are_replaced(store: Store) -> None:
    store.record_metrics(1, 0, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1e-320})
    store.record_metrics(0, 5, {"a": 1.0})
    store.record_metrics(0, 5, {"a": 2.0})
    rows = store.metrics()
    assert [(row.round, row.step, row.name) for row in rows] == [
        (0, 5, "a"),
        (1, 0, "a"),
        (1, 0, "b"),
        (1, 0, "c"),
        (1, 0, "d"),
    ]
    assert rows[0].value == 2.0
    assert math.isnan(rows[1].value)
    assert [row.value for row in rows[2:]] == [math.inf, -math.inf, 1e-320]
    assert [row.value for row in store.metrics("b")] == [math.inf]


def test_stages_of_a_round_come_in_order_and_once(store: Store) -> None:
    store.record_round(0, 10)
    store.record_round(0, 12)
    with pytest.raises(BadInput, match="CHECK"):
        store.record_stage(0, Stage.EVALUATED)
    store.record_stage(0, Stage.TRAINED)
    first = store.rounds()[0]
    assert (first.labelled, first.stage) == (12, Stage.TRAINED)
    store.record_stage(0, Stage.TRAINED)
    assert store.rounds() == [first]
    with pytest.raises(BadInput, match="trained on 12 labelled images, not 13"):
        store.record_round(0, 13)
    store.record_stage(0, Stage.EVALUATED)
    assert store.rounds()[0].stage is Stage.EVALUATED
    with pytest.raises(BadInput, match="Round 1 is not recorded"):
        store.record_stage(1, Stage.TRAINED)


def test_checkpoints_are_listed_newest_first_and_forgotten(store: Store) -> None:
    for folder, round, step in [("b", 1, 50), ("a", 0, 900), ("c", 1, 100)]:
        store.record_checkpoint(folder, round, step)
    store.record_checkpoint("b", 1, 50)
    assert [row.folder for row in store.checkpoints()] == ["c", "b", "a"]
    store.forget_checkpoint("c")
    assert [row.folder for row in store.checkpoints()] == ["b", "a"]


def test_a_query_comes_back_in_order_with_exact_scores(store: Store) -> None:
    scores = np.array([0.1, np.pi, -1e-300])
    store.record_query(2, Selection(np.array([8, 3, 5]), scores, "bald", ("x", "", "z")))
    recorded = store.query(2)
    assert recorded is not None
    assert recorded.ids.tolist() == [8, 3, 5]
    assert recorded.scores.tolist() == scores.tolist()
    assert (recorded.acquisition, recorded.reasons) == ("bald", ("x", "", "z"))
    assert store.query(1) is None
    store.record_query(2, recorded)
    store.record_query(3, Selection(np.array([1]), np.array([0.1], dtype=np.float32), "bald", ("",)))
    single = store.query(3)
    assert single is not None and single.scores[0] == float(np.float32(0.1))


def test_a_query_is_refused_as_a_whole(store: Store) -> None:
    store.record_query(0, selection(1, 2, 3))
    with pytest.raises(BadInput, match="Round 0 has a different query"):
        store.record_query(0, selection(1, 3, 2))
    with pytest.raises(BadInput, match="empty"):
        store.record_query(1, selection())
    assert store.query(1) is None


def test_files_belong_to_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Store.open(tmp_path / "run", create=True) as store:
            store.record_setting("seed", 1)
            files = {path.name: permissions(path) for path in (tmp_path / "run").iterdir()}
    finally:
        os.umask(before)
    assert permissions(tmp_path / "run") == 0o700
    assert set(files) == {"lock", "store.sqlite", "store.sqlite-wal", "store.sqlite-shm"}
    assert set(files.values()) == {0o600}
    (tmp_path / "run" / "store.sqlite").chmod(0o644)
    with Store.open(tmp_path / "run", create=False):
        assert permissions(tmp_path / "run" / "store.sqlite") == 0o600


def test_commits_are_durable(store: Store) -> None:
    assert store._database.rows("PRAGMA journal_mode") == [("wal",)]
    assert store._database.rows("PRAGMA synchronous") == [(2,)]  # 2 = FULL
    assert store._database.rows("PRAGMA foreign_keys") == [(1,)]


@pytest.mark.parametrize("size", [1, 50, 4096, 9000])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, size: int) -> None:
    file = tmp_path / "store.sqlite"
    file.write_bytes(b"not a database, " * (size // 16) + b"x" * (size % 16))
    before = file.read_bytes()
    with pytest.raises(BadInput, match=r"store\.sqlite.*\n.*Copy"):
        Store.open(tmp_path, create=True)
    assert file.read_bytes() == before


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run", create=True) as store:
        store.record_metrics(0, 0, {f"metric {number}": 0.5 for number in range(2000)})
    file = tmp_path / "run" / "store.sqlite"
    content = bytearray(file.read_bytes())
    page = len(content) - 3 * 4096
    content[page : page + 8] = b"\xff" * 8
    file.write_bytes(content)
    with pytest.raises(BadInput, match=r"store\.sqlite is damaged"):
        Store.open(tmp_path / "run", create=False)
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r"store\.sqlite is damaged"):
        Store.open(tmp_path / "run", create=False)


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no run folder"):
        Store.open(tmp_path / "missing", create=False)
    assert not (tmp_path / "missing").exists()
    with pytest.raises(BadInput, match="There is no run in"):
        Store.open(tmp_path, create=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be made"):
        Store.open(tmp_path / "file", create=True)
    (tmp_path / "odd" / "store.sqlite").mkdir(parents=True)
    with pytest.raises(BadInput, match="is no file"):
        Store.open(tmp_path / "odd", create=True)


def test_a_full_disk_loses_nothing_and_is_named(store: Store) -> None:
    store.record_setting("seed", 3)
    (pages,) = store._database.rows("PRAGMA page_count")[0]
    store._database.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RunFailed, match=r"No space left for .*store\.sqlite \(\d+ bytes free\)"):
        store.record_document(0, "large", "x" * 100_000)
    assert store.document(0, "large") is None
    store._database.rows("PRAGMA max_page_count = 1000000")
    store.record_document(0, "large", "x" * 100_000)
    assert store.setting("seed") == 3
    assert store.document(0, "large") == "x" * 100_000


def test_another_writer_is_waited_for_and_then_named(store: Store) -> None:
    store._database.rows("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(store.folder / "store.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RunFailed, match="locked"):
        store.record_setting("seed", 1)
    other.close()
    store.record_setting("seed", 1)
    assert store.setting("seed") == 1


class Flaky(sqlite3.Connection):
    """Fails a number of times to switch to the write-ahead log, as while another process deletes it."""

    failures = 0

    def execute(self, statement: str, *parameters: object) -> sqlite3.Cursor:
        if "journal_mode" in statement and Flaky.failures:
            Flaky.failures -= 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return super().execute(statement, *parameters)


@pytest.mark.parametrize(("failures", "opens"), [(2, True), (99, False)])
def test_opening_beside_a_process_that_closes_is_tried_again(
    failures: int, opens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(Flaky, "failures", failures)
    monkeypatch.setattr("aral.loop.database.OPEN_SECONDS", 0.3)
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Flaky))
    if opens:
        Store.open(tmp_path, create=True).close()
    else:
        with pytest.raises(AralError, match="disk I/O error"):
            Store.open(tmp_path, create=True)
