"""Jobs on worker processes of this machine that survive kills: a fork server and its workers.

The engine (:class:`LocalEngine`) starts a fork server (:class:`ForkServer`): a process that imports everything once and
forks one worker for each job. They speak one JSON object a line: requests ``{"job": name, "log": file, ...}`` go to the
server's standard input; the reports of the workers, and how each ended, come from its standard output.

No process outlives the one it works for by more than one training step:

- The fork server's standard input ends when the coordinator closes it or dies, SIGKILL included. The server then
  asks its workers to stop; they save and exit, and so does the server.
- Workers hold the reading end of a pipe that only the fork server can write to. It breaks when the server dies, and
  they save and exit after the step they are in.
- Until then the lock of the run folder keeps every other process out, so no job ever runs twice at once.

Why not :mod:`multiprocessing`: its workers import the caller's ``__main__`` again, which calls for a guard in
every script, and they inherit the caller's environment, where the number of OpenMP threads must be set before
PyTorch is loaded. Nothing is pickled here.
"""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NoReturn

from aral.benchmarking.jobs import CRASHED, Job, Work
from aral.errors import AralError

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Ask a fork server or a worker to stop. SLURM sends one of the last two to all processes of a job before its end."""

SERVER_COMMAND = "from aral.benchmarking.workers import main; main()"
LONGEST_TEXT = 1000
"""Of a message, in characters: a line stays below 4096 bytes and thus arrives in one piece (PIPE_BUF)."""


# The coordinator's side


class LocalEngine:
    """Runs jobs on workers of a fork server.

    Args:
        work: what a worker does, as ``module:function``; see :data:`aral.benchmarking.jobs.Work`.
        threads: OpenMP threads of each worker.
        folder: where the workers run; None: where this process does.
        errors: file for what the fork server itself prints; None: as for this process.
    """

    def __init__(
        self, work: str, threads: int, folder: Path | None = None, errors: BinaryIO | None = None
    ) -> None:
        # A session of its own: Ctrl+C reaches only this process, which asks the workers to stop.
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER_COMMAND, work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._reports = self._process.stdin, self._process.stdout
        self._messages = _Messages(self._reports.fileno())

    @property
    def ended(self) -> bool:
        """Whether no more messages can follow."""
        return self._messages.ended

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._reports.close()
        self._process.wait()

    def start(self, job: Job) -> None:
        """Start a worker; a fork server that has just died is noticed by :meth:`messages`."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps({"job": job.name, **job.request}).encode() + b"\n")
            self._requests.flush()

    def stop(self) -> None:
        """Ask all workers to save and exit."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()

    def messages(self, seconds: float) -> list[dict[str, Any]]:
        """Messages that arrive within so many seconds."""
        return self._messages.read(seconds)


class _Messages:
    """Messages from a pipe, one JSON object a line.

    Attributes:
        ended: the writing end is closed: no more messages can follow.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._unread = b""
        self.ended = False

    def read(self, seconds: float) -> list[dict[str, Any]]:
        """Messages that arrive within so many seconds."""
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return []
        read = os.read(self._descriptor, 1 << 16)
        self.ended = not read
        *lines, self._unread = (self._unread + read).split(b"\n")
        return [json.loads(line) for line in lines]


# The fork server and its workers


class ForkServer:
    """Forks a worker for each request.

    Args:
        work: what each worker does.
        requests: descriptor to read requests from.
        reports: descriptor to write reports to.
    """

    POLL_SECONDS = 0.05

    def __init__(self, work: Work, requests: int, reports: int) -> None:
        self._work = work
        self._requests = requests
        self._reports = reports
        self._workers: dict[int, str] = {}
        self._signals = note_signals()
        # Nothing is ever written: the reading end becomes readable when this process dies.
        self._death_notice, self._held_open = os.pipe()

    def serve(self) -> None:
        """Start workers until the requests end, then ask the remaining ones to stop, and wait for them.

        A signal is passed on: the workers that run now save and end.
        """
        requests = _Messages(self._requests)
        while not requests.ended:
            for request in requests.read(self.POLL_SECONDS):
                self._fork(request)
            if self._signals:
                self._signals.clear()
                self._ask_to_stop()
            self._reap()
        self._ask_to_stop()
        while self._workers:
            time.sleep(self.POLL_SECONDS)
            self._reap()

    def _ask_to_stop(self) -> None:
        for worker in self._workers:
            os.kill(worker, signal.SIGTERM)

    def _fork(self, request: Mapping[str, Any]) -> None:
        worker = os.fork()
        if worker == 0:
            self._become_worker(request)
        self._workers[worker] = request["job"]
        send(self._reports, {"job": request["job"], "process": worker})

    def _reap(self) -> None:
        while self._workers:
            worker, status = os.waitpid(-1, os.WNOHANG)
            if worker == 0:
                return
            job = self._workers.pop(worker)
            send(self._reports, {"job": job, "exit": os.waitstatus_to_exitcode(status)})

    def _become_worker(self, request: Mapping[str, Any]) -> NoReturn:
        code = CRASHED
        try:
            received = note_signals()
            os.close(self._held_open)
            os.close(self._requests)
            log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)

            def stopping() -> bool:
                return bool(received) or bool(select.select([self._death_notice], [], [], 0)[0])

            code = self._run(request, stopping)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # the exit handlers belong to the fork server

    def _run(self, request: Mapping[str, Any], stopping: Callable[[], bool]) -> int:
        job = request["job"]
        try:
            self._work(request, lambda message: send(self._reports, {"job": job, **message}), stopping)
        except AralError as error:
            texts = {"problem": error.problem[:LONGEST_TEXT], "hint": error.hint[:LONGEST_TEXT]}
            send(self._reports, {"job": job, "failed": error.exit_code, **texts})
            return error.exit_code
        return 0


def note_signals() -> list[int]:
    """Handle the signals that ask this process to stop; those received are appended to the list."""
    received: list[int] = []
    for number in STOP_SIGNALS:
        signal.signal(number, lambda number, frame: received.append(number))
    return received


def send(descriptor: int, message: Mapping[str, Any]) -> None:
    """Write a message as one line; the coordinator may be gone."""
    with contextlib.suppress(BrokenPipeError):
        os.write(descriptor, json.dumps(message).encode() + b"\n")


def main() -> None:
    """Serve on the standard streams; prints go to the standard error instead."""
    # Some numerical libraries keep idle threads, and support being forked.
    warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
    reports = os.dup(1)
    os.dup2(2, 1)
    work: Work = pkgutil.resolve_name(sys.argv[1])
    ForkServer(work, 0, reports).serve()
    os._exit(0)  # unloading PyTorch in order would take seconds
