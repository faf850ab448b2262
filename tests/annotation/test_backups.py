"""A database that is lost beside a project, its two backups, and how one is put back."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from aral.annotation import Project
from aral.annotation.backups import NEWEST, OLDER, back_up, restore_backup
from aral.errors import AralError, BadInput, RunFailed
from aral.testing import answer_event


def only_header(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def other_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE x (y)")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "missing": Path.unlink,
    "few bytes": lambda path: path.write_bytes(b"SQLite"),
    "text": lambda path: path.write_text("no database " * 400),
    "zeros": lambda path: path.write_bytes(b"\0" * 8192),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "header": only_header,
    "other": other_database,
}


@pytest.fixture
def closed(project: Project) -> Path:
    """The folder of a project with two answers, a backup, and nobody who has it open."""
    project.annotations.append_many([answer_event(0, 0), answer_event(1, 1)])
    assert back_up(project.folder, keep_older=False)
    project.close()
    return project.folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_lost_database_is_refused_and_put_back(closed: Path, photos: Path, damage: str) -> None:
    path = closed / "project.sqlite"
    DAMAGES[damage](path)
    before = path.read_bytes() if path.exists() else None
    for start in (lambda: Project.create_or_open(photos, class_names=("new",)), lambda: Project.open(photos)):
        with pytest.raises(BadInput) as refused:
            start()
        assert f"aral doctor {closed} --restore" in refused.value.hint
        assert (path.read_bytes() if path.exists() else None) == before
    done = restore_backup(photos)
    assert (done.answers, bool(done.kept)) == (2, damage != "missing")
    with Project.open(photos) as again:
        assert again.labels.counts().labelled == 2
    if before is not None:
        assert before in [each.read_bytes() for each in done.kept]


def test_without_a_backup_a_lost_database_is_refused_too(closed: Path, photos: Path) -> None:
    (closed / NEWEST).unlink()
    (closed / "project.sqlite").write_bytes(b"")
    with pytest.raises(BadInput, match="is empty, but"):
        Project.create_or_open(photos, class_names=("new",))
    with pytest.raises(BadInput, match="no backup"):
        restore_backup(photos)


def test_a_project_that_never_began_is_begun(tmp_path: Path, photos: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "project.sqlite").touch()
    with Project.create_or_open(photos, folder, ("a", "b")) as project:
        assert len(project.classes.all()) == 2


def answers_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])


def test_two_backups_the_older_from_before_the_session(project: Project) -> None:
    newest, older = project.folder / NEWEST, project.folder / OLDER
    assert back_up(project.folder, keep_older=False) and not back_up(project.folder, keep_older=False)
    for image in range(3):
        project.annotations.append(answer_event(image, 0))
        assert back_up(project.folder, keep_older=image > 0)
    assert (answers_in(newest), answers_in(older)) == (3, 0)
    assert newest.stat().st_mode & 0o077 == 0
    assert not list(project.folder.glob("*partial*")) and not list(project.folder.glob(f"{NEWEST}-*"))


def test_a_damaged_backup_is_passed_over(closed: Path, photos: Path) -> None:
    (closed / OLDER).write_bytes((closed / NEWEST).read_bytes())
    (closed / NEWEST).write_bytes((closed / OLDER).read_bytes()[:9000])
    assert restore_backup(photos).backup.name == OLDER
    for name in (NEWEST, OLDER):
        (closed / name).write_bytes(b"x" * 5000)
    with pytest.raises(BadInput, match="damaged"):
        restore_backup(photos)


def test_a_log_left_behind_is_not_applied_to_the_backup(closed: Path, photos: Path) -> None:
    (closed / "project.sqlite-wal").write_bytes(b"\x37\x7f\x06\x82" + b"\0" * 5000)
    assert len(restore_backup(photos).kept) == 2
    assert not (closed / "project.sqlite-wal").exists()


def test_a_full_disk_keeps_the_earlier_backup(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    back_up(project.folder, keep_older=False)
    before = (project.folder / NEWEST).read_bytes()
    project.annotations.append(answer_event(0, 0))

    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(RunFailed, match="No backup"):
        back_up(project.folder, keep_older=True)
    assert (project.folder / NEWEST).read_bytes() == before


def test_nothing_is_put_back_while_the_page_is_open(project: Project, photos: Path) -> None:
    from aral.annotation.backups import SERVER_LOCK
    from aral.lock import FolderLock

    back_up(project.folder, keep_older=False)
    lock = FolderLock(project.folder, SERVER_LOCK)
    with pytest.raises(AralError, match="in use"):
        restore_backup(photos)
    lock.release()
