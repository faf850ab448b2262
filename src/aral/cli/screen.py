"""Progress of a run on the terminal: a live line, or plain lines where the output is not a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from aral.loop import Observer
from aral.plural import counted, rough_duration

TOTAL = "total "


IN_REPORT_ONLY = frozenset({"collapsed latents"})
"""Events that say something about the networks, not about the run; the report lists them."""


class Screen(Observer):
    """Shows the progress of one run: round, step, losses, accuracy, time left.

    Args:
        console: where to write; a terminal gets a live line, anything else one line per round.
        title: in front of every line.
        rounds: number of rounds in the budget.
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
            # Last, because a narrow terminal cuts off what is last.
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
        """Show what begins."""
        if round_number == 0 and what == "training":
            self._started = None  # pretraining steps take another time than those of rounds
        name = f"round {round_number} {what}" if round_number >= 0 else what
        self._progress.update(self._task, description=name, news=self._accuracy)

    def step(self, round_number: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Move the bar and estimate the time left: of the training of all rounds, or of pretraining."""
        pretraining = round_number < 0
        done = step if pretraining else round_number * steps + step
        total = steps if pretraining else self._rounds * steps
        if self._started is None:
            self._started = (time.monotonic(), done - 1)
        if not self._live or (step % 10 and step != steps):
            return
        since, first = self._started
        seconds = (time.monotonic() - since) / max(1, done - first) * (total - done)
        # Totals of the phases only; the single terms are in the store and in the report.
        totals = [
            f"{name.removeprefix(TOTAL)} {value:.2g}" for name, value in losses.items() if TOTAL in name
        ]
        news = " ".join([self._accuracy, *totals]).strip()
        self._progress.update(
            self._task, completed=step, total=steps, news=news, left=f"{rough_duration(seconds)} left"
        )

    def evaluated(self, round_number: int, labelled: int, numbers: Mapping[str, float]) -> None:
        """Print one line per round."""
        self._accuracy = f"{100 * numbers['accuracy']:.2f} %"
        health = [
            f"{name} {numbers[name]:.3f}"
            for name in ("sampler AUC", "latent std", "latent KL", "generated recognised", "D against G")
            if name in numbers
        ]
        line = [
            f"{self._title}  round {round_number}: {counted(labelled, 'label')}",
            f"accuracy {self._accuracy}",
            *health,
        ]
        self._console.print("  ".join(line), highlight=False, soft_wrap=True)

    def event(self, kind: str, message: str) -> None:
        """Print a warning, unless it concerns only what the report shows."""
        if kind in IN_REPORT_ONLY:
            return
        self._console.print(f"{self._title}  {kind}: {message}", style="yellow", highlight=False)


class ReadingLines:
    """Prints how many images have been read, every few seconds, when reading takes longer than that.

    Args:
        console: where to write.
    """

    SECONDS = 5.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = self._first = 0
        self._started = self._printed = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Images that are done, of all that are being read."""
        now = time.monotonic()
        if total != self._total or done < self._first:
            self._total, self._first, self._started, self._printed = total, done, now, now
        if now - self._printed < self.SECONDS:
            return
        self._printed = now
        seconds = (now - self._started) / max(1, done - self._first) * (total - done)
        self._console.print(
            f"Read {done} of {counted(total, 'image')}, {rough_duration(seconds)} left",
            highlight=False,
        )
