"""Read the store of a run while another process may hold it: from a copy, and nothing in the run is touched.

A copy, and not a read transaction, for three reasons: a slow report does not keep the holder from merging its
write-ahead log; a store of an older version is migrated in the copy, not in the run; and all methods of
:class:`aral.loop.Store` work on it, without a second set of queries.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from aral.errors import BadInput, RunFailed
from aral.loop.database import BUSY_MILLISECONDS
from aral.loop.run_store import FILE_NAME, Store

ATTEMPTS = 20
"""How often a store is copied that is being opened or closed at that moment."""

PAUSE_SECONDS = 0.05


@contextmanager
def store_reading(folder: Path) -> Iterator[Store]:
    """A copy of the store of a run folder as it is now, also while a process holds the folder.

    Args:
        folder: the run folder. No lock is taken and no file in it is made, changed or removed. What is written to
            the copy is lost.

    Raises:
        BadInput: there is no store of a run, or it is damaged, empty or of a newer layout.
        RunFailed: no copy succeeded within a second, for instance because the store is opened and closed all
            the time.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise BadInput(f"There is no run in {folder}: {FILE_NAME} is missing.", "Give the folder of a run.")
    with TemporaryDirectory(prefix="aral-reading-") as name:
        copy = Path(name)
        _copy_store(path, copy / FILE_NAME)
        try:
            store = Store.open(copy, create=False)
        except BadInput as error:
            raise BadInput(error.problem.replace(name, str(folder)), error.hint) from error
        with store:
            yield store


def _copy_store(path: Path, copy: Path) -> None:
    cause = "it is opened and closed all the time"
    for _ in range(ATTEMPTS):
        for file in (copy, _companion(copy, "-wal")):
            file.unlink(missing_ok=True)
        try:
            if _companion(path, "-shm").exists():
                _copy_held(path, copy)
                return
            if _copy_at_rest(path, copy):
                return
        except FileNotFoundError:
            pass  # the log was merged meanwhile
        except sqlite3.OperationalError as error:
            cause = str(error)
        except sqlite3.DatabaseError as error:
            raise BadInput(f"{path} is damaged or no store of a run: {error}.", "Check the path.") from error
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error}.", "Check its permissions.") from error
        time.sleep(PAUSE_SECONDS)
    raise RunFailed(
        f"{path} cannot be read: {cause}.", "Check its permissions, then run the same command again."
    )


def _copy_held(path: Path, copy: Path) -> None:
    """Copy a store that a process has open, or had open when it was killed.

    ``readonly_shm`` keeps SQLite from repairing the index of the write-ahead log of a killed process on the
    disk; it then makes one in memory.
    """
    address = f"{path.absolute().as_uri()}?mode=ro&readonly_shm=1"
    with (
        closing(sqlite3.connect(address, uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target)


def _copy_at_rest(path: Path, copy: Path) -> bool:
    """Copy the files of a store that no process has open; False if that changed meanwhile.

    SQLite itself would leave an empty write-ahead log behind. The files may be opened here only because this
    process does not have the store open: closing a file gives up all locks that its process has on it.
    """
    before = _state(path)
    shutil.copyfile(path, copy)
    log = _companion(path, "-wal")
    if log.exists():
        shutil.copyfile(log, _companion(copy, "-wal"))
    return _state(path) == before


def _state(path: Path) -> list[tuple[int, int, int] | None]:
    """Inode, size and time of change of the file, its log and the log's index; None where it is missing."""
    states: list[tuple[int, int, int] | None] = []
    for file in (path, _companion(path, "-wal"), _companion(path, "-shm")):
        try:
            status = file.stat()
        except FileNotFoundError:
            states.append(None)
        else:
            states.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return states


def _companion(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
