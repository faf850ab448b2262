"""Runs units on local processes: as many at once as fit, each again if its worker dies, all stoppable."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any

from aral.benchmarking.nursery import COMMAND
from aral.benchmarking.unit import WORK

RETRIES = 3
"""How often a unit whose worker died is started again."""

STOPPED = 130


class State(StrEnum):
    """Where a unit is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass
class Job:
    """A unit on its way.

    Attributes:
        name: of the unit.
        request: what its worker is told.
        rounds: how many it has.
        steps: training steps of each round.
        state: where it is.
        round: the round it is in, from 0; −1 in the training before labels.
        step: steps done in this round.
        stage: what it does there.
        accuracy: of the last evaluated round, on the test set, in [0, 1]; None before.
        deaths: how often its worker died.
        process: the worker's number while it runs.
        problem: why it failed; empty otherwise.
        code: the exit code that belongs to the problem.
    """

    name: str
    request: Mapping[str, Any]
    rounds: int = 1
    steps: int = 1
    state: State = State.WAITING
    round: int = 0
    step: int = 0
    stage: str = ""
    accuracy: float | None = None
    deaths: int = 0
    process: int | None = None
    problem: str = ""
    code: int = 0

    @property
    def steps_done(self) -> int:
        """Training steps done so far in all rounds; those before labels do not count."""
        total = self.rounds * self.steps
        if self.round < 0:
            return 0
        return total if self.state is State.DONE else min(total, self.round * self.steps + self.step)


class Watcher:
    """Hears of every change of a job; this one says nothing. Override what you want to show."""

    def planned(self, jobs: list[Job]) -> None:
        """All jobs of a grid, finished ones too, before the first starts; they change in place."""

    def changed(self, job: Job, news: str) -> None:
        """What is new: ``started``, ``stage``, ``step``, ``evaluated``, ``ended``, or an event in words."""


class Workers:
    """The nursery's other end: starts workers and hears from them. Use it in a ``with`` block.

    Args:
        work: what they do, ``module:function``.
        threads: of OpenMP in each worker, set before any library is loaded.
    """

    def __init__(self, work: str, threads: int) -> None:
        command = [sys.executable, "-c", COMMAND, work]
        # A session of its own: Ctrl+C reaches only this process, which asks the workers to stop.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._reports = self._process.stdin, self._process.stdout
        self._unread = b""
        self.ended = False

    def __enter__(self) -> Workers:
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
        """Start a worker; a nursery that has just died is noticed by :meth:`messages`."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps({"unit": job.name, **job.request}).encode() + b"\n")
            self._requests.flush()

    def stop(self) -> None:
        """Ask all workers to save and end."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()

    def messages(self, seconds: float) -> list[dict[str, Any]]:
        """What has been reported, after at most so many seconds; sets ``ended`` when nothing can follow."""
        if not select.select([self._reports], [], [], seconds)[0]:
            return []
        read = os.read(self._reports.fileno(), 1 << 16)
        self.ended = not read
        *lines, self._unread = (self._unread + read).split(b"\n")
        return [json.loads(line) for line in lines]


def execute(
    jobs: Sequence[Job],
    workers: int,
    threads: int,
    watcher: Watcher | None = None,
    stopping: Callable[[], bool] = lambda: False,
    work: str = WORK,
) -> None:
    """Bring every job to an end, ``workers`` at a time; each job then says how it ended.

    A job whose worker died, by a signal or by an unforeseen error, is started again up to three times and goes
    on from its last checkpoint. One that failed with a reason is not: its reason is kept, the others go on.

    Args:
        jobs: what to do, in this order.
        workers: how many at once, at least 1.
        threads: of each worker.
        watcher: hears of progress.
        stopping: asked a few times a second; true lets workers save and end, and starts no more.
        work: what a worker does, ``module:function``; see :data:`aral.benchmarking.nursery.Work`.
    """
    waiting = deque(jobs)
    loop = _Loop({job.name: job for job in jobs}, waiting, watcher or Watcher())
    while waiting:
        with Workers(work, threads) as crew:
            loop.run(crew, workers, stopping)


class _Loop:
    """The coordinator's side of one crew after another."""

    def __init__(self, jobs: dict[str, Job], waiting: deque[Job], watcher: Watcher) -> None:
        self._jobs = jobs
        self._waiting = waiting
        self._running: set[str] = set()
        self._watcher = watcher

    def run(self, crew: Workers, workers: int, stopping: Callable[[], bool]) -> None:
        asked = False
        while not crew.ended and (self._waiting or self._running):
            if not asked and stopping():
                asked = True
                crew.stop()
                self._let_go()
            while self._waiting and len(self._running) < workers:
                self._start(crew, self._waiting.popleft())
            for message in crew.messages(0.2):
                self._hear(self._jobs[message["unit"]], message, asked)
        for name in sorted(self._running):  # the nursery itself has died
            self._died(self._jobs[name], "its parent process died", asked)
        self._running.clear()

    def _start(self, crew: Workers, job: Job) -> None:
        job.state = State.RUNNING
        self._running.add(job.name)
        crew.start(job)

    def _let_go(self) -> None:
        for job in self._waiting:
            job.state = State.STOPPED
        self._waiting.clear()

    def _hear(self, job: Job, message: Mapping[str, Any], asked: bool) -> None:
        match message:
            case {"exit": code}:
                self._end(job, code, asked)
            case {"process": process}:
                job.process = process
                self._watcher.changed(job, "started")
            case {"failed": code, "problem": problem, "hint": hint}:
                job.code, job.problem = code, f"{problem}\n{hint}".strip()
            case {"round": round_number, "accuracy": accuracy}:
                job.round, job.accuracy = round_number, accuracy
                self._watcher.changed(job, "evaluated")
            case {"round": round_number, "stage": stage}:
                job.round, job.stage = round_number, stage
                self._watcher.changed(job, "stage")
            case {"round": round_number, "step": step}:
                job.round, job.step = round_number, step
                self._watcher.changed(job, "step")
            case {"event": event}:
                self._watcher.changed(job, event)

    def _end(self, job: Job, code: int, asked: bool) -> None:
        self._running.discard(job.name)
        job.process = None
        if code == 0:
            job.state = State.DONE
        elif job.problem and code == STOPPED:
            job.state, job.problem, job.code = State.STOPPED, "", 0
        elif job.problem and code > 0:
            job.state = State.FAILED
        else:
            how = f"killed by signal {-code}" if code < 0 else f"an unforeseen error, exit code {code}"
            self._died(job, how, asked)
            return
        self._watcher.changed(job, "ended")

    def _died(self, job: Job, how: str, asked: bool) -> None:
        job.deaths += 1
        job.process = None
        if asked:
            job.state = State.STOPPED
        elif job.deaths <= RETRIES:
            job.state, job.problem = State.WAITING, ""
            self._waiting.append(job)
            self._watcher.changed(job, f"worker died ({how}); it goes on from its last checkpoint")
            return
        else:
            job.state, job.code = State.FAILED, 1
            job.problem = (
                f"Its worker died {job.deaths} times, the last time: {how}. See {job.request['log']}"
            )
        self._watcher.changed(job, "ended")


def log_path(folder: Path, name: str) -> Path:
    """Where a worker of a unit writes what it prints."""
    return folder / "logs" / f"{name}.log"
