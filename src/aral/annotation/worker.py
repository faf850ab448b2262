"""The trainer as a process of its own: ``python -m aral.annotation.worker FOLDER --parent PID``.

It is niced, so that the page always goes first, and ends when it is asked to or when the process that started
it is gone.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from aral.annotation import Project
from aral.annotation.options import read_options
from aral.annotation.trainer import Trainer
from aral.errors import AralError, BadInput
from aral.loop.lock import FolderLock

NICENESS = 10
LOCK = "trainer.lock"
PATIENCE_SECONDS = 20.0
"""For the trainer of a server that was killed a moment ago."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train until asked to stop; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m aral.annotation.worker", description="Trains a project.")
    parser.add_argument("folder", type=Path, help="the project")
    parser.add_argument("--parent", type=int, help="end when this process is gone")
    given = parser.parse_args(arguments)
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, note)

    def stopping() -> bool:
        # A child whose parent has died is handed to another one.
        return bool(asked) or (given.parent is not None and os.getppid() != given.parent)

    os.nice(NICENESS)
    try:
        with Project.open(given.folder) as project:
            lock = _lock(project.folder, stopping)
            try:
                Trainer(project, read_options(project.folder), stopping).run()
            finally:
                lock.release()
    except AralError as error:
        print(f"{error.problem} {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


def _lock(folder: Path, stopping: Callable[[], bool]) -> FolderLock:
    """One trainer a project; another that is just ending is waited for."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return FolderLock(folder, LOCK, "The trainer of")
        except BadInput:
            if stopping() or time.monotonic() > deadline:
                raise


if __name__ == "__main__":
    sys.exit(main())
