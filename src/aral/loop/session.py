"""The ask/tell core: a session proposes images, takes answers, trains and evaluates, all on one store.

Annotators and benchmarks drive the same object. A query, an answer or a metric is in the store when its method
returns; weights come back from a checkpoint or, being a function of seed and labels, by training again.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from aral.acquisition import Need, PoolView, Predictions
from aral.acquisition.interface import check_query_size
from aral.errors import BadInput
from aral.learners.evaluation import Evaluation, class_recalls, evaluate
from aral.learners.interface import Learner
from aral.loop.health import D_LOSS, generator_warning, latent_warning
from aral.loop.labels import CurrentLabels, LabelSource
from aral.loop.observer import Observer
from aral.loop.pictures import save_pictures
from aral.loop.run_store import Stage, Store
from aral.loop.strategy import UNTRAINED, Strategy, check_strategy
from aral.loop.training import PRETRAINING, Pace, Training, report_event
from aral.loop.training_set import read_training_set, record_training_set
from aral.loop.validation import Validation, Validator
from aral.randomness import Stream
from aral.representations.components import principal_components
from aral.types import NO_IDS, Answer, Ids, ImageSet, LabelledSet, NoClassAnswer, Selection

FIRST_FEATURES = 50
DIAGNOSED_IMAGES = 2000
GENERATOR_EVENT = "generator"
AGAINST_G = "tell real from generated"
"""The name of D's loss against generated images, of every learner that has one."""


@dataclass(frozen=True)
class SessionOptions:
    """What a session may be given besides its data and its method.

    Attributes:
        pace: how often to save and to log.
        observer: is told of progress.
        validation: a share of the labels that is kept from training; None keeps none.
        labels: where labels come from; None for what :meth:`Session.tell` is given.
    """

    pace: Pace = field(default_factory=Pace)
    observer: Observer = field(default_factory=Observer)
    validation: Validation | None = None
    labels: LabelSource | None = None


