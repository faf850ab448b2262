"""Jobs on local worker processes that survive kills: the coordinator, a fork server, and the workers.

The coordinator (:func:`execute`) starts a fork server (:class:`ForkServer`): a process that imports everything
once and forks one worker for each job. They speak one JSON object a line: requests ``{"job": name, "log": file,
...}`` go to the server's standard input; the reports of the workers, and how each ended, come from its standard
output.

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
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeAlias

from aral.errors import AralError

RETRIES = 3
"""How often a job is started again after its worker died."""

STOPPED = 130
"""Exit code of a worker that was asked to stop and has saved."""

CRASHED = 70
"""Exit code of a worker that ended with an unexpected exception."""

SERVER_COMMAND = "from aral.benchmarking.workers import main; main()"
LONGEST_TEXT = 1000
"""Of a message, in characters: a line stays below 4096 bytes and thus arrives in one piece (PIPE_BUF)."""

Report: TypeAlias = Callable[[Mapping[str, Any]], None]
"""Sends one message to the coordinator."""

Work: TypeAlias = Callable[[Mapping[str, Any], Report, Callable[[], bool]], None]
"""What a worker does: takes the request, a way to report, and whether it is asked to stop."""


# Jobs


class State(StrEnum):
    """State of a job."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        round: the current round, from 0; −1 during pretraining.
        step: steps done in this round.
        stage: what it does in this round.
        accuracy: of the last evaluated round, on the test set, in [0, 1]; None before.
    """

    round: int = 0
    step: int = 0
    stage: str = ""
    accuracy: float | None = None


@dataclass(frozen=True)
class Failure:
    """Why a job failed, and the exit code for it; empty and 0 for a job that has not failed."""

    problem: str = ""
    code: int = 0


@dataclass
class Job:
    """A job and its progress; a grid has one job per unit.

    Attributes:
        name: of the unit.
        request: the request to its worker.
        rounds: number of rounds.
        steps: training steps of each round.
        state: see :class:`State`.
        progress: as its worker last reported.
        deaths: how often its worker died.
        process: the worker's process id while it runs.
        failure: why it failed.
    """

    name: str
    request: Mapping[str, Any]
    rounds: int = 1
    steps: int = 1
    state: State = State.WAITING
    progress: Progress = Progress()
    deaths: int = 0
    process: int | None = None
    failure: Failure = Failure()

    @property
    def steps_done(self) -> int:
        """Training steps done so far in all rounds, without pretraining."""
        total, done = self.rounds * self.steps, self.progress
        if done.round < 0:
            return 0
        return total if self.state is State.DONE else min(total, done.round * self.steps + done.step)


class GridObserver:
    """Receives every change of a job; the methods here do nothing. Override those that are to show something."""

    def reading(self, done: int, total: int) -> None:
        """Images whose features are there, and all that are being read, before the jobs are planned."""

    def planned(self, jobs: list[Job]) -> None:
        """All jobs of a grid, finished ones too, before the first starts; they change in place."""

    def changed(self, job: Job, news: str) -> None:
        """What is new: ``started``, ``stage``, ``step``, ``evaluated``, ``ended``, or a warning as text."""


def log_path(folder: Path, name: str) -> Path:
    """The file that gets what the worker of a unit prints."""
    return folder / "logs" / f"{name}.log"


# The coordinator


def execute(
    jobs: Sequence[Job],
    workers: int,
    threads: int,
    work: str,
    observer: GridObserver | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Run jobs on worker processes; the jobs change in place.

    A job whose worker dies is started again, at most :data:`RETRIES` times, and resumes from its last
    checkpoint. A job that fails with a reason is not: the reason is kept, and the others go on.

    Args:
        jobs: in the order of starting.
        workers: jobs at once, at least 1.
        threads: OpenMP threads of each worker.
        work: what a worker does, as ``module:function``; see :data:`Work`.
        observer: is told of progress.
        stopping: asked a few times a second; true lets workers save and exit, and starts no more.
    """
    coordinator = _Coordinator(jobs, observer or GridObserver())
    while coordinator.waiting:  # again if the fork server died
        with _Workers(work, threads) as connection:
            coordinator.run(connection, workers, stopping)


