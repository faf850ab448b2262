"""The trainer: trains, adds the model to the project and chooses the next query, one task after another.

It exchanges data with the page only through the project, so neither waits for the other. It may be killed at any
moment: a task is either recorded as done, or done again with the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from aral.annotation import Phase, Project, TrainingState
from aral.annotation.advice import Unknown, advise
from aral.annotation.trained_models import add_model, update_estimate
from aral.annotation.training_options import TrainingOptions
from aral.annotation.training_run import RunIdentity, TrainingRun, identity_of
from aral.errors import AralError, RunFailed, Stopped
from aral.loop import Observer
from aral.loop.training import PRETRAINING
from aral.plural import counted

POLL_SECONDS = 0.3
REPORT_SECONDS = 1.0


class ProgressReporter(Observer):
    """Stores the trainer's state in the project, about once a second.

    Args:
        project: where it is stored.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._reported = TrainingState("off")
        self._reported_at = 0.0
        self.first_round = 0

    def report(self, phase: Phase, message: str, number: int | None = None, fraction: float = 0.0) -> None:
        """Set the project's training state, unless it is this one already."""
        state = TrainingState(phase, number, fraction, message)
        if state != self._reported:
            self._project.models.set_training_state(state)
            self._reported, self._reported_at = state, time.monotonic()

    def step(self, round_number: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """``step`` of ``steps`` are done."""
        if time.monotonic() - self._reported_at < REPORT_SECONDS:
            return
        pretraining = round_number == PRETRAINING
        message = "Pretraining on the images." if pretraining else "Training on the labels."
        number = self.first_round + max(0, round_number)
        self.report("training", message, number, step / steps)


class Trainer:
    """Trains one project.

    Args:
        project: whose images and labels.
        options: how it is trained.
        stopping: called after every step; true stops with everything saved.
    """

    def __init__(
        self, project: Project, options: TrainingOptions, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._project = project
        self._options = options
        self._is_stopping = stopping
        self._reporter = ProgressReporter(project)
        self._run: TrainingRun | None = None
        self._classes_checked_at = 0.0
        self._classes_changed = False
        self._state: tuple[RunIdentity, int] | None = None
        self._failed_state: tuple[RunIdentity, int] | None = None

    def run(self) -> None:
        """Work until ``stopping`` returns true."""
        try:
            while not self._is_stopping():
                if not self.turn():
                    self._wait()
        finally:
            self.close()

    def close(self) -> None:
        """Release the training run and report that training is off."""
        self._close_run()
        with suppress(RunFailed):  # the disk may be full
            self._reporter.report("off", "Training is off.")

    def turn(self) -> bool:
        """Do the next task; False when there is none before the project changes."""
        self._state = None
        try:
            return self._turn()
        except Stopped:
            return not self._is_stopping()
        except AralError as error:
            # The same task would fail again until labels or classes have changed.
            self._close_run()
            self._failed_state = self._state
            self._reporter.report("failed", f"{error.problem} {error.hint}".strip())
            return False

    def _turn(self) -> bool:
        if not self._project.images.count():
            self._reporter.report("idle", "Waiting for images.")
            return False
        identity = identity_of(self._project, self._options)
        if len(identity.class_ids) < 2:
            self._reporter.report("idle", "Waiting for a second class.")
            return False
        self._state = (identity, self._project.annotations.newest_seq())
        if self._state == self._failed_state:
            return False
        self._failed_state = None
        run = self._open_run(identity)
        run.read_labels()
        return self._advance(run)

    def _advance(self, run: TrainingRun) -> bool:
        """Do the next task of a run, if there is one."""
        number = run.first_round + run.session.round_number
        if not run.has_model():
            self._reporter.report("choosing", "Classifying all images.", number - 1)
            add_model(run)
        elif run.is_due():
            count = len(run.labels())
            self._reporter.report("training", f"Training on {counted(count, 'label')}.", number)
            run.session.fit(self._is_interrupted)
        elif not run.has_query():
            self._reporter.report("choosing", "Choosing the next images.", number)
            run.queue_query(self._is_interrupted)
        elif not update_estimate(run):
            self._reporter.report("idle", self._waiting_for(run), number)
            return False
        return True

    def _waiting_for(self, run: TrainingRun) -> str:
        """What the trainer waits for, and why the gain of more labels is unknown."""
        advice = advise(self._project.models.all(), run.query_size)
        reason = f" {advice.reason}" if isinstance(advice, Unknown) else ""
        classes = set(run.labels().values())
        needs = " Training needs labels of two classes." if len(classes) < 2 else ""
        return f"Waiting for answers: {run.changed_labels()} new since the last training.{needs}{reason}"

    def _open_run(self, identity: RunIdentity) -> TrainingRun:
        """The open run if it still fits; otherwise the newest stored one that fits, or a new one."""
        self._classes_changed = False
        if self._run is not None and not self._run.fits(identity):
            self._close_run()
        if self._run is None:
            self._run = TrainingRun(self._project, identity, self._reporter)
            self._reporter.first_round = self._run.first_round
        return self._run

    def _close_run(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None

    def _is_interrupted(self) -> bool:
        """Called after every step: whether to stop, or to start another run because the classes have changed."""
        if self._is_stopping():
            return True
        if time.monotonic() - self._classes_checked_at > REPORT_SECONDS:
            self._classes_checked_at = time.monotonic()
            class_ids = tuple(each.id for each in self._project.classes.all())
            self._classes_changed = self._run is not None and class_ids != self._run.class_ids
        return self._classes_changed

    def _wait(self) -> None:
        """Wait until something in the project changes."""
        before = self._project.changes()
        while not self._is_stopping() and self._project.changes() == before:
            time.sleep(POLL_SECONDS)
