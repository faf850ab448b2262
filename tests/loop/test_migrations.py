"""Migrations of a store: from an empty file or an old one to the newest version, and never back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aral.errors import BadInput
from aral.loop import Stage, Store
from aral.loop.database import Database, Schema, migrate, schema_version
from aral.loop.run_store import APPLICATION_ID, SCHEMA
from aral.types import ClassAnswer, NoClass, NoClassAnswer

MIGRATIONS = SCHEMA.migrations
NEWEST = len(MIGRATIONS)
ADDED = (*MIGRATIONS, ("CREATE TABLE notes (body TEXT)", "INSERT INTO notes VALUES ('moved')"))
BROKEN = (*ADDED, ("CREATE TABLE half (x)", "INSERT INTO nowhere VALUES (1)"))


def version(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return schema_version(connection)


def test_an_empty_file_gets_every_layout(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").touch()
    with pytest.raises(BadInput, match="never started"):
        Store.open(tmp_path, create=False)
    Store.open(tmp_path, create=True).close()
    assert version(tmp_path / "store.sqlite") == len(MIGRATIONS)
    Store.open(tmp_path, create=False).close()


def test_a_newer_layout_is_refused_politely_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    Store.open(tmp_path, create=True).close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 77")
    before = file.read_bytes()
    with pytest.raises(BadInput, match=r"layout 77, from a newer release.*\n.*pip install --upgrade"):
        Store.open(tmp_path, create=True)
    assert file.read_bytes() == before


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE cookies (taste TEXT)")
    before = file.read_bytes()
    with pytest.raises(BadInput, match="not the store of a run"):
        Store.open(tmp_path, create=True)
    assert file.read_bytes() == before


def test_an_older_layout_is_copied_and_then_moved_on(tmp_path: Path) -> None:
    with Store.open(tmp_path, create=True) as store:
        store.record_setting("seed", 5)
    file = tmp_path / "store.sqlite"
    database = Database(file, create=False, schema=Schema(APPLICATION_ID, "run", ADDED))
    assert database.rows("SELECT body FROM notes") == [("moved",)]
    assert database.rows("SELECT value FROM run") == [("5",)]
    database.close()
    assert version(file) == NEWEST + 1
    copy = tmp_path / f"store.sqlite.v{NEWEST}.backup"
    assert version(copy) == NEWEST
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT value FROM run").fetchall() == [("5",)]


def test_a_step_that_fails_leaves_no_trace_and_earlier_steps_stay(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "file", isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(connection, BROKEN)
        assert schema_version(connection) == NEWEST + 1
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []
        migrate(connection, (*ADDED, ("CREATE TABLE half (x)",)))
        assert schema_version(connection) == NEWEST + 2
        assert connection.execute("SELECT count(*) FROM notes").fetchall() == [(1,)]


def test_a_layout_and_its_number_are_one_transaction(tmp_path: Path) -> None:
    def deny_number(action: int, name: str | None, value: str | None, *rest: str | None) -> int:
        numbering = action == sqlite3.SQLITE_PRAGMA and name == "user_version" and value is not None
        return sqlite3.SQLITE_DENY if numbering else sqlite3.SQLITE_OK

    with closing(sqlite3.connect(tmp_path / "file", isolation_level=None)) as connection:
        connection.set_authorizer(deny_number)
        with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
            migrate(connection, MIGRATIONS)
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


def old_store(folder: Path) -> None:
    """The dump was taken when version 1 was new; it is never regenerated."""
    with closing(sqlite3.connect(folder / "store.sqlite")) as connection:
        connection.executescript((Path(__file__).parent / "store-layout-1.sql").read_text(encoding="utf-8"))


def test_a_store_of_version_1_opens_with_all_that_it_recorded(tmp_path: Path) -> None:
    old_store(tmp_path)
    with Store.open(tmp_path, create=False) as store:
        assert store.setting("seed") == 7
        query = store.query(0)
        assert query is not None
        assert (query.ids.tolist(), query.scores.tolist()) == ([2, 0, 1], [0.75, 0.5, 0.25])
        assert store.labels.answers() == [ClassAnswer(0, 1), NoClassAnswer(2, NoClass.BAD_IMAGE)]
        assert [row.kind for row in store.labels.history()] == ["class", "bad image", "class", "undo"]
        assert store.rounds()[0].stage is Stage.TRAINED
        assert [row.value for row in store.metrics("accuracy")] == [0.5]
        assert store.document(0, "confusion") == [[1, 0], [0, 1]]
        assert [row.folder for row in store.checkpoints()] == ["0-100"]
        assert [row.kind for row in store.events()] == ["checkpoint"]
        with pytest.raises(BadInput, match="append-only"), store._database.transaction() as connection:
            connection.execute("DELETE FROM answers")
    assert version(tmp_path / "store.sqlite") == NEWEST and version(tmp_path / "store.sqlite.v1.backup") == 1
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert not tables & {"images", "open_queries", "current_answers"}


def test_the_copy_of_answers_in_a_projects_run_is_dropped(tmp_path: Path) -> None:
    """Version 1 kept the answers of a project a second time, in the store of its run."""
    old_store(tmp_path)
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        connection.execute("INSERT INTO run VALUES ('identity', '{}')")
        connection.commit()
    with Store.open(tmp_path, create=False) as store:
        assert store.labels.history() == [] and store.query(0) is not None
        store.labels.record([(ClassAnswer(0, 1), "new")], 0, "ann")
        with pytest.raises(BadInput, match="append-only"), store._database.transaction() as connection:
            connection.execute("DELETE FROM answers")
