"""The trainer's process as whoever started it sees it: start, keep alive, stop."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from types import TracebackType

from aral.annotation import Project, TrainingState

LOG = "trainer.log"
STOP_SECONDS = 2.5
"""A trainer that takes longer is killed, which costs it some steps; all in all five seconds must do."""

LOOK_SECONDS = 0.5
MOST_STARTS = 3
LONG_ENOUGH = 300.0
"""A trainer that lived for so many seconds has not failed at once: the count of starts begins anew."""


class TrainerProcess:
    """Runs a project's trainer beside this process, and starts it again when it was killed.

    Args:
        project: which one; its own process opens it for itself.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._watcher = threading.Thread(target=self._watch, name="aral-trainer", daemon=True)

    def __enter__(self) -> TrainerProcess:
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process number; None while none runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def ask_to_stop(self) -> None:
        """Ask the trainer to save and end, without waiting for it."""
        self._ending.set()
        process = self._process
        if process is not None:
            process.terminate()

    def stop(self) -> None:
        """End the trainer; what it does not finish in a few seconds it does again next time."""
        self._ending.set()
        self._watcher.join()
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._project.models.set_training_state(TrainingState("off", message="Training is off."))

    def _watch(self) -> None:
        while not self._ending.is_set() and self._starts < MOST_STARTS:
            started = time.monotonic()
            self._process = self._start()
            self._starts += 1
            while self._process.poll() is None:
                if self._ending.wait(LOOK_SECONDS):
                    return
            if time.monotonic() - started > LONG_ENOUGH:
                self._starts = 0
        if not self._ending.is_set():
            message = (
                f"The trainer ended {MOST_STARTS} times. Its messages are in {self._project.folder / LOG}."
            )
            self._project.models.set_training_state(TrainingState("failed", message=message))

    def _start(self) -> subprocess.Popen[bytes]:
        path = self._project.folder / LOG
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        command = [sys.executable, "-m", "aral.annotation.worker", str(self._project.folder)]
        try:
            return subprocess.Popen(
                [*command, "--parent", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl+C is for the server, which asks the trainer to stop
            )
        finally:
            os.close(log)
