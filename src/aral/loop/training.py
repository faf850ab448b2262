"""Training of rounds: steps, checkpoints, back-off; it can be stopped, or killed, and resumed at any step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aral.errors import RunFailed, Stopped
from aral.learners import checkpoints
from aral.learners.interface import Learner, StepLosses
from aral.loop.observer import Observer
from aral.loop.run_store import Store

CHECKPOINTS = "checkpoints"
"""The folder of checkpoints in a run folder."""

PRETRAINING = -1
"""The round number of pretraining."""

OUT_OF_MEMORY = ("allocate memory", "out of memory")
"""What the messages of PyTorch's errors contain, on a CPU and on a GPU."""


@dataclass(frozen=True)
class Pace:
    """How often training is saved and logged; nothing here changes a result.

    Attributes:
        checkpoint_seconds: at most this long between two checkpoints of a round.
        log_steps: steps between two records of the losses. A phase may run in some steps only: each loss is
            recorded with its newest value since the last record.
        kept_checkpoints: how many of the newest checkpoints are kept.
        keep_rounds: keep the last checkpoint of every round, and of pretraining, as well.
    """

    checkpoint_seconds: float = 60.0
    log_steps: int = 50
    kept_checkpoints: int = 2
    keep_rounds: bool = False


@dataclass
class Position:
    """How far the learner in memory is trained; saved with each checkpoint.

    Attributes:
        round_number: the round, or :data:`PRETRAINING`.
        step: how many steps of it are done.
        skips: how many steps in a row were not finite.
        halvings: how often the learning rates were halved in this run.
        seconds: training time of this round, over all processes that worked on it; what a killed process did
            after its last checkpoint does not count.
    """

    round_number: int = 0
    step: int = 0
    skips: int = 0
    halvings: int = 0
    seconds: float = 0.0

    @property
    def where(self) -> str:
        """The round, in words."""
        return "pretraining" if self.round_number == PRETRAINING else f"round {self.round_number}"


