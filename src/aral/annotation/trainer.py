"""Training beside labelling: takes answers in, trains when enough of them are there, says what is to be asked next.

It talks to the page through the project alone, so that neither waits for the other, and it may be killed at any
moment: every piece of work is either noted as done or done again with the same outcome.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from aral.annotation import Phase, Project, TrainingState
from aral.annotation.advice import Unknown, advise
from aral.annotation.course import Course
from aral.annotation.options import TrainingOptions
from aral.annotation.publishing import measure_again, publish
from aral.annotation.sessions import Identity, identity_of
from aral.annotation.training_images import Answers, read_answers
from aral.errors import AralError, Stopped
from aral.loop import Observer
from aral.loop.training import PRETRAINING
from aral.words import counted

LOOK_SECONDS = 0.3
SAY_SECONDS = 1.0


class Reporter(Observer):
    """Tells the project what the trainer does, about once a second.

    Args:
        project: is told.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._said = TrainingState("off")
        self._at = 0.0
        self.first_round = 0

    def say(self, phase: Phase, message: str, number: int | None = None, fraction: float = 0.0) -> None:
        """Say it now, unless it was said already."""
        state = TrainingState(phase, number, fraction, message)
        if state != self._said:
            self._project.models.set_training_state(state)
            self._said, self._at = state, time.monotonic()

    def step(self, round_number: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """``step`` of ``steps`` are done."""
        if time.monotonic() - self._at < SAY_SECONDS:
            return
        before = round_number == PRETRAINING
        message = "Learning what the images look like." if before else "Learning from the labels."
        number = self.first_round + max(0, round_number)
        self.say("training", message, number, step / steps)


class Trainer:
    """Trains one project.

    Args:
        project: whose images and answers.
        options: how it trains.
        stopping: asked again and again; true stops with everything saved.
    """

    def __init__(
        self, project: Project, options: TrainingOptions, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._project = project
        self._options = options
        self._asked_to_stop = stopping
        self._reporter = Reporter(project)
        self._course: Course | None = None
        self._looked_at = 0.0
        self._changed_classes = False
        self._failed_on: Answers | None = None

    def run(self) -> None:
        """Work until ``stopping`` says so."""
        try:
            while not self._asked_to_stop():
                if not self.turn():
                    self._wait()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the session and say that nobody trains any more."""
        self._drop_course()
        self._reporter.say("off", "Training is off.")

    def turn(self) -> bool:
        """One piece of work; False when there is none until somebody answers."""
        try:
            return self._turn()
        except Stopped:
            return not self._asked_to_stop()
        except AralError as error:
            # What failed will fail again until something is different: wait for other answers.
            self._drop_course()
            self._failed_on = read_answers(self._project)
            self._reporter.say("failed", f"{error.problem} {error.hint}".strip())
            return False

    def _turn(self) -> bool:
        if not self._project.images.count():
            self._reporter.say("idle", "Waiting for images.")
            return False
        identity = identity_of(self._project, self._options)
        if len(identity.class_ids) < 2:
            self._reporter.say("idle", "Waiting for a second class.")
            return False
        answers = read_answers(self._project)
        if answers == self._failed_on:
            return False
        self._failed_on = None
        course = self._take_up(identity)
        course.take_in(answers)
        return self._advance(course, answers)

    def _advance(self, course: Course, answers: Answers) -> bool:
        """The next thing that is to be done in a course, if any."""
        number = course.first_round + course.session.round_number
        if not course.is_published():
            self._reporter.say("choosing", "Looking at all images.", number - 1)
            publish(course, answers)
        elif course.is_due():
            count = len(course.labels())
            self._reporter.say("training", f"Learning from {counted(count, 'label')}.", number)
            course.session.fit(self._is_interrupted)
        elif not course.has_asked():
            self._reporter.say("choosing", "Choosing the next images.", number)
            course.ask(self._is_interrupted)
        elif course.is_published() and measure_again(course, answers):
            pass
        else:
            self._reporter.say("idle", self._waiting_for(course), number)
            return False
        return True

    def _waiting_for(self, course: Course) -> str:
        """What the trainer waits for, and what cannot be told yet."""
        told = advise(self._project.models.all(), course.query_size)
        reason = f" {told.reason}" if isinstance(told, Unknown) else ""
        shown = set(course.labels().values())
        needs = " Training needs labels of two classes." if len(shown) < 2 else ""
        return f"Waiting for answers: {course.news()} new since the last training.{needs}{reason}"

    def _take_up(self, identity: Identity) -> Course:
        """The course for these classes and images, opened when it is not the one at hand."""
        self._changed_classes = False
        if self._course is not None and not self._course.fits(identity):
            self._drop_course()
        if self._course is None:
            self._course = Course(self._project, identity, self._reporter)
            self._reporter.first_round = self._course.first_round
        return self._course

    def _drop_course(self) -> None:
        if self._course is not None:
            self._course.__exit__(None, None, None)
            self._course = None

    def _is_interrupted(self) -> bool:
        """Asked after every step: to stop, or because the classes are others now."""
        if self._asked_to_stop():
            return True
        if time.monotonic() - self._looked_at > SAY_SECONDS:
            self._looked_at = time.monotonic()
            course = self._course
            live = tuple(each.id for each in self._project.classes.all())
            self._changed_classes = course is not None and live != course.class_ids
        return self._changed_classes

    def _wait(self) -> None:
        """Wait for something to change."""
        before = self._project.changes()
        while not self._asked_to_stop() and self._project.changes() == before:
            time.sleep(LOOK_SECONDS)
