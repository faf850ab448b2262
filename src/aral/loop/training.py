"""Training one round: steps, checkpoints, trouble; it can be stopped and resumed at any step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aral.errors import RunFailed, Stopped
from aral.learners import checkpoints
from aral.learners.interface import Learner, StepLosses
from aral.loop import Store
from aral.loop.observer import Observer

CHECKPOINTS = "checkpoints"
NO_MEMORY = ("allocate memory", "out of memory")
"""What PyTorch says when there is not enough, on a processor and on a graphics card."""

PRETRAINING = -1
"""The number of the training before the first query, in place of a round's."""


@dataclass(frozen=True)
class Pace:
    """How often things are saved and shown; nothing here changes a result.

    Attributes:
        checkpoint_seconds: a checkpoint at least this often while training.
        log_steps: losses are recorded every this many steps, each with its newest value since the last record or
            resume: a phase may run in some steps only.
        kept_checkpoints: how many of the newest checkpoints stay on disk.
    """

    checkpoint_seconds: float = 60.0
    log_steps: int = 50
    kept_checkpoints: int = 2


@dataclass
class Position:
    """How far the learner in memory has come: ``step`` steps of round ``round_number`` are done."""

    round_number: int = 0
    step: int = 0
    skips: int = 0  # steps in a row that were not finite
    halvings: int = 0  # how often the learning rates were halved

    @property
    def where(self) -> str:
        """The round, in words."""
        before = self.round_number == PRETRAINING
        return "the training before labels" if before else f"round {self.round_number}"


class Progress:
    """Moves a learner forward, and writes and reads its checkpoints.

    Args:
        store: records checkpoints, losses and events.
        learner: is trained.
        pace: how often to save and to log.
        observer: hears of progress.
        after_step: called with round, step and steps a round before a step's checkpoint, if any, is written.
    """

    MOST_SKIPS = 3
    MOST_HALVINGS = 2

    def __init__(
        self,
        store: Store,
        learner: Learner,
        pace: Pace,
        observer: Observer,
        after_step: Callable[[int, int, int], None] = lambda number, step, steps: None,
    ) -> None:
        self._store = store
        self._learner = learner
        self.position = Position(self._first)
        self._pace = pace
        self._observer = observer
        self._after_step = after_step

    @property
    def folder(self) -> Path:
        """Where the checkpoints are."""
        return self._store.folder / CHECKPOINTS

    def restore(self, start_round: Callable[[int], None]) -> None:
        """Load the newest checkpoint that is whole; without one, the learner stays as it was made.

        Args:
            start_round: gives the learner the data of a round; called when a round is under way.
        """
        names = [row.folder for row in self._store.checkpoints()]
        if not names:
            return
        try:
            checkpoint, damaged = checkpoints.newest_valid(self.folder, names)
        except RunFailed as error:
            self.tell("damaged checkpoints", f"{error.problem} Training is repeated from the start.")
            return
        for damage in damaged:
            self.tell("damaged checkpoint", f"{damage.problem} An earlier one is used.")
        self.position = Position(**{str(key): int(str(value)) for key, value in checkpoint.document.items()})
        if self.position.step < self._steps():
            start_round(self.position.round_number)
        self._learner.load_state_dict(checkpoint.tensors)

    def finish_round(
        self, round_number: int, start_round: Callable[[int], None], stopping: Callable[[], bool]
    ) -> None:
        """Train until the end of a round, from wherever the learner is; rounds in between are repeated.

        Raises:
            Stopped: ``stopping`` said so; a checkpoint was written.
            RunFailed: losses stay non-finite although learning rates were halved.
        """
        while self.position.round_number < round_number or (
            self.position.round_number == round_number and self.position.step < self._steps()
        ):
            if self.position.step >= self._steps():
                self.position = Position(self.position.round_number + 1, 0, 0, self.position.halvings)
                start_round(self.position.round_number)
            elif self.position.step == 0 and self.position.round_number == self._first:
                start_round(self._first)
                self.save()
            self._train(start_round, stopping)

    @property
    def _first(self) -> int:
        return PRETRAINING if self._learner.pretraining_steps else 0

    def _steps(self) -> int:
        """Steps of the round under way."""
        before = self.position.round_number == PRETRAINING
        return self._learner.pretraining_steps if before else self._learner.steps_per_round

    def _train(self, start_round: Callable[[int], None], stopping: Callable[[], bool]) -> None:
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
                self.tell("not finite", f"Phases {', '.join(losses.skipped)} were skipped in {where}.")
            if position.skips > self.MOST_SKIPS:
                self._back_off(start_round)
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
                    "Run the same command again to go on.",
                )
            if time.monotonic() - saved_at > self._pace.checkpoint_seconds and position.step < steps:
                self.save()
                saved_at = time.monotonic()
        self.save()

    def _step(self) -> StepLosses:
        """One step; the batches are never made smaller by themselves, because a run must be repeatable.

        Raises:
            RunFailed: there is not enough memory for it.
        """
        try:
            return self._learner.step(self.position.step)
        except (MemoryError, RuntimeError) as error:
            if not (isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)):
                raise
            raise RunFailed(
                f"There is not enough memory for a training step in {self.position.where}: {str(error)[:200]}",
                "Halve a batch, for instance --set model.training.unlabelled_batch=32, or make the networks or "
                "images smaller.",
            ) from error

    def _back_off(self, start_round: Callable[[int], None]) -> None:
        halvings = self.position.halvings + 1
        if halvings > self.MOST_HALVINGS:
            raise RunFailed(
                f"Training is not finite in {self.position.where} at step {self.position.step}, "
                f"after the learning rates were halved {self.MOST_HALVINGS} times.",
                "Lower the learning rates, for instance --set model.optimisers.discriminator.rate=0.001",
            )
        self.restore(start_round)
        self._learner.halve_learning_rates()
        self.position.halvings = halvings
        self.position.skips = 0
        self.tell(
            "learning rates halved",
            f"Back to {self.position.where}, step {self.position.step}, after "
            f"{self.MOST_SKIPS + 1} steps in a row that were not finite.",
        )
        self.save()

    def save(self) -> None:
        """Write a checkpoint of where the learner is, and remove old ones."""
        position = self.position
        name = f"round-{position.round_number:03d}-step-{position.step:06d}"
        document = vars(position) | {}
        checkpoints.save(self.folder, name, self._learner.state_dict(), document)
        self._store.record_checkpoint(name, position.round_number, position.step)
        rows = self._store.checkpoints()
        kept = {row.folder for row in rows[: self._pace.kept_checkpoints]}
        for row in rows[self._pace.kept_checkpoints :]:
            self._store.forget_checkpoint(row.folder)
        checkpoints.prune(self.folder, kept)

    def tell(self, kind: str, message: str) -> None:
        """Record an event and say it to the observer."""
        self._store.record_event(kind, message)
        self._observer.event(kind, message)
