"""What is particular to a project on a Postgres server: its address, its rights, lost connections, locks, kills."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from aral.annotation import ImportedLabel, Project, Provenance, examine, status, write_options
from aral.annotation.database_address import ADDRESS_NAME
from aral.annotation.layout import MIGRATIONS
from aral.annotation.moving import TABLES, move_to_file, move_to_server
from aral.annotation.postgres import ConnectionLost, in_postgres_notation
from aral.annotation.postgres_layout import FIRST_LAYOUT
from aral.annotation.postgres_layout import MIGRATIONS as SERVER_MIGRATIONS
from aral.annotation.training_worker import train
from aral.errors import BadInput, RunFailed, Stopped
from aral.loop.database import migrate
from aral.testing import (
    TINY_TRAINING,
    PostgresServer,
    answer_cards,
    answer_event,
    project_database,
    project_rows,
    save_digits,
)
from aral.testing.postgres import STRICT_PASSWORD, STRICT_USER
from tests.annotation.conftest import label_map, predict, save_pictures
from tests.annotation.test_concurrency import assert_views_agree, end
from tests.forks import forked


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    """The address of the database of new projects: on the server."""
    return postgres.address()


def remembered(photos: Path) -> Path:
    return photos / ".aral" / ADDRESS_NAME


def schema_of(photos: Path) -> str:
    return f"aral_{json.loads(remembered(photos).read_text())['identity']}"


# The address


def test_the_folder_remembers_the_database(project: Project, photos: Path, database: str) -> None:
    project.annotations.append(answer_event(1, 0))
    project.close()
    assert remembered(photos).stat().st_mode & 0o777 == 0o600
    assert not (photos / ".aral" / "project.sqlite").exists()
    with Project.create_or_open(photos) as again:
        assert label_map(again) == {1: 0} and again.server.startswith("owner@")
        assert status(again).facts["database"] == again.server
    with Project.open(photos, database) as again:
        assert label_map(again) == {1: 0}
    assert all(
        check.verdict != "bad" for check in examine(photos) if check.name in ("database", "permissions")
    )


def test_projects_of_one_database_are_apart(project: Project, tmp_path: Path, database: str) -> None:
    others = tmp_path / "others"
    save_pictures(others, 2)
    with Project.create_or_open(others, class_names=("owl",), database=database) as other:
        other.images.sync()
        assert other.images.count() == 2 and [each.name for each in other.classes.all()] == ["owl"]
    assert project.images.count() == 30 and len(project.classes.all()) == 2


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("server", "is no address"),
        ("postgresql://ann:secret@server/labels", "holds a password"),
        ("host=server password=secret", "holds a password"),
        ("postgresql://server/labels?colour=red", "cannot be read"),
    ],
)
@pytest.mark.usefixtures("postgres")
def test_an_address_that_cannot_be_used_is_refused(photos: Path, address: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        Project.create_or_open(photos, database=address)
    assert "secret" not in str(refused.value) and not (photos / ".aral").exists()


def test_a_server_that_refuses_is_quoted_and_the_folder_stays_free(
    photos: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    strict = postgres.address(user=STRICT_USER)
    refusals = {
        postgres.address("missing"): 'database "missing" does not exist',
        postgres.address(user="stranger"): 'role "stranger" does not exist',
        strict: "refuses the password",
    }
    for address, said in refusals.items():
        with pytest.raises(BadInput, match=said):
            Project.create_or_open(photos, database=address)
    with pytest.raises(ConnectionLost, match="cannot be reached"):
        Project.create_or_open(photos, database=f"postgresql:///x?host={tmp_path}")
    monkeypatch.setenv("PGPASSWORD", STRICT_PASSWORD)
    with pytest.raises(BadInput, match="permission denied for database"):
        Project.create_or_open(photos, database=strict)
    assert not remembered(photos).exists()
    postgres.execute(f"GRANT CREATE ON DATABASE postgres TO {STRICT_USER}")
    with Project.create_or_open(photos, database=strict) as project:
        assert not project.read_only
    assert STRICT_PASSWORD not in remembered(photos).read_text()


def test_a_user_without_rights_to_write_only_reads(
    project: Project, photos: Path, postgres: PostgresServer
) -> None:
    schema = schema_of(photos)
    postgres.execute(
        f"CREATE ROLE reader_{schema} LOGIN; GRANT USAGE ON SCHEMA {schema} TO reader_{schema};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader_{schema}"
    )
    with Project.open(photos, postgres.address(user=f"reader_{schema}")) as reading:
        assert reading.read_only and reading.images.count() == 30
        with pytest.raises(BadInput, match="read only"):
            reading.annotations.append(answer_event(1, 0))


def test_another_database_or_folder_is_never_written_to(
    project: Project, photos: Path, tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    project.close()
    postgres.execute(f"CREATE DATABASE empty_{schema_of(photos)}")
    for opened in (Project.create_or_open, Project.open):
        with pytest.raises(BadInput, match="the project is not there"):
            opened(photos, database=postgres.address(f"empty_{schema_of(photos)}"))
    copy = tmp_path / "copy"
    shutil.copytree(photos, copy)
    for opened in (Project.create_or_open, Project.open):
        with pytest.raises(BadInput, match="belongs to the project in"):
            opened(copy)
    moved = photos.rename(tmp_path / "moved")
    shutil.rmtree(copy)
    with Project.create_or_open(moved) as again:
        assert again.images.count() == 30
    remembered(moved).unlink()
    with pytest.raises(BadInput, match=rf"{ADDRESS_NAME} is missing, but"):
        Project.create_or_open(moved, database=database)
    remembered(moved).write_text("{}")
    with pytest.raises(BadInput, match="is damaged"):
        Project.open(moved)


def test_a_project_with_a_file_stays_with_it(photos: Path, database: str) -> None:
    save_pictures(photos, 1)
    Project.create_or_open(photos).close()
    with pytest.raises(BadInput, match=r"is in project\.sqlite"):
        Project.create_or_open(photos, database=database)
    remembered(photos).write_text("{}")
    with pytest.raises(BadInput, match="ambiguous"):
        Project.open(photos)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE {}.project SET layout = 99", "from a newer release"),
        ("UPDATE {}.project SET identity = 'another'", "does not hold this project"),
        ("DROP TABLE {}.project", "does not hold this project"),
    ],
)
def test_tables_of_something_else_are_left_alone(
    project: Project, photos: Path, postgres: PostgresServer, change: str, said: str
) -> None:
    project.close()
    postgres.execute(change.format(schema_of(photos)))
    with pytest.raises(BadInput, match=said):
        Project.open(photos)
    assert postgres.execute(f"SELECT count(*) FROM {schema_of(photos)}.images") == "30\n"


# Tables and statements


def test_both_layouts_have_the_same_tables_and_columns(
    project: Project, photos: Path, tmp_path: Path
) -> None:
    assert FIRST_LAYOUT + len(SERVER_MIGRATIONS) - 1 == len(MIGRATIONS)
    others = tmp_path / "others"
    others.mkdir()
    with Project.create_or_open(others) as with_file:
        columns = set(
            project_rows(
                with_file,
                """SELECT m.name, c.name, c."notnull" OR c.pk > 0 FROM sqlite_master m, pragma_table_info(m.name) c
                WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%'""",
            )
        )
    on_server = project_rows(
        project,
        """SELECT table_name, column_name, CASE WHEN is_nullable = 'NO' THEN 1 ELSE 0 END
        FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> 'project'""",
    )
    assert columns == set(on_server)


