"""The training worker: a process that trains a project beside the page, and the object that starts and supervises it.

The server starts it with :class:`TrainerProcess` and starts it again when it was killed. The process itself is
``python -m aral.annotation.training_worker FOLDER --parent PID``. It runs at low priority, so that the
server has priority, and ends on SIGTERM or when the process that started it has ended. ``aral train-worker`` is the
same without a server beside it, for another machine. Which of several workers trains, ``worker_lock.py`` decides.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType

from aral.annotation import Project, TrainingState
from aral.annotation.postgres import ConnectionLost
from aral.annotation.training_options import read_options
from aral.errors import AralError, RunFailed, Stopped

LOG = "trainer.log"
"""The worker's output, in the project's folder."""

STOP_SECONDS = 2.5
"""A worker that takes longer to stop is killed, which costs some steps; the server must end within 5 seconds."""

POLL_SECONDS = 0.5
MOST_STARTS = 3
LONG_ENOUGH = 300.0
"""Seconds of work after which the count of starts is reset: the worker did not fail at once."""

NICENESS = 10
RECONNECT_SECONDS = 2.0
"""How long to wait before a lost server is tried again."""


class TrainerProcess:
    """Runs a project's training worker beside this process, and starts it again when it was killed.

    Args:
        project: which one; the worker opens it for itself.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._supervisor = threading.Thread(target=self._supervise, name="aral-trainer", daemon=True)

    def __enter__(self) -> TrainerProcess:
        self._supervisor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id; None while no worker runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def ask_to_stop(self) -> None:
        """Ask the worker to save and end, without waiting for it."""
        self._ending.set()
        process = self._process
        if process is not None:
            process.terminate()

    def stop(self) -> None:
        """End the worker; a task that it does not finish within seconds is done again at the next start."""
        self._ending.set()
        self._supervisor.join()
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(RunFailed):  # the disk may be full; the next start sets it again
            other = self._project.worker.current()
            if other is None or (other.host, other.pid) == (socket.gethostname(), process.pid):
                self._project.models.set_training_state(TrainingState("off", message="Training is off."))

    def _supervise(self) -> None:
        while not self._ending.is_set() and self._starts < MOST_STARTS:
            started = time.monotonic()
            try:
                self._process = self._start()
            except OSError as error:
                self._report_failure(f"The training worker cannot start: {error}.")
                return
            self._starts += 1
            while self._process.poll() is None:
                if self._ending.wait(POLL_SECONDS):
                    return
            if time.monotonic() - started > LONG_ENOUGH:
                self._starts = 0
        if not self._ending.is_set():
            self._report_failure(
                f"The training worker ended {MOST_STARTS} times. Its log: {self._project.folder / LOG}."
            )

    def _report_failure(self, message: str) -> None:
        with suppress(RunFailed):  # the disk may be full
            self._project.models.set_training_state(TrainingState("failed", message=message))

    def _start(self) -> subprocess.Popen[bytes]:
        path = self._project.folder / LOG
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        command = [sys.executable, "-m", "aral.annotation.training_worker", str(self._project.folder)]
        try:
            return subprocess.Popen(
                [*command, "--parent", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl+C is for the server, which then asks the worker to stop
            )
        finally:
            os.close(log)


def train(project: Project, stopping: Callable[[], bool]) -> None:
    """Train a project until asked to stop, as soon and as long as this process is its training worker.

    While a server with the database cannot be reached, it is tried again. A worker that has lost the server's lock
    stops at its next step and waits for the lock, because another worker may have it by then.

    Raises:
        BadInput: another worker holds the lock of a project with an SQLite file.
    """
    from aral.annotation.trainer import Trainer  # loads PyTorch, which a server does not need

    while not stopping():
        try:
            with project.worker.hold(stopping) as is_held:
                Trainer(project, read_options(project.folder), _either(stopping, is_held)).run()
        except Stopped:
            return
        except ConnectionLost as error:
            print(f"{error.problem} Trying again.", file=sys.stderr, flush=True)
            until = time.monotonic() + RECONNECT_SECONDS
            while not stopping() and time.monotonic() < until:
                time.sleep(POLL_SECONDS)


def _either(stopping: Callable[[], bool], is_held: Callable[[], bool]) -> Callable[[], bool]:
    """Whether to stop: asked to, or the lock is lost."""
    return lambda: stopping() or not is_held()


def main(arguments: Sequence[str] | None = None) -> int:
    """Train until asked to stop; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m aral.annotation.training_worker", description="Trains a project."
    )
    parser.add_argument("folder", type=Path, help="the project")
    parser.add_argument("--parent", type=int, help="end when this process is gone")
    given = parser.parse_args(arguments)
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, receive)

    def stopping() -> bool:
        # A child whose parent has died gets another parent.
        return bool(received) or (given.parent is not None and os.getppid() != given.parent)

    os.nice(NICENESS)
    try:
        with Project.open(given.folder) as project:
            train(project, stopping)
    except AralError as error:
        print(f"{error.problem} {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
