"""A course: one session of training on fixed classes, in ``.aral/session-N``, taken up where it was left.

Classes that are added or merged, or other options, begin a new course on the same labels; the figures of the
old one stay in the project.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import numpy as np
import torch
from jaxtyping import Int64

from aral.acquisition import PoolView, make_acquisition
from aral.annotation import Project
from aral.annotation.presets import first_query_size
from aral.annotation.sessions import Identity, open_session
from aral.annotation.training_images import Answers, ProjectImages, read_images
from aral.benchmarking import make_learner
from aral.durable import Json
from aral.loop import Observer, Pace, Session, Strategy
from aral.loop.training_set import DOCUMENT as TRAINING_SET
from aral.loop.training_set import ood_images
from aral.randomness import Stream
from aral.types import Answer, ClassAnswer, LabelledSet, NoClass, NoClassAnswer, Selection

PUBLISHED = "published"
QUEUED = "queued"

MOST_RANKED = 4000
"""Images that are looked at for the reserve: it need not be the best, only good and soon there."""

RESERVED_ROUNDS = 5
CHECKPOINT_SECONDS = 30.0


class Course:
    """A session with what it needs around it; close it before another one is opened.

    Args:
        project: whose images and answers.
        identity: what it is on.
        observer: hears of progress.

    Raises:
        BadInput: an option does not fit, another process trains, or a file was damaged.
    """

    def __init__(self, project: Project, identity: Identity, observer: Observer) -> None:
        self.identity = identity
        self.project = project
        self.images: ProjectImages = read_images(project)
        self._left_over: frozenset[int] = frozenset()
        self.store, self.number, self.spec = open_session(project, identity, self.images)
        try:
            torch.set_num_threads(self.spec.threads)
            stream = Stream.root(self.spec.seed).child("labelling", self.number)
            self._stream = stream.child("reserve")
            learner = make_learner(
                self.spec.learner,
                self.images.pool,
                self.class_count,
                stream.child("learner"),
            )
            self.strategy = Strategy(
                make_acquisition(self.spec.acquisition), make_acquisition(self.spec.rounds.first_query)
            )
            self.session = Session(
                self.store,
                self.images.pool,
                self.class_count,
                learner,
                self.strategy,
                stream.child("session"),
                Pace(CHECKPOINT_SECONDS),
                observer,
            )
        except BaseException:
            self.store.close()
            raise

    def __enter__(self) -> Course:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()

    @property
    def class_ids(self) -> tuple[int, ...]:
        """The classes in the order of the classifier's outputs."""
        return self.identity.class_ids

    @property
    def class_count(self) -> int:
        """K."""
        return len(self.identity.class_ids)

    @property
    def first_round(self) -> int:
        """The number of this course's first round among all rounds of the project."""
        return _number(self.store.setting("first round"))

    @property
    def query_size(self) -> int:
        """Labels a round."""
        return self.spec.rounds.query_size

    def fits(self, identity: Identity) -> bool:
        """Whether it is on these classes and options, and its pool is still that of the project."""
        if identity != self.identity:
            return False
        now = np.setdiff1d(self.project.labelable_ids(), self.project.estimate_slice())
        # A file that went is no reason to begin again: its pixels are there.
        return bool(np.isin(now, self.images.pool.ids).all())

    # Answers

    def take_in(self, answers: Answers) -> None:
        """Bring the session's answers to what people say now; what they took back is taken back.

        Images that an earlier round has asked for and nobody has answered are closed as skipped, so that the
        session goes on without them; the next model may ask for them again.
        """
        wanted = answers.told(self.class_ids, self.images.pool)
        self._left_over = self._unanswered(wanted)
        for image_id in self._left_over:
            wanted[image_id] = NoClassAnswer(image_id, NoClass.SKIP)
        have = {answer.image_id: answer for answer in self.store.answers()}
        for image_id in have.keys() - wanted.keys():
            self._forget(image_id)
        news: list[Answer] = [answer for image_id, answer in wanted.items() if have.get(image_id) != answer]
        if news:
            self.session.tell(news, "people")

    def _unanswered(self, answered: dict[int, Answer]) -> frozenset[int]:
        """Images of earlier rounds' queries without an answer."""
        queries = [self.store.query(number) for number in range(self.session.round_number)]
        asked = {int(image_id) for query in queries if query is not None for image_id in query.ids}
        return frozenset(asked - answered.keys())

    def _forget(self, image_id: int) -> None:
        """Take back every answer to an image, the newest first."""
        rows = [row for row in self.store.answer_history() if row.image_id == image_id]
        cancelled = {row.cancels for row in rows}
        for row in rows:
            if row.kind != "undo" and row.seq not in cancelled:
                self.store.undo(image_id, f"forget-{row.seq}")

    # What is to be done

    def is_due(self) -> bool:
        """Whether a training is under way, or the answers are in that the next one waits for."""
        number = self.session.round_number
        if self.store.document(number, TRAINING_SET) is not None:
            return True
        news = self.news()
        if not news or (number == 0 and len(set(self.labels().values())) < 2):
            return False
        wanted = self.query_size if number else first_query_size(self.class_count, self.query_size)
        asked = self.store.document(number, QUEUED) is not None
        return news >= wanted or (asked and self.project.queue_left() == 0) or self._budget_is_spent()

    def _budget_is_spent(self) -> bool:
        """Whether nobody is to answer more, and the last training knew only a part of the labels."""
        budget, counts = self.project.settings().budget, self.project.answered_count()
        if budget is None or counts.labelled < budget:
            return False
        return len(self.trained_on(self.session.round_number - 1)) + counts.for_estimate < budget

    def labels(self) -> dict[int, int]:
        """Class index by image, as the session has them now."""
        return {
            answer.image_id: answer.class_index
            for answer in self.store.answers()
            if isinstance(answer, ClassAnswer)
        }

    def news(self) -> int:
        """How many labels differ from those of the last training: new, changed or gone."""
        before, now = self.trained_on(self.session.round_number - 1), self.labels()
        return sum(before.get(image) != now.get(image) for image in before.keys() | now.keys())

    def trained_on(self, number: int) -> dict[int, int]:
        """Class index by image of the labels that a round was trained on; empty for a round that was not."""
        body = self.store.document(number, TRAINING_SET)
        if not isinstance(body, dict):
            return {}
        return dict(zip(body["ids"], body["classes"], strict=True))

    def is_published(self) -> bool:
        """Whether what the last training came to is in the project."""
        number = self.session.round_number - 1
        return number < 0 or self.store.document(number, PUBLISHED) is not None

    def mark_published(self, model_number: int) -> None:
        """Note that what the last training came to is in the project."""
        self.store.record_document(self.session.round_number - 1, PUBLISHED, model_number)

    def has_asked(self) -> bool:
        """Whether this round's query is in the project's queue."""
        return self.store.document(self.session.round_number, QUEUED) is not None

    # Choosing

    def ask(self, stopping: Callable[[], bool]) -> None:
        """Choose this round's images and put them into the project's queue, with a reserve behind them.

        Raises:
            Stopped: ``stopping`` said so while the training before labels was under way.
        """
        number = self.session.round_number
        open_ids = self._candidates()
        recorded = self.store.query(number)
        if recorded is None and not open_ids.size:
            self.store.record_document(number, QUEUED, False)
            return
        size = self.query_size if number else first_query_size(self.class_count, self.query_size)
        selection = recorded or self.session.ask(min(size, open_ids.size), stopping, self._left_over)
        reserve = self._reserve(selection)
        self.project.set_queue(
            self.first_round + number,
            selection.ids,
            selection.scores,
            selection.reasons,
            selection.acquisition,
            reserve.ids,
            reserve.scores,
        )
        self.store.record_document(number, QUEUED, True)

    def _candidates(self) -> Int64[np.ndarray, " n"]:
        answered = {answer.image_id for answer in self.store.answers()} - self._left_over
        return self.images.pool.without(np.array(sorted(answered), dtype=np.int64)).ids

    def _reserve(self, selection: Selection) -> Selection:
        """The next best of the same acquisition; nothing in the first round."""
        number = self.session.round_number
        candidates = np.setdiff1d(self._candidates(), selection.ids)
        labels = self.labels()
        if not number or not candidates.size or not labels:
            return selection.only(np.empty(0, dtype=np.int64))
        stream = self._stream.child(number)
        ranked = candidates[np.argsort(stream.uniform(candidates))[:MOST_RANKED]]
        needs = self.strategy.acquisition.needs
        learner = self.session.learner
        ids = np.array(sorted(labels), dtype=np.int64)
        classes = np.array([labels[int(image_id)] for image_id in ids], dtype=np.int64)
        labelled = LabelledSet(self.images.pool.subset(ids), classes, self.class_count)
        learner.set_labels(labelled, ood_images(self.store.answers()))
        view = PoolView(
            learner.predict(self.images.pool.subset(ranked), needs, stream.child("unlabelled passes")),
            learner.predict(labelled.images, needs, stream.child("labelled passes")),
            labelled.classes,
            self.class_count,
        )
        count = min(RESERVED_ROUNDS * self.query_size, ranked.size)
        return self.strategy.acquisition(view, count, stream.child("choice"))


def _number(value: Json) -> int:
    assert isinstance(value, int)
    return value