def test_statements_are_translated_outside_of_quotes() -> None:
    assert in_postgres_notation("a ? b ?") == ("a $1 b $2", (0, 1))
    assert in_postgres_notation("a ?2 b ?1 c ?2") == ("a $1 b $2 c $1", (1, 0))
    assert in_postgres_notation("':x ?' :x = :y OR :x") == ("':x ?' $1 = $2 OR $1", ("x", "y"))


def test_what_postgres_cannot_store_is_refused(project: Project) -> None:
    with pytest.raises(BadInput, match="cannot be stored"):
        project.classes.add("nul\0inside", "Ann")
    long = "".join(chr(0x4E00 + number * 7 % 20000) for number in range(9000))
    with pytest.raises(BadInput, match="cannot be stored"):
        project.annotations.append(answer_event(1, 0, key=long))
    assert project.classes.add(long, long).name == long


def test_numbers_have_no_gaps_after_a_refused_transaction(project: Project) -> None:
    project.annotations.append(answer_event(1, 0))
    with pytest.raises(BadInput, match="no image 99"):
        project.annotations.append_many([answer_event(2, 0), answer_event(99, 0)])
    assert project.annotations.append(answer_event(2, 0)).seq == 2


def test_answers_cannot_be_emptied(project: Project) -> None:
    project.annotations.append(answer_event(1, 0))
    with (
        project_database(project) as opened,
        pytest.raises(BadInput, match="append-only"),
        opened.transaction() as connection,
    ):
        connection.execute("TRUNCATE answers CASCADE")
    assert label_map(project) == {1: 0}


# Lost connections


def cut(postgres: PostgresServer) -> None:
    """Cut all connections of projects."""
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'aral'")
    time.sleep(0.05)