class _Workers:
    """The coordinator's connection to a fork server and its workers. Use it in a ``with`` block."""

    def __init__(self, work: str, threads: int) -> None:
        # A session of its own: Ctrl+C reaches only this process, which asks the workers to stop.
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER_COMMAND, work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
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

    def __enter__(self) -> _Workers:
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


class _Coordinator:
    """Starts jobs as workers become free, and keeps their states."""

    def __init__(self, jobs: Sequence[Job], observer: GridObserver) -> None:
        self._jobs = {job.name: job for job in jobs}
        self.waiting = deque(jobs)
        self._running: set[str] = set()
        self._observer = observer
        self._stopping = False

    def run(self, connection: _Workers, workers: int, stopping: Callable[[], bool]) -> None:
        """Until all jobs have ended, or the fork server has died."""
        self._stopping = False
        while not connection.ended and (self.waiting or self._running):
            if not self._stopping and stopping():
                self._stopping = True
                connection.stop()
                self._drop_waiting()
            while self.waiting and len(self._running) < workers:
                job = self.waiting.popleft()
                job.state = State.RUNNING
                self._running.add(job.name)
                connection.start(job)
            for message in connection.messages(0.2):
                self._receive(self._jobs[message["job"]], message)
        for name in sorted(self._running):
            self._died(self._jobs[name], "the fork server died")
        self._running.clear()

    def _drop_waiting(self) -> None:
        for job in self.waiting:
            job.state = State.STOPPED
        self.waiting.clear()

    def _receive(self, job: Job, message: Mapping[str, Any]) -> None:
        match message:
            case {"exit": code}:
                self._end(job, code)
            case {"process": process}:
                job.process = process
                self._observer.changed(job, "started")
            case {"failed": code, "problem": problem, "hint": hint}:
                job.failure = Failure(f"{problem}\n{hint}".strip(), code)
            case {"round": round_number, "accuracy": accuracy}:
                job.progress = replace(job.progress, round=round_number, accuracy=accuracy)
                self._observer.changed(job, "evaluated")
            case {"round": round_number, "stage": stage}:
                job.progress = replace(job.progress, round=round_number, stage=stage)
                self._observer.changed(job, "stage")
            case {"round": round_number, "step": step}:
                job.progress = replace(job.progress, round=round_number, step=step)
                self._observer.changed(job, "step")
            case {"event": event}:
                self._observer.changed(job, event)

    def _end(self, job: Job, code: int) -> None:
        self._running.discard(job.name)
        job.process = None
        if code == 0:
            job.state = State.DONE
        elif job.failure.problem and code == STOPPED:
            job.state, job.failure = State.STOPPED, Failure()
        elif job.failure.problem and code > 0:
            job.state = State.FAILED
        else:
            how = f"killed by signal {-code}" if code < 0 else f"an unexpected error, exit code {code}"
            self._died(job, how)
            return
        self._observer.changed(job, "ended")

    def _died(self, job: Job, how: str) -> None:
        job.deaths += 1
        job.process = None
        if self._stopping:
            job.state = State.STOPPED
        elif job.deaths <= RETRIES:
            job.state, job.failure = State.WAITING, Failure()
            self.waiting.append(job)
            self._observer.changed(job, f"worker died ({how}); resuming from the last checkpoint")
            return
        else:
            problem = f"Its worker died {job.deaths} times, the last time: {how}. See {job.request['log']}"
            job.state, job.failure = State.FAILED, Failure(problem, 1)
        self._observer.changed(job, "ended")


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
        # Nothing is ever written: the reading end becomes readable when this process dies.
        self._death_notice, self._held_open = os.pipe()

    def serve(self) -> None:
        """Start workers until the requests end, then ask the remaining ones to stop, and wait for them."""
        requests = _Messages(self._requests)
        while not requests.ended:
            for request in requests.read(self.POLL_SECONDS):
                self._fork(request)
            self._reap()
        for worker in self._workers:
            os.kill(worker, signal.SIGTERM)
        while self._workers:
            time.sleep(self.POLL_SECONDS)
            self._reap()

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
            received: list[int] = []
            signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
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
