"""Two backups of a project's database, and how one of them is put back.

``project.sqlite.backup-1`` is the newest, ``project.sqlite.backup-2`` the state before the labelling session of the
first. They hold classes, answers, queue and figures; images and classifiers are files of their own.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aral.annotation.database import FILE_NAME
from aral.annotation.layout import APPLICATION_ID
from aral.durable import write_file
from aral.errors import BadInput, RunFailed
from aral.lock import FolderLock
from aral.loop.database import companions

SERVER_LOCK = "server.lock"
"""In the project's folder; held while its page is served."""

NEWEST, OLDER = f"{FILE_NAME}.backup-1", f"{FILE_NAME}.backup-2"
_PARTIAL = f".{FILE_NAME}.backup.partial"


@dataclass(frozen=True)
class Restored:
    """A backup that was put back.

    Attributes:
        backup: the file.
        saved_at: when it was made, local time.
        answers: how many answers it holds.
        kept: where the files are that it replaces; none if there were none.
    """

    backup: Path
    saved_at: str
    answers: int
    kept: tuple[Path, ...]


def back_up(folder: Path, keep_older: bool) -> bool:
    """Back up the database of a project; False if nothing has changed since the newest backup.

    Args:
        folder: of the project.
        keep_older: replace the newest backup only. Otherwise it becomes the older one.

    Raises:
        RunFailed: the backup cannot be written, or the database is damaged; earlier backups are kept.
    """
    path, newest, older = folder / FILE_NAME, folder / NEWEST, folder / OLDER
    partial = folder / _PARTIAL
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source:
            if _changes(source) == _changes_in(newest):
                return False
            partial.unlink(missing_ok=True)
            os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(partial)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")  # one file that needs no others
        if _answers_in(partial) is None:
            raise sqlite3.DatabaseError("the copy is not intact")
        if newest.exists() and not (keep_older and older.exists()):
            newest.replace(older)
        partial.replace(newest)
    except (OSError, sqlite3.DatabaseError) as error:
        raise RunFailed(
            f"No backup of {path} was made: {error}.", "Free some space, or check the disk."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return True


def restore_backup(folder: Path) -> Restored:
    """Put back the newest intact backup; the present database is kept under another name.

    Args:
        folder: the folder of photos, or that of the project.

    Raises:
        BadInput: there is no intact backup, or the page of the project is open.
    """
    found = next((each for each in (folder, folder / ".aral") if any(_backups(each))), None)
    if found is None:
        raise BadInput(f"There is no backup in {folder}.", "Backups are made while the page is open.")
    found = found.resolve()
    lock = FolderLock(found, SERVER_LOCK, "The page of")
    try:
        for backup in _backups(found):
            answers = _answers_in(backup)
            if answers is not None:
                saved = datetime.fromtimestamp(backup.stat().st_mtime)
                kept = _put_back(backup, found / FILE_NAME)
                return Restored(backup, saved.isoformat(" ", "minutes"), answers, kept)
    except OSError as error:
        raise RunFailed(f"The backup in {found} was not put back: {error}.", "Free some space.") from error
    finally:
        lock.release()
    raise BadInput(f"The backups in {found} are damaged.", "Put back a copy of the folder.")


def _put_back(backup: Path, path: Path) -> tuple[Path, ...]:
    """Replace a database by a backup; its log must not stay, because it would be applied to the backup."""
    content = backup.read_bytes()
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    kept = []
    for file in (*companions(path), path):
        if file.exists():
            kept.append(file.replace(file.with_name(f"{file.name}.replaced-{stamp}")))
    write_file(path, content, private=True)
    return tuple(kept)


def _backups(folder: Path) -> Iterator[Path]:
    """The backups there are, the newest first."""
    return (each for each in (folder / NEWEST, folder / OLDER) if each.is_file())


def _changes(connection: sqlite3.Connection) -> int:
    (value,) = connection.execute("SELECT value FROM counters WHERE name = 'changes'").fetchone()
    return int(value)


def _changes_in(backup: Path) -> int | None:
    """The counter of changes in a backup; None if it cannot be read."""
    if not backup.is_file():
        return None
    try:
        with closing(_opened(backup)) as connection:
            return _changes(connection)
    except (sqlite3.DatabaseError, TypeError):
        return None


def _answers_in(backup: Path) -> int | None:
    """How many answers a backup holds; None if it is not the intact database of a project."""
    try:
        with closing(_opened(backup)) as connection:
            (identity,) = connection.execute("PRAGMA application_id").fetchone()
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if identity != APPLICATION_ID or verdict != "ok":
                return None
            (answers,) = connection.execute("SELECT count(*) FROM answers").fetchone()
            return int(answers)
    except sqlite3.DatabaseError:
        return None


def _opened(backup: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
