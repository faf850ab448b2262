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
from aral.annotation.predictions import zero_shot_sentence
from aral.annotation.project_features import ProjectFeatures
from aral.annotation.refinement import Refined, Refinement
from aral.annotation.trained_models import (
    Trained,
    add_model,
    add_quick,
    is_outdated,
    publish,
    refined_folder,
    update_estimate,
)
from aral.annotation.training_options import TrainingOptions, device_of
from aral.annotation.training_run import (
    RunIdentity,
    TrainingRun,
    enough_features,
    identity_of,
    representation_of,
)
from aral.annotation.word_search import answer_searches
from aral.annotation.zero_shot import ZeroShotSuggestions
from aral.errors import AralError, RunFailed, Stopped
from aral.loop import Observer
from aral.loop.training import PRETRAINING
from aral.plural import counted
from aral.randomness import Stream
from aral.representations import PIXELS, make_backbone

POLL_SECONDS = 0.3
REPORT_SECONDS = 1.0
SHORT_SECONDS = 0.2


def minutes_left(minutes: float) -> str:
    """A duration as people say it."""
    return "less than a minute left" if minutes < 1 else f"{counted(round(minutes), 'minute')} left"


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


class RefinementWork:
    """A refinement under way: done step by step, between the trainings of the quick learner.

    Args:
        run: the quick run.
        refinement: the comparison.
        stream: decides everything random.
    """

    def __init__(self, run: TrainingRun, refinement: Refinement, stream: Stream) -> None:
        self.labels = run.labels()
        self.refinement = refinement
        self._steps = refinement.work(run.labelled(), stream)
        self._seconds = 0.0
        self.fraction = 0.0

    def advance(self, stopping: Callable[[], bool]) -> Refined | None:
        """Work until it is done, or until ``stopping`` returns true; the result if it is done."""
        started = time.monotonic()
        try:
            while not stopping():
                self.fraction = next(self._steps)
        except StopIteration as done:
            result: Refined = done.value
            return result
        finally:
            self._seconds += time.monotonic() - started
        return None

    def publish(self, run: TrainingRun, result: Refined) -> str:
        """Make the better learner's model the project's newest; the result in words.

        Empty where a quick model of many more labels has come meanwhile: it stays, and the learners are compared anew.
        """
        if is_outdated(len(self.labels), len(run.trained_labels())):
            return ""
        slow = self.refinement.slow
        reason = result.comparison.sentence(self.refinement.quick.title, slow.title)
        if result.learner is not None:
            folder = refined_folder(run, slow)
            publish(run, Trained(result.learner, slow, self.labels, self._seconds, folder, reason))
        else:
            add_quick(run, reason)
        return reason


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
        self._features: ProjectFeatures | None = None
        self._zero_shot: ZeroShotSuggestions | None = None
        self._work: RefinementWork | None = None
        self._refined_labels: dict[int, int] = {}
        self._refined_reason = ""
        self._labels_checked_at = 0.0
        self._classes_checked_at = 0.0
        self._searches_checked_at = 0.0
        self._classes_changed = False
        self._seen = (0, 0, True)
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
        self._close_features()
        with suppress(RunFailed):  # the disk may be full
            self._reporter.report("off", "Training is off.")

    def turn(self) -> bool:
        """Do the next task; False when there is none before the project changes."""
        self._state = None
        # What comes while the turn looks is not seen by it, so it is waited for from here on.
        self._seen = self._world()
        try:
            return self._turn()
        except Stopped:
            return not self._is_stopping()
        except AralError as error:
            # The same task would fail again until labels or classes have changed.
            self._close_run()
            self._close_features()
            self._failed_state = self._state
            self._reporter.report("failed", f"{error.problem} {error.hint}".strip())
            return False

    def _turn(self) -> bool:
        if not self._project.images.any():
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
        if not self._can_begin(identity):
            return False
        run = self._open_run(identity)
        run.read_labels()
        return self._advance(run)

    def _can_begin(self, identity: RunIdentity) -> bool:
        """Whether there are images to train on: all pixels of the folder, or features of enough images."""
        if identity.representation == PIXELS:
            self._close_features()
            self._project.searches.set_representation("")
            if pending := self._project.images.pending():
                self._reporter.report("reading", f"Waiting for the import of {counted(pending, 'file')}.")
            return not pending
        features = self._open_features(identity)
        features.check()
        answer_searches(self._project, features)
        if self._run is None and not enough_features(self._project, features):
            self._report_reading(features)
            return False
        return True

    def _open_features(self, identity: RunIdentity) -> ProjectFeatures:
        """The features of the project, read from now on; options do not change while a trainer runs."""
        if self._features is None:
            self._reporter.report("reading", "Loading the backbone.")
            settings = representation_of(self._project, identity)
            backbone = make_backbone(settings).on(device_of(self._options))
            self._features = ProjectFeatures(self._project, backbone, settings.precision)
            self._features.start()
            self._project.searches.set_representation(backbone.name if backbone.text else "")
            self._zero_shot = ZeroShotSuggestions(self._project, self._features)
        return self._features

    def _close_features(self) -> None:
        if self._features is not None:
            self._close_run()
            self._features.close()
            self._features = self._zero_shot = None

    def _report_reading(self, features: ProjectFeatures) -> None:
        done, total, minutes = features.progress()
        left = "" if minutes is None else f", {minutes_left(minutes)}"
        self._reporter.report(
            "reading", f"Reading the images: {done} of {total}{left}.", None, done / max(1, total)
        )

    def _advance(self, run: TrainingRun) -> bool:
        """Do the next task of a run, if there is one."""
        number = run.first_round + run.session.round_number
        if not run.has_model():
            self._reporter.report("choosing", "Classifying all images.", number - 1)
            add_model(run)
        elif run.is_due():
            count = len(run.labels())
            self._reporter.report("training", f"Training on {counted(count, 'label')}.", number)
            run.fit(self._is_interrupted)
        elif not run.has_query():
            self._reporter.report("choosing", "Choosing the next images.", number)
            run.queue_query(self._is_interrupted)
        elif not self._suggest() and not update_estimate(run) and not self._refine(run, number):
            if self._features is not None and not self._seen[2]:
                self._report_reading(self._features)
            else:
                self._reporter.report("idle", self._waiting_for(run), number)
            # A quick run waits some moments for further answers.
            return run.is_quick and run.changed_labels() > 0 and not self._pause()
        return True

    def _suggest(self) -> bool:
        """Make zero-shot suggestions if they are due."""
        return self._zero_shot is not None and self._zero_shot.update()

    def _pause(self) -> bool:
        """Wait a moment; whether the trainer is to stop."""
        time.sleep(SHORT_SECONDS)
        return self._is_stopping()

    def _refine(self, run: TrainingRun, number: int) -> bool:
        """Work on the slower learner behind a quick one until there is something else to do; False if there is none."""
        if self._work is None:
            if not run.session.round_number or run.labels() == self._refined_labels:
                return False
            found = run.refinement()
            if found is None:
                return False
            self._work = RefinementWork(run, *found)
        name = self._work.refinement.slow.title
        self._reporter.report("training", f"Comparing with {name}.", number, self._work.fraction)
        result = self._work.advance(lambda: self._is_interrupted() or self._is_due(run))
        if result is not None:
            self._refined_labels, self._refined_reason = self._work.labels, self._work.publish(run, result)
            self._work = None
        return True

    def _is_due(self, run: TrainingRun) -> bool:
        """Whether the quick learner is to be trained anew; looked at a few times a second."""
        if time.monotonic() - self._labels_checked_at < SHORT_SECONDS:
            return False
        self._labels_checked_at = time.monotonic()
        run.read_labels()
        fits = run.fits(identity_of(self._project, self._options))
        return not fits or run.is_due()

    def _waiting_for(self, run: TrainingRun) -> str:
        """What the trainer waits for, and why the gain of more labels is unknown."""
        advice = advise(self._project.models.all(), run.query_size)
        reason = f" {advice.reason}" if isinstance(advice, Unknown) else ""
        classes = set(run.labels().values())
        needs = " Training needs labels of two classes." if len(classes) < 2 else ""
        refined = f" {self._refined_reason}" if self._refined_reason else ""
        gone = run.features.refused if run.features else 0
        left_out = (
            f" {counted(gone, 'image is', 'images are')} left out: the file has gone or changed since the import."
            if gone
            else ""
        )
        answers = f"Waiting for answers: {run.changed_labels()} new since the last training."
        return f"{answers}{needs}{reason}{refined}{left_out}{self._about_zero_shot()}"

    def _about_zero_shot(self) -> str:
        if self._zero_shot is not None and self._zero_shot.problem:
            return f" {self._zero_shot.problem}"
        made = self._project.predictions.zero_shot()
        return "" if made is None else f" {zero_shot_sentence(made)}"

    def _open_run(self, identity: RunIdentity) -> TrainingRun:
        """The open run if it still fits; otherwise the newest stored one that fits, or a new one."""
        self._classes_changed = False
        if self._run is not None and not self._run.fits(identity):
            self._close_run()
        if self._run is None:
            self._run = TrainingRun(self._project, identity, self._reporter, self._features)
            self._reporter.first_round = self._run.first_round
        return self._run

    def _close_run(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None
            self._work, self._refined_labels, self._refined_reason = None, {}, ""

    def _is_interrupted(self) -> bool:
        """Called after every step: whether to stop, or to start another run because the classes have changed."""
        if self._is_stopping():
            return True
        self._answer_searches()
        if time.monotonic() - self._classes_checked_at > REPORT_SECONDS:
            self._classes_checked_at = time.monotonic()
            class_ids = tuple(each.id for each in self._project.classes.all())
            self._classes_changed = self._run is not None and class_ids != self._run.class_ids
        return self._classes_changed

    def _answer_searches(self) -> None:
        """Answer searches by words between two steps; looked at a few times a second."""
        now = time.monotonic()
        if self._features is not None and now - self._searches_checked_at > SHORT_SECONDS:
            self._searches_checked_at = now
            answer_searches(self._project, self._features)

    def _wait(self) -> None:
        """Wait until something in the project changes."""
        while not self._is_stopping() and self._world() == self._seen:
            time.sleep(POLL_SECONDS)

    def _world(self) -> tuple[int, int, bool]:
        """What a turn depends on: changes of the project, images with features, and whether these are all."""
        if self._features is None:
            return self._project.changes(), 0, True
        features = self._features
        return self._project.changes(), features.count(), features.is_complete or features.has_failed