@contextmanager
def memory_failure(where: str) -> Iterator[None]:
    """Turn the error of a training step that needs too much memory into one that says what to do.

    Args:
        where: the step is made, in words.

    Raises:
        RunFailed: there is not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)):
            raise
        raise RunFailed(
            f"There is not enough memory for a training step in {where}: {str(error)[:200]}",
            "Halve a batch, for instance --set learner.training.unlabelled_batch=32, or make the networks or "
            "images smaller.",
        ) from error


def report_event(store: Store, observer: Observer, kind: str, message: str) -> None:
    """Record an event that the user should know of, then tell the observer."""
    store.record_event(kind, message)
    observer.event(kind, message)


class Training:
    """Trains a learner round by round, and writes and reads its checkpoints.

    Args:
        store: records checkpoints, losses and events.
        learner: newly made.
        start_round: gives the learner the data of a round; the same data whenever it is called.
        pace: how often to save and to log.
        observer: is told of steps and events.
        after_step: called with round, step and steps a round, before a checkpoint of that step is written.
    """

    MOST_SKIPS = 3
    MOST_HALVINGS = 2

    def __init__(
        self,
        store: Store,
        learner: Learner,
        start_round: Callable[[int], None],
        pace: Pace,
        observer: Observer,
        after_step: Callable[[int, int, int], None] = lambda number, step, steps: None,
    ) -> None:
        self._store = store
        self._learner = learner
        self._start_round = start_round
        self._pace = pace
        self._observer = observer
        self._after_step = after_step
        self._new_learner = learner.state_dict()
        self._counted_at = time.monotonic()
        self.position = Position(self._first)

    @property
    def folder(self) -> Path:
        """Where the checkpoints are."""
        return self._store.folder / CHECKPOINTS

    def restore(self) -> None:
        """Load the newest intact checkpoint; a learner without one begins at the start of the run.

        A damaged checkpoint is reported and the one before it is used.
        """
        names = [row.folder for row in self._store.checkpoints()]
        if not names:
            return
        try:
            checkpoint, damaged = checkpoints.newest_valid(self.folder, names)
        except RunFailed as error:
            self._report(
                "damaged checkpoints", f"{error.problem} Training is repeated from the start of the run."
            )
            self._learner.load_state_dict(self._new_learner)
            self.position = Position(self._first)
            return
        for damage in damaged:
            self._report("damaged checkpoint", f"{damage.problem} An earlier one is used.")
        saved = {key: float(str(value)) for key, value in checkpoint.document.items()}
        seconds = saved.pop("seconds", 0.0)  # checkpoints of earlier versions do not have it
        self.position = Position(**{key: int(value) for key, value in saved.items()}, seconds=seconds)
        if self.position.step < self._steps():
            self._start_round(self.position.round_number)
        self._learner.load_state_dict(checkpoint.tensors)

    def finish_round(self, round_number: int, stopping: Callable[[], bool]) -> None:
        """Train to the end of a round from the present position; rounds in between are repeated.

        Raises:
            Stopped: ``stopping`` returned true; a checkpoint was written.
            RunFailed: losses stay non-finite although learning rates were halved, or memory is too small.
        """
        self._counted_at = time.monotonic()
        while self.position.round_number < round_number or (
            self.position.round_number == round_number and self.position.step < self._steps()
        ):
            if self.position.step >= self._steps():
                self._counted_at = time.monotonic()
                self.position = Position(self.position.round_number + 1, halvings=self.position.halvings)
                self._start_round(self.position.round_number)
            elif self.position.step == 0 and self.position.round_number == self._first:
                self._start_round(self._first)
                self.save()
            self._train(stopping)

    @property
    def _first(self) -> int:
        return PRETRAINING if self._learner.pretraining_steps else 0

    def _steps(self) -> int:
        """Steps of the present round."""
        return self._steps_of(self.position.round_number)

    def _steps_of(self, round_number: int) -> int:
        pretraining = round_number == PRETRAINING
        return self._learner.pretraining_steps if pretraining else self._learner.steps_per_round

    def _train(self, stopping: Callable[[], bool]) -> None:
        """Train to the end of the present round, or until a back-off has changed the position."""
        position, steps = self.position, self._steps()
        saved_at = time.monotonic()
        newest: dict[str, float] = {}
        while position.step < steps:
            losses = self._step()
            position.step += 1
            newest |= losses.values
            position.skips = position.skips + 1 if losses.skipped else 0
            if losses.skipped:
                where = f"{position.where}, step {position.step}"
                self._report("not finite", f"Phases {', '.join(losses.skipped)} were skipped in {where}.")
            if position.skips > self.MOST_SKIPS:
                self._back_off()
                return
            if position.step % self._pace.log_steps == 0 or position.step == steps:
                values = {f"loss {name}": value for name, value in newest.items()}
                self._store.record_metrics(position.round_number, position.step, values)
                newest.clear()
            self._after_step(position.round_number, position.step, steps)
            self._observer.step(position.round_number, position.step, steps, losses.values)
            if position.step < steps and stopping():
                self.save()
                raise Stopped(
                    f"Stopped in {position.where} at step {position.step} of {steps}; everything is saved.",
                    "Run the same command again to continue.",
                )
            if time.monotonic() - saved_at > self._pace.checkpoint_seconds and position.step < steps:
                self.save()
                saved_at = time.monotonic()
        self.save()

    def _step(self) -> StepLosses:
        """One step. A batch is never made smaller automatically: a run must be repeatable.

        Raises:
            RunFailed: there is not enough memory for it.
        """
        with memory_failure(self.position.where):
            return self._learner.step(self.position.step)

    def _back_off(self) -> None:
        """Go back to the newest checkpoint and train on from there at half the learning rates."""
        self._count_seconds()
        failed = self.position
        halvings = failed.halvings + 1
        if halvings > self.MOST_HALVINGS:
            raise RunFailed(
                f"Training is not finite in {failed.where} at step {failed.step}, "
                f"after the learning rates were halved {self.MOST_HALVINGS} times.",
                "Lower the learning rates, for instance --set learner.optimisers.discriminator.rate=0.001",
            )
        self.restore()
        position = self.position
        for _ in range(halvings - position.halvings):
            self._learner.halve_learning_rates()
        position.halvings = halvings
        position.skips = 0
        if position.round_number == failed.round_number:
            position.seconds = failed.seconds
        self._report(
            "learning rates halved",
            f"Back to {position.where}, step {position.step}, after "
            f"{self.MOST_SKIPS + 1} steps in a row that were not finite.",
        )
        self.save()

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.position.seconds += now - self._counted_at
        self._counted_at = now

    def save(self) -> None:
        """Write a checkpoint of the present position, and remove old ones."""
        self._count_seconds()
        position = self.position
        name = f"round-{position.round_number:03d}-step-{position.step:06d}"
        checkpoints.save(self.folder, name, self._learner.state_dict(), vars(position) | {})
        self._store.record_checkpoint(name, position.round_number, position.step)
        rows = self._store.checkpoints()
        kept = {row.folder for row in rows[: self._pace.kept_checkpoints]}
        if self._pace.keep_rounds:
            kept |= {row.folder for row in rows if row.step >= self._steps_of(row.round)}
        for row in rows:
            if row.folder not in kept:
                self._store.forget_checkpoint(row.folder)
        checkpoints.prune(self.folder, kept)

    def _report(self, kind: str, message: str) -> None:
        report_event(self._store, self._observer, kind, message)
