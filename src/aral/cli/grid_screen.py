"""Progress of a grid: a live table on a terminal, otherwise a line for each event."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from aral.benchmarking import GridObserver, Job, State
from aral.cli.screen import ReadingLines
from aral.plural import counted, rough_duration

SHOWN_LINES = 30


class Pace:
    """How long jobs will take, by the steps they have done since they were planned."""

    def __init__(self) -> None:
        self.planned: list[Job] = []
        self._begun: dict[str, int] = {}
        self._started = time.monotonic()

    def plan(self, jobs: list[Job]) -> None:
        """All jobs, before the first starts."""
        self.planned, self._begun, self._started = jobs, {}, time.monotonic()

    def changed(self, job: Job, news: str) -> None:
        """Steps done before a job was resumed do not count for the pace."""
        if job.progress.stage or news == "ended":
            self._begun.setdefault(job.name, job.steps_done)

    def seconds_left(self) -> float | None:
        """For all jobs, at the pace so far; None before the first step."""
        done = sum(job.steps_done - self._begun[job.name] for job in self.planned if job.name in self._begun)
        left = sum(
            job.rounds * job.steps - job.steps_done
            for job in self.planned
            if job.state in (State.WAITING, State.RUNNING)
        )
        return (time.monotonic() - self._started) * left / done if done > 0 else None

    def ended(self) -> int:
        """How many jobs are done or have failed."""
        return sum(job.state in (State.DONE, State.FAILED) for job in self.planned)


class GridScreen(GridObserver):
    """Shows the progress of the units of a grid.

    Args:
        console: where to write.
        title: name of the grid.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._jobs: dict[str, Job] = {}
        self._pace = Pace()
        self._reading = ReadingLines(console)
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> GridScreen:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def reading(self, done: int, total: int) -> None:
        """Print it every few seconds."""
        self._reading(done, total)

    def engine(self, description: str) -> None:
        """Print it."""
        self._console.print(description, highlight=False, markup=False, soft_wrap=True)

    def planned(self, jobs: list[Job]) -> None:
        """All units, before the first starts."""
        self._pace.plan(jobs)

    def changed(self, job: Job, news: str) -> None:
        """Show the change of a unit."""
        self._jobs[job.name] = job
        self._pace.changed(job, news)
        if self._console.is_terminal:
            self._live.update(Group(self._table(), Text(self._summary())))
        if news == "ended" or (news not in ("started", "stage", "step") and not self._console.is_terminal):
            words = line_of(job) if news in ("evaluated", "ended") else f"{job.name}: {news}"
            self._console.print(
                f"{words}  [{self._summary()}]", highlight=False, markup=False, soft_wrap=True
            )

    def _summary(self) -> str:
        seconds = self._pace.seconds_left()
        time_left = "" if not seconds else f", about {rough_duration(seconds)} left"
        return f"{self._title}: {self._pace.ended()} of {counted(len(self._pace.planned), 'unit')}{time_left}"

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for head in ("unit", "state", "round", "step", "accuracy %"):
            table.add_column(head)
        newest = [job for job in self._jobs.values() if job.state is State.RUNNING]
        for job in newest[:SHOWN_LINES]:
            now = job.progress
            accuracy = "" if now.accuracy is None else f"{100 * now.accuracy:.2f}"
            begun = now.round >= 0
            place = f"{now.round + 1} of {job.rounds}" if begun else f"0 of {job.rounds}"
            step = f"{now.step} of {job.steps}" if begun else str(now.step)
            table.add_row(job.name, now.stage or job.state, place, step, accuracy)
        return table


def line_of(job: Job) -> str:
    """The state of a unit in one line."""
    words = [job.name, job.state, f"round {job.progress.round + 1} of {job.rounds}"]
    if job.progress.accuracy is not None:
        words.append(f"accuracy {100 * job.progress.accuracy:.2f} %")
    if job.failure.problem:
        words.append(job.failure.problem.partition("\n")[0])
    return "  ".join(words)
