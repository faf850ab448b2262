"""What the terminal shows: live progress where it can, plain lines where it cannot."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from aral.loop import Observer
from aral.words import counted

TOTAL = "total "


class Screen(Observer):
    """Progress of one run: round, step, losses, accuracy so far, time left.

    Args:
        console: where to write; a terminal gets a live line, anything else a line a round.
        title: in front of every line.
        rounds: how many rounds the budget allows.
    """

    def __init__(self, console: Console, title: str, rounds: int) -> None:
        self._console = console
        self._title = title
        self._rounds = rounds
        self._live = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=8),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            # Last, because a narrow terminal cuts what comes last.
            TextColumn("{task.fields[news]}"),
            console=console,
            disable=not self._live,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("starting", total=1, news="", left="")
        self._accuracy = ""
        self._started: tuple[float, int] | None = None

    def __enter__(self) -> Screen:
        if self._live:
            self._console.print(self._title, highlight=False)
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, round_number: int, what: str) -> None:
        """Name what begins."""
        if round_number == 0 and what == "training":
            self._started = None  # the steps before labels went at a pace of their own
        name = f"round {round_number} {what}" if round_number >= 0 else what
        self._progress.update(self._task, description=name, news=self._accuracy)

    def step(self, round_number: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Move the bar and estimate the time left for the training of all rounds, or of that before labels."""
        before_labels = round_number < 0
        done = step if before_labels else round_number * steps + step
        total = steps if before_labels else self._rounds * steps
        if self._started is None:
            self._started = (time.monotonic(), done - 1)
        if not self._live or (step % 10 and step != steps):
            return
        since, first = self._started
        seconds = (time.monotonic() - since) / max(1, done - first) * (total - done)
        # A phase's total says enough for a line; the single terms are in the store and in the report.
        totals = [
            f"{name.removeprefix(TOTAL)} {value:.2g}" for name, value in losses.items() if TOTAL in name
        ]
        news = " ".join([self._accuracy, *totals]).strip()
        self._progress.update(
            self._task, completed=step, total=steps, news=news, left=f"{duration(seconds)} left"
        )

    def evaluated(self, round_number: int, labelled: int, numbers: Mapping[str, float]) -> None:
        """One lasting line a round."""
        self._accuracy = f"{100 * numbers['accuracy']:.2f} %"
        health = [
            f"{name} {numbers[name]:.3f}"
            for name in ("sampler AUC", "latent std", "latent KL")
            if name in numbers
        ]
        line = [
            f"{self._title}  round {round_number}: {counted(labelled, 'label')}",
            f"accuracy {self._accuracy}",
            *health,
        ]
        self._console.print("  ".join(line), highlight=False, soft_wrap=True)

    def event(self, kind: str, message: str) -> None:
        """Warnings, as they come."""
        self._console.print(f"{self._title}  {kind}: {message}", style="yellow", highlight=False)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
