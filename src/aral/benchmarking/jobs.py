"""Jobs and their coordinator: what is started, what is reported, and what happens when a worker dies.

A job is a request to a worker, which runs it in a process of its own. An :class:`Engine` starts these processes and
passes on what they report: on this machine (:mod:`aral.benchmarking.workers`), on a Ray cluster
(:mod:`aral.benchmarking.ray_engine`) or by SLURM (:mod:`aral.benchmarking.slurm_engine`). The coordinator
(:func:`execute`) is the same for all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeAlias, runtime_checkable

RETRIES = 3
"""How often a job is started again after its worker died."""

STOPPED = 130
"""Exit code of a worker that was asked to stop and has saved."""

CRASHED = 70
"""Exit code of a worker that ended with an unexpected exception."""

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
        """Images that are read, and all that are being read, before the jobs are planned."""

    def engine(self, description: str) -> None:
        """The engine and what each unit takes, before the first starts; not for workers of this machine."""

    def planned(self, jobs: list[Job]) -> None:
        """All jobs of a grid, finished ones too, before the first starts; they change in place."""

    def changed(self, job: Job, news: str) -> None:
        """What is new: ``started``, ``stage``, ``step``, ``evaluated``, ``ended``, or a warning as text."""


def log_path(folder: Path, name: str) -> Path:
    """The file that gets what the worker of a unit prints."""
    return folder / "logs" / f"{name}.log"


# The coordinator


@runtime_checkable
class Engine(Protocol):
    """Starts workers and passes on their messages; use it in a ``with`` block.

    A message is a mapping with the name of the ``job`` and what is new: ``process`` (it has started), ``round`` with
    ``stage``, ``step`` or ``accuracy``, ``event``, ``failed`` with ``problem`` and ``hint``. The last message of a
    worker is ``exit``, its exit code (negative: the signal that killed it), or ``died``: how it was lost.
    """

    @property
    def ended(self) -> bool:
        """Whether no more messages can follow: all running workers are lost, and no more can be started."""

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave no worker behind."""

    def start(self, job: Job) -> None:
        """Start a worker, or queue it where workers wait for resources."""

    def stop(self) -> None:
        """Ask all workers to save and exit."""

    def messages(self, seconds: float) -> list[dict[str, Any]]:
        """Messages that arrive within so many seconds."""


def execute(
    jobs: Sequence[Job],
    workers: int,
    open_engine: Callable[[], Engine],
    observer: GridObserver | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Run jobs on the workers of an engine; the jobs change in place.

    A job whose worker dies is started again, at most :data:`RETRIES` times, and resumes from its last
    checkpoint. A job that fails with a reason is not: the reason is kept, and the others go on. A worker that was
    stopped by its machine (preemption, a time limit) is started again; it counts as dead only if it did no step.

    Args:
        jobs: in the order of starting.
        workers: jobs at once, at least 1.
        open_engine: makes the engine; called again if that ended before the jobs did.
        observer: is told of progress.
        stopping: asked a few times a second; true lets workers save and exit, and starts no more.
    """
    coordinator = _Coordinator(jobs, observer or GridObserver())
    while coordinator.waiting:
        with open_engine() as engine:
            coordinator.run(engine, workers, stopping)


class _Coordinator:
    """Starts jobs as workers become free, and keeps their states."""

    def __init__(self, jobs: Sequence[Job], observer: GridObserver) -> None:
        self._jobs = {job.name: job for job in jobs}
        self.waiting = deque(jobs)
        self._running: dict[str, int] = {}  # training steps done when the worker was started
        self._observer = observer
        self._stopping = False

    def run(self, engine: Engine, workers: int, stopping: Callable[[], bool]) -> None:
        """Until all jobs have ended, or the engine has."""
        self._stopping = False
        while not engine.ended and (self.waiting or self._running):
            if not self._stopping and stopping():
                self._stopping = True
                engine.stop()
                self._drop_waiting()
            while self.waiting and len(self._running) < workers and not stopping():
                job = self.waiting.popleft()
                self._running[job.name] = job.steps_done
                engine.start(job)
            for message in engine.messages(0.2):
                self._receive(self._jobs[message["job"]], message)
        for name in sorted(self._running):
            self._died(self._jobs[name], "the fork server died")

    def _drop_waiting(self) -> None:
        for job in self.waiting:
            job.state = State.STOPPED
        self.waiting.clear()

    def _receive(self, job: Job, message: Mapping[str, Any]) -> None:
        match message:
            case {"exit": code}:
                self._end(job, code)
            case {"died": how}:
                self._died(job, how)
            case {"process": process}:
                job.state, job.process = State.RUNNING, process
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
        if code == STOPPED and job.failure.problem and not self._stopping:
            self._interrupted(job)
            return
        if code != 0 and not (job.failure.problem and code > 0):
            how = f"killed by signal {-code}" if code < 0 else f"an unexpected error, exit code {code}"
            self._died(job, how)
            return
        del self._running[job.name]
        job.process = None
        if code == 0:
            job.state = State.DONE
        elif code == STOPPED:
            job.state, job.failure = State.STOPPED, Failure()
        else:
            job.state = State.FAILED
        self._observer.changed(job, "ended")

    def _interrupted(self, job: Job) -> None:
        """Its machine asked the worker to stop, and it saved."""
        if job.steps_done > self._running[job.name]:
            del self._running[job.name]
            self._again(job, "stopped by its machine after saving; resuming from the last checkpoint")
        else:
            self._died(job, "stopped by its machine before a training step")

    def _died(self, job: Job, how: str) -> None:
        del self._running[job.name]
        job.deaths += 1
        if self._stopping:
            job.state, job.process, job.failure = State.STOPPED, None, Failure()
        elif job.deaths <= RETRIES:
            self._again(job, f"worker died ({how}); resuming from the last checkpoint")
            return
        else:
            problem = f"Its worker died {job.deaths} times, the last time: {how}. See {job.request['log']}"
            job.state, job.process, job.failure = State.FAILED, None, Failure(problem, 1)
        self._observer.changed(job, "ended")

    def _again(self, job: Job, news: str) -> None:
        job.state, job.process, job.failure = State.WAITING, None, Failure()
        self.waiting.append(job)
        self._observer.changed(job, news)
