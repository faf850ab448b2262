"""One process at a time: an advisory lock on a folder that ends with the process that holds it.

On a file system that several machines share, the lock is only as good as the file system's ``flock``: it must
exclude processes of other machines, and be released some time after the holder's machine is gone (NFS 4: after its
lease, 90 seconds by default). No lock is ever broken here: a machine that only seems to be gone would still write.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from aral.errors import BadInput, Stopped

PATIENCE_SECONDS = 0.3
"""How long to wait for a holder that is about to end."""


class FolderLock:
    """An exclusive lock on a file in a folder; the file contains the holder's process id and the name of its machine.

    The kernel releases the lock when the holder ends in any way, SIGKILL included; a file left behind means
    nothing. A second lock is refused even within one process. Forked children close their copy at once, so a
    loader process that outlives a killed trainer does not keep the folder locked.

    Args:
        folder: the folder.
        name: the file in it; locks of different names are independent.
        noun: what is locked, for messages.
        seconds: how long to wait for another holder.
        stopping: asked while waiting; true gives up.

    Raises:
        BadInput: the folder was in use all the time, or the lock file cannot be written.
        Stopped: ``stopping`` returned true.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "lock",
        noun: str = "Run folder",
        *,
        seconds: float = PATIENCE_SECONDS,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._descriptor = -1
        path = folder / name
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unlockable(noun, folder, error) from error
        try:
            _acquire(descriptor, f"{noun} {folder}", seconds, stopping)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} on {socket.gethostname()}".encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise _unlockable(noun, folder, error) from error
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        _held.add(self)

    def release(self) -> None:
        """Release the folder; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_held(folder: Path, name: str = "lock") -> bool:
    """Whether a process holds the lock of this name in a folder now; False if the file is missing or unreadable."""
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(
            descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB
        )  # shared: two that ask at once do not see each other
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _unlockable(noun: str, folder: Path, error: OSError) -> BadInput:
    return BadInput(f"{noun} {folder} cannot be locked: {error}.", "Check its permissions and free space.")


def _acquire(descriptor: int, locked: str, seconds: float, stopping: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if stopping():
                raise Stopped(f"{locked} is still in use.", "Run the same command again.") from error
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 300, 0).decode(errors="replace") or "unknown"
                raise BadInput(
                    f"{locked} is in use by process {holder}.",
                    "Wait until it ends, stop it, or give another folder.",
                ) from error
            time.sleep(0.02)


_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _release_all() -> None:
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_release_all)