class Session:
    """Active learning on one pool and one store.

    Args:
        store: the run folder's store; the session continues from what it holds.
        pool: all images; the session never sees their labels.
        class_count: K, at least 2.
        learner: newly made.
        strategy: how images are chosen.
        stream: the run's stream.
        options: pace, observer, validation and another source of labels.

    Raises:
        BadInput: strategy and learner do not fit, the pool is empty, or there are fewer than two classes.
    """

    def __init__(
        self,
        store: Store,
        pool: ImageSet,
        class_count: int,
        learner: Learner,
        strategy: Strategy,
        stream: Stream,
        options: SessionOptions = SessionOptions(),
    ) -> None:
        check_strategy(strategy, learner)
        if len(pool) == 0:
            raise BadInput("The pool is empty.", "Give at least one image.")
        if class_count < 2:
            raise BadInput(
                f"A classifier needs two classes or more, not {class_count}.", "Name more classes."
            )
        self.store = store
        self.pool = pool
        self.class_count = class_count
        self.learner = learner
        self.labels = CurrentLabels(options.labels or store.labels)
        self._takes_answers = options.labels is None
        self._strategy = strategy
        self._stream = stream
        self._observer = options.observer
        self._validator: Validator | None = None
        if options.validation is not None:
            held_out = stream.child("validation")
            self._validator = Validator(
                options.validation, store, learner, pool, class_count, held_out, options.observer
            )
        after_step = [self._validator.after_step] if self._validator else []
        self._training = Training(
            store, learner, self._start_round, options.pace, self._observer, *after_step
        )
        learner.set_pool(pool, stream.child("pool"))
        self._training.restore()
        if learner.remark and all(event.message != learner.remark for event in store.events()):
            report_event(store, self._observer, "settings", learner.remark)

    @property
    def round_number(self) -> int:
        """The round that is being queried, labelled or trained, from 0."""
        return sum(1 for row in self.store.rounds() if row.stage is not None)

    def labelled(self) -> LabelledSet:
        """Every image of the pool that has a class now."""
        self.labels.refresh()
        ids, classes = self.labels.labels()
        return LabelledSet(self.pool.subset(ids), classes, self.class_count)

    def candidates(self) -> ImageSet:
        """The images that may be queried: those without an answer of any kind, also if they were queried before."""
        self.labels.refresh()
        return self.pool.without(self.labels.answered())

    def ask(self, query_size: int, stopping: Callable[[], bool] = lambda: False) -> Selection:
        """The images to label in this round; a second call returns the same ones.

        A learner with pretraining is pretrained before the first query.

        Args:
            query_size: how many; a query that is recorded already keeps its size.
            stopping: called after every step of pretraining; true stops with everything saved.

        Raises:
            BadInput: fewer images than this are left, or the acquisition chose an image it was not given.
            Stopped: ``stopping`` returned true.
        """
        number = self.round_number
        recorded = self.store.query(number)
        if recorded is not None:
            return recorded
        candidates = self.candidates()
        check_query_size(query_size, len(candidates))
        if number == 0:
            self._pretrain(stopping)
        self._observer.stage(number, "querying")
        started = time.monotonic()
        selection = self._choose(candidates, query_size)
        unknown = np.setdiff1d(selection.ids, candidates.ids)
        if unknown.size:
            raise BadInput(
                f"Acquisition '{selection.acquisition}' chose image {unknown[0]}, which is not unlabelled.",
                "Choose among the ids of the pool view.",
            )
        self.store.record_query(number, selection)
        self._record(number, {"query seconds": time.monotonic() - started})
        return selection

    def waiting(self) -> Ids:
        """Ids of this round's query that have no answer yet, in the order of the query."""
        query = self.store.query(self.round_number)
        if query is None:
            return NO_IDS
        self.labels.refresh()
        return query.ids[~np.isin(query.ids, self.labels.answered())]

    def tell(self, answers: Iterable[Answer], annotator: str) -> None:
        """Append answers to the log of labels; they are on the disk when this returns.

        Raises:
            BadInput: a class or an image does not exist, so none of the answers is recorded; or the labels of
                this session come from elsewhere.
        """
        if not self._takes_answers:
            raise BadInput("The labels of this session come from a project.", "Answer in the project.")
        events = [(answer, uuid.uuid4().hex) for answer in answers]
        for answer, _ in events:
            if not isinstance(answer, NoClassAnswer) and not 0 <= answer.class_index < self.class_count:
                raise BadInput(
                    f"Image {answer.image_id} was given class {answer.class_index}, but there are "
                    f"{self.class_count} classes.",
                    f"Use 0 to {self.class_count - 1}.",
                )
            if answer.image_id not in self.pool.ids:
                raise BadInput(f"The pool has no image {answer.image_id}.", "Answer the images of ask().")
        self.store.labels.record(events, self.round_number, annotator)

    def fit(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """Train this round on all labels given so far; a killed training is resumed.

        Args:
            stopping: called after every step; true stops with everything saved.

        Raises:
            BadInput: there is no label yet.
            Stopped: ``stopping`` returned true.
            RunFailed: training is not finite.
        """
        number = self.round_number
        record_training_set(self.store, number, self.labels, self._validator)
        self._observer.stage(number, "training")
        self._training.finish_round(number, stopping)
        self._record(number, {"train seconds": self._training.position.seconds})
        self.store.record_stage(number, Stage.TRAINED)

    def evaluate(self, test: LabelledSet) -> Evaluation:
        """Evaluate the last trained round on a test set and record the metrics; nothing is chosen by them.

        Raises:
            BadInput: nothing has been trained yet.
        """
        number = self.round_number - 1
        if number < 0:
            raise BadInput("Nothing has been trained yet.", "Call fit() first.")
        self.repair()
        self._observer.stage(number, "evaluating")
        result = evaluate(self.learner, test)
        found = read_training_set(self.store, number, self.pool, self.class_count)
        labelled, unlabelled = found.labelled, found.unlabelled
        diagnosed = unlabelled.ids[
            np.argsort(self._stream.child("diagnosed").uniform(unlabelled.ids))[:DIAGNOSED_IMAGES]
        ]
        numbers = result.numbers | self.learner.diagnose(labelled.images, unlabelled.subset(diagnosed))
        numbers |= self._generator_numbers(number, labelled)
        spent = len(labelled)
        if self._validator is not None:
            numbers |= self._validator.metrics(number, test)
            spent += len(self._validator.images(number))
        self._warn(number, numbers)
        if not self.pool.is_features:
            save_pictures(self.store, number, self.pool, self.learner, self._stream.child("pictures"))
        self.store.record_document(number, "confusion", result.confusion.tolist())
        self._record(number, numbers)
        self.store.record_stage(number, Stage.EVALUATED)
        recalls = enumerate(class_recalls(result.confusion).tolist())
        of_classes = {f"recall {index}": value for index, value in recalls if not math.isnan(value)}
        self._observer.evaluated(number, spent, numbers | of_classes)
        return result

    def generator_signs(self) -> str:
        """What shows that the generator of the last trained round is of no use; empty where nothing does.

        For a session without a test set: no picture is saved and nothing is recorded.
        """
        number = self.round_number - 1
        if number < 0:
            return ""
        found = read_training_set(self.store, number, self.pool, self.class_count)
        return generator_warning(self._generator_numbers(number, found.labelled))

    def repair(self) -> None:
        """Bring the learner to the end of the last trained round; steps of lost checkpoints are trained again."""
        if self.round_number:
            self._training.finish_round(self.round_number - 1, lambda: False)

    def rank(self, images: ImageSet, count: int, stream: Stream) -> Selection:
        """The best ``count`` of some candidates by the acquisition, with the current learner and labels.

        Args:
            images: the candidates.
            count: how many.
            stream: decides Monte-Carlo passes (its child ``unlabelled passes``).
        """
        return self._select(images, count, stream, stream.child("choice"))

    def _pretrain(self, stopping: Callable[[], bool]) -> None:
        """Train on the pool alone, as far as that was not done; nothing for a learner that needs labels."""
        if self.learner.pretraining_steps:
            self._observer.stage(PRETRAINING, "pretraining")
            self._training.finish_round(PRETRAINING, stopping)
            self._record(PRETRAINING, {"train seconds": self._training.position.seconds})

    def _choose(self, candidates: ImageSet, query_size: int) -> Selection:
        stream = self._stream.child("query", self.round_number)
        if self.round_number == 0:
            return self._choose_first(candidates, query_size, stream)
        return self._select(candidates, query_size, stream, stream)

    def _choose_first(self, candidates: ImageSet, query_size: int, stream: Stream) -> Selection:
        first = self._strategy.first
        if self.learner.pretraining_steps:
            known = self.learner.predict(candidates, first.needs, stream.child("unlabelled passes"))
        else:
            known = self.learner.predict(
                candidates, first.needs & UNTRAINED, stream.child("unlabelled passes")
            )
            if Need.FEATURES in first.needs:
                features = principal_components(candidates, FIRST_FEATURES, stream.child("features"))
                known = known.joined({Need.FEATURES: features})
        nothing = Predictions(NO_IDS, {need: known.get(need)[:0] for need in known.needs & {Need.FEATURES}})
        return first(PoolView(known, nothing, NO_IDS, self.class_count), query_size, stream)

    def _select(self, candidates: ImageSet, count: int, stream: Stream, choice: Stream) -> Selection:
        """Choose by the acquisition of all queries but the first."""
        self.repair()
        acquisition = self._strategy.acquisition
        labelled = self._without_validation(self.labelled())
        self.learner.set_labels(labelled, self.labels.ood())
        passes = stream.child("unlabelled passes")  # of both, so that both have the same Monte-Carlo draws
        view = PoolView(
            self.learner.predict(candidates, acquisition.needs, passes),
            self.learner.predict(labelled.images, acquisition.needs, passes),
            labelled.classes,
            self.class_count,
        )
        return acquisition(view, count, choice)

    def _without_validation(self, labelled: LabelledSet) -> LabelledSet:
        """Images kept for validation decide nothing but which weights are best, so no query sees them."""
        if self._validator is None:
            return labelled
        rest = ~self._validator.is_kept(labelled.ids)
        images = labelled.images.subset(labelled.ids[rest])
        return LabelledSet(images, labelled.classes[rest], labelled.class_count)

    def _start_round(self, number: int) -> None:
        if number == PRETRAINING:
            self.learner.start_pretraining(self._stream.child("before labels"))
            return
        found = read_training_set(self.store, number, self.pool, self.class_count)
        self.learner.set_labels(found.labelled, found.ood)
        self.learner.start_round(
            number, found.labelled, found.unlabelled, self._stream.child("round", number)
        )

    def _record(self, number: int, values: dict[str, float]) -> None:
        self.store.record_metrics(number, self.learner.steps_per_round, values)

    def _generator_numbers(self, number: int, labelled: LabelledSet) -> dict[str, float]:
        """See :meth:`aral.learners.interface.Learner.check_generated`, and D's loss against generated images.

        The loss is the mean over the last third of the round; nothing where there is none.
        """
        numbers = self.learner.check_generated(labelled, self._stream.child("generated", number))
        numbers["classes seen"] = float(np.unique(labelled.classes).size)
        rows = [row for row in self.store.metrics(f"loss {AGAINST_G}") if row.round == number]
        last = [row.value for row in rows if 3 * row.step >= 2 * self.learner.steps_per_round]
        return numbers | ({D_LOSS: math.fsum(last) / len(last)} if last else {})

    def _warn(self, number: int, numbers: dict[str, float]) -> None:
        """Say what is wrong with the codes, and once in a run what is wrong with G; the report has every round."""
        if signs := latent_warning(numbers):
            report_event(
                self.store,
                self._observer,
                "collapsed latents",
                f"Round {number}: the latents hardly depend on the image ({signs}), so the sampler learns nothing from "
                "them. Raise learner.weights.trd or lower learner.weights.beta.",
            )
        said = any(event.kind == GENERATOR_EVENT for event in self.store.events())
        if not said and (signs := generator_warning(numbers)):
            report_event(
                self.store,
                self._observer,
                GENERATOR_EVENT,
                f"Round {number}: {signs}. Generated images then teach the classifier little. More steps may help "
                "(learner.training.steps); the report shows the images. Later rounds are only in the report.",
            )