def test_after_a_cut_connection_the_project_goes_on(project: Project, postgres: PostgresServer) -> None:
    project.annotations.append(answer_event(1, 0, key="first"))
    for number in range(2, 5):
        cut(postgres)
        assert project.annotations.append(answer_event(number, 1)).seq == number
        cut(postgres)
        assert len(label_map(project)) == number
        assert project.annotations.append(answer_event(1, 0, key="first")).repeated


def test_an_entry_that_was_cut_is_refused_visibly(project: Project, postgres: PostgresServer) -> None:
    with project_database(project) as opened:
        with pytest.raises(ConnectionLost, match="was lost; this entry may not be saved"):
            with opened.transaction() as connection:
                connection.execute("UPDATE classes SET guideline = 'half' WHERE id = 0")
                cut(postgres)
        assert opened.rows("SELECT guideline FROM classes WHERE id = 0") == [("",)]
        with opened.transaction() as connection:
            connection.execute("UPDATE classes SET guideline = 'whole' WHERE id = 0")
    assert project.classes.all()[0].guideline == "whole"


def test_a_writer_that_stands_still_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aral.annotation.postgres.PATIENCE_SECONDS", 1)
    with project_database(project) as waiting, project_database(project) as writing:
        with writing.transaction(), pytest.raises(RunFailed, match="held by another process for 1 seconds"):
            with waiting.transaction():
                pass
        with waiting.transaction():
            pass


def test_a_killed_server_has_lost_nothing_that_was_acknowledged(
    own_server: PostgresServer, photos: Path
) -> None:
    """A process answers while the server is killed three times; it repeats what was refused, under the same key."""
    save_pictures(photos, 30)
    with Project.create_or_open(photos, class_names=("cat", "dog"), database=own_server.address()) as project:
        project.images.sync()
    read_end, write_end = os.pipe()

    def work() -> None:
        with Project.open(photos) as writer:
            number = 0
            while True:
                try:
                    writer.annotations.append(answer_event(number % 30, number % 2, key=f"{number}"))
                except RunFailed:
                    time.sleep(0.02)
                    continue
                os.write(write_end, struct.pack("<q", number))
                number += 1

    child = forked(work)
    os.close(write_end)  # so that a process that has failed ends the waiting
    acknowledged = 0
    with os.fdopen(read_end, "rb") as pipe:
        try:
            for _ in range(3):
                for _ in range(20):
                    (acknowledged,) = struct.unpack("<q", pipe.read(8))
                own_server.kill()
                own_server.start()
            (acknowledged,) = struct.unpack("<q", pipe.read(8))
        finally:
            end(child)
    with Project.open(photos) as after:
        keys = [int(key) for (key,) in project_rows(after, "SELECT key FROM answers ORDER BY seq")]
        assert keys == list(range(len(keys))) and len(keys) > acknowledged >= 60
        assert_views_agree(after)


def test_a_server_that_is_down_is_named_until_it_is_back(own_server: PostgresServer, photos: Path) -> None:
    save_pictures(photos, 3)
    with Project.create_or_open(photos, class_names=("cat", "dog"), database=own_server.address()) as project:
        project.images.sync()
        own_server.stop()
        for _ in range(2):
            with pytest.raises(ConnectionLost, match=r"cannot be reached|was lost"):
                project.annotations.append(answer_event(1, 0, key="kept"))
            with pytest.raises(ConnectionLost):
                project.labels.counts()
        own_server.start()
        assert not project.annotations.append(answer_event(1, 0, key="kept")).repeated
        assert project.labels.counts().labelled == 1


# Several processes


def test_processes_never_give_an_image_to_two_annotators(project: Project, photos: Path) -> None:
    read_end, write_end = os.pipe()

    def work(name: str) -> None:
        with Project.open(photos) as opened:
            for _ in range(10):
                (card,) = opened.queue.next_cards(name, 1, tab=str(_))
                os.write(write_end, struct.pack("<q", card.image_id))
        time.sleep(20)

    children = [forked(lambda name=name: work(name)) for name in ("Ann", "Bob", "Cyd")]  # type: ignore[misc]
    os.close(write_end)  # so that a process that has failed ends the waiting
    with os.fdopen(read_end, "rb") as pipe:
        given = [struct.unpack("<q", pipe.read(8))[0] for _ in range(30)]
    for child in children:
        end(child)
    assert sorted(given) == list(range(30))


def test_one_worker_at_a_time_and_a_killed_one_is_replaced(project: Project, photos: Path) -> None:
    assert project.worker.current() is None
    assert "No training worker is running." in " ".join(status(project).sentences)
    read_end, write_end = os.pipe()

    def work() -> None:
        with Project.open(photos) as opened, opened.worker.hold(lambda: False):
            os.write(write_end, b".")
            time.sleep(60)

    child = forked(work)
    assert os.read(read_end, 1) == b"."
    worker = project.worker.current()
    assert worker is not None and worker.pid == child
    assert f"process {child} on" in " ".join(status(project).sentences)
    with pytest.raises(Stopped), project.worker.hold(lambda: True):
        pass
    end(child)
    os.close(read_end)
    os.close(write_end)
    with project.worker.hold(lambda: False) as is_held:
        now = project.worker.current()
        assert is_held() and now is not None and now.pid == os.getpid()
    assert project.worker.current() is None


def test_a_worker_notices_that_its_lock_is_lost(
    project: Project, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aral.annotation.worker_lock.CHECK_SECONDS", 0.0)
    with project.worker.hold(lambda: False) as is_held:
        assert is_held()
        cut(postgres)
        assert not is_held()
        with project.worker.hold(lambda: True) as held_by_another:  # as on another machine
            assert held_by_another() and not is_held()


def test_a_worker_of_another_machine_trains(
    photos: Path, tmp_path: Path, database: str, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other machine has the photos under another path; the server of the database fails once meanwhile."""
    save_digits(photos, 30)
    elsewhere = tmp_path / "mounted"
    elsewhere.symlink_to(photos)
    with Project.create_or_open(photos, class_names=("zero", "one", "two"), database=database) as project:
        project.images.sync()
        write_options(project.folder, TINY_TRAINING)
        answer_cards(project, 10)
        deadline = time.monotonic() + 120
        cuts = 0

        def stopping() -> bool:
            nonlocal cuts
            if not cuts:
                cuts += 1
                cut(postgres)
            return project.models.newest() is not None or time.monotonic() > deadline

        with Project.open(elsewhere / ".aral", database) as remote:
            train(remote, stopping)
        newest = project.models.newest()
        assert newest is not None and (project.folder / newest.folder).is_dir()
        assert project.models.training_state().phase == "off"
        assert project.predictions.get(1) is not None


# Moving


def dump(project: Project) -> dict[str, list[tuple[object, ...]]]:
    """All rows that a move copies."""
    with project_database(project) as opened:
        return {
            table: sorted(opened.rows(f"SELECT {', '.join(columns_of(table))} FROM {table}"), key=repr)
            for table in TABLES
            if table != "settings"
        }


def columns_of(table: str) -> list[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        migrate(connection, MIGRATIONS)
        return [column[0] for column in connection.execute(f"SELECT * FROM {table}").description]


def test_a_project_moves_to_a_server_and_back(photos: Path, database: str) -> None:
    save_pictures(photos, 12)
    (photos / "copy.png").write_bytes((photos / "000.png").read_bytes())
    (photos / "bad.png").write_bytes(b"no image")
    with Project.create_or_open(photos, class_names=("cat", "dog", "owl"), budget=9) as project:
        project.images.sync()
        for number in range(6):
            project.annotations.append(answer_event(number, number % 3))
        project.annotations.append(answer_event(2, "undo"))
        project.classes.merge(0, 2, "Ann")
        predict(project, {number: number / 12 for number in range(12)})
        project.models.set_generated_images(1, b"\xff\xd8 picture")
        project.queue.replace(0, np.arange(5), np.ones(5), ["why"] * 5, "margin", np.arange(7, 9))
        project.queue.next_cards("Bob", 3)
        imported = Provenance(None, "import", None)
        project.label_imports.record("x.csv", [ImportedLabel(8, "Zoe", "class", "fox", imported)])
        project.label_imports.undo()
        before, labels, settings = dump(project), label_map(project), project.settings.get()
        with (
            pytest.raises(BadInput, match="training worker of the project"),
            project.worker.hold(lambda: True),
        ):
            move_to_server(photos, database)
    done = move_to_server(photos, database)
    assert done.answers == 9 and Path(done.kept).is_file()
    with Project.create_or_open(photos) as project:
        assert project.server
        assert (dump(project), label_map(project), project.settings.get()) == (
            {**before, "counters": dump(project)["counters"]},
            labels,
            settings,
        )
        with pytest.raises(BadInput, match="already"):
            move_to_server(photos, database)
        assert project.annotations.append(answer_event(7, 1)).seq == 10
    assert move_to_file(photos).answers == 10
    with Project.create_or_open(photos) as project:
        assert not project.server and label_map(project) == {**labels, 7: 1}
        assert project.annotations.append(answer_event(8, 1)).seq == 11


def test_a_move_that_fails_leaves_the_project_where_it_is(photos: Path, database: str) -> None:
    save_pictures(photos, 1)
    with Project.create_or_open(photos, class_names=("nul\0inside",)) as project:
        project.images.sync()
    with pytest.raises(BadInput, match="cannot be stored"):
        move_to_server(photos, database)
    with pytest.raises(BadInput, match="already"):
        move_to_file(photos)
    with Project.open(photos) as project:
        assert not project.server and project.classes.all()[0].name == "nul\0inside"
