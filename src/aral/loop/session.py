"""The ask/tell core: a session proposes images, takes answers, trains and measures, all on one store.

People and benchmarks drive the same object. What was asked, answered or measured is in the store at once;
weights come back from a checkpoint or, being a function of seed and labels, by training again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable

import numpy as np
from jaxtyping import Int64

from aral.acquisition import Need, PoolView, Predictions
from aral.acquisition.interface import check_query_size
from aral.errors import BadInput
from aral.learners.evaluation import Evaluation, evaluate
from aral.learners.interface import Learner
from aral.loop import Store, training_set
from aral.loop.observer import Observer
from aral.loop.pictures import save_pictures
from aral.loop.rows import Stage
from aral.loop.strategy import Strategy, check_strategy
from aral.loop.training import PRETRAINING, Pace, Progress
from aral.loop.validation import Validation, Validator
from aral.randomness import Stream
from aral.representations.components import principal_components
from aral.types import Answer, ImageSet, LabelledSet, NoClassAnswer, Selection

FIRST_FEATURES = 50
DIAGNOSED_IMAGES = 2000


class Session:
    """Active learning on one pool and one store.

    Args:
        store: the run folder's store; whatever it holds is taken up.
        pool: all images; the session never sees their labels.
        class_count: K, at least 2.
        learner: newly made.
        strategy: how images are chosen.
        stream: the run's stream.
        pace: how often to save.
        observer: hears of progress.
        validation: a share of the labels that is kept from training; ``None`` keeps none.

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
        pace: Pace | None = None,
        observer: Observer | None = None,
        validation: Validation | None = None,
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
        self._strategy = strategy
        self._stream = stream
        self._observer = observer or Observer()
        self._validator: Validator | None = None
        if validation is not None:
            kept = stream.child("validation")
            self._validator = Validator(validation, store, learner, pool, class_count, kept, self._tell)
        after_step = [self._validator.after_step] if self._validator else []
        self._progress = Progress(store, learner, pace or Pace(), self._observer, *after_step)
        learner.set_pool(pool, stream.child("pool"))
        self._progress.restore(self._start_round)

    @property
    def round_number(self) -> int:
        """The round that is being queried, labelled or trained, from 0."""
        return sum(1 for row in self.store.rounds() if row.stage is not None)

    def labelled(self) -> LabelledSet:
        """Every image with a class, as the store has it now."""
        ids, classes = self.store.labels()
        return LabelledSet(self.pool.subset(ids), classes, self.class_count)

    def ask(
        self, query_size: int, stopping: Callable[[], bool] = lambda: False, again: Collection[int] = ()
    ) -> Selection:
        """The images to label in this round; asked again, the same ones.

        A learner that can begin without labels is trained before the first query.

        Args:
            query_size: how many; a query that is recorded already keeps its size.
            stopping: asked after every step of that training; true stops with everything saved.
            again: images that may be asked for although they have an answer, such as a skip.

        Raises:
            BadInput: fewer images than this are left.
            Stopped: ``stopping`` said so.
        """
        recorded = self.store.query(self.round_number)
        if recorded is not None:
            return recorded
        answered = {answer.image_id for answer in self.store.answers()}.difference(again)
        candidates = self.pool.without(np.array(sorted(answered), dtype=np.int64))
        check_query_size(query_size, len(candidates))
        if self.round_number == 0:
            self._begin(stopping)
        self._observer.stage(self.round_number, "querying")
        started = time.monotonic()
        selection = self._choose(candidates, query_size)
        self.store.record_query(self.round_number, selection)
        self._record(self.round_number, {"query seconds": time.monotonic() - started})
        return selection

    def waiting(self) -> Int64[np.ndarray, " n"]:
        """Ids of this round's query that have no answer yet."""
        return self.store.unanswered(self.round_number)

    def tell(self, answers: Iterable[Answer], annotator: str) -> None:
        """Record answers, durably; a class outside 0..K-1 is refused.

        Raises:
            BadInput: a class or an image does not exist; none of the answers is recorded.
        """
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
        self.store.record_answers(events, self.round_number, annotator)

    def fit(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """Train this round on all labels given so far; goes on where a killed training was.

        Args:
            stopping: asked after every step; true stops with everything saved.

        Raises:
            BadInput: there is no label yet.
            Stopped: ``stopping`` said so.
            RunFailed: training is not finite.
        """
        number = self.round_number
        training_set.fix(self.store, number, self._validator)
        self._observer.stage(number, "training")
        started = time.monotonic()
        self._progress.finish_round(number, self._start_round, stopping)
        self._record(number, {"train seconds": time.monotonic() - started})
        self.store.record_stage(number, Stage.TRAINED)

    def evaluate(self, test: LabelledSet) -> Evaluation:
        """Measure the last trained round on a test set and record the figures; nothing is chosen by them.

        Raises:
            BadInput: nothing has been trained yet.
        """
        number = self.round_number - 1
        if number < 0:
            raise BadInput("Nothing has been trained yet.", "Call fit() first.")
        self.repair()
        self._observer.stage(number, "evaluating")
        result = evaluate(self.learner, test)
        found = training_set.read(self.store, number, self.pool, self.class_count)
        labelled, unlabelled = found.labelled, found.unlabelled
        diagnosed = unlabelled.ids[
            np.argsort(self._stream.child("diagnosed").uniform(unlabelled.ids))[:DIAGNOSED_IMAGES]
        ]
        numbers = result.numbers | self.learner.diagnose(labelled.images, unlabelled.subset(diagnosed))
        numbers["classes seen"] = float(np.unique(labelled.classes).size)
        spent = len(labelled)
        if self._validator is not None:
            numbers |= self._validator.numbers(number, test)
            spent += len(self._validator.images(number))
        self._warn_of_collapse(number, numbers)
        save_pictures(self.store, number, self.pool, self.learner, self._stream.child("pictures"))
        self.store.record_document(number, "confusion", result.confusion.tolist())
        self._record(number, numbers)
        self.store.record_stage(number, Stage.EVALUATED)
        self._observer.evaluated(number, spent, numbers)
        return result

    def repair(self) -> None:
        """Bring the learner to the end of the last trained round, training again what a damage took."""
        if self.round_number:
            self._progress.finish_round(self.round_number - 1, self._start_round, lambda: False)

    def _begin(self, stopping: Callable[[], bool]) -> None:
        """Train on the pool alone, as far as that was not done; nothing for a learner that needs labels."""
        if self.learner.pretraining_steps:
            self._observer.stage(PRETRAINING, "training before labels")
            started = time.monotonic()
            self._progress.finish_round(PRETRAINING, self._start_round, stopping)
            self._record(PRETRAINING, {"train seconds": time.monotonic() - started})

    def _choose_first(self, candidates: ImageSet, query_size: int, stream: Stream) -> Selection:
        first = self._strategy.first
        if self.learner.pretraining_steps:
            known = self.learner.predict(candidates, first.needs, stream.child("unlabelled passes"))
        else:
            features = principal_components(candidates, FIRST_FEATURES, stream.child("features"))
            known = Predictions(candidates.ids, features=features)
        nobody = np.empty(0, dtype=np.int64)
        nothing = Predictions(nobody, {need: known.get(need)[:0] for need in known.needs & {Need.FEATURES}})
        return first(PoolView(known, nothing, nobody, self.class_count), query_size, stream)

    def _choose(self, candidates: ImageSet, query_size: int) -> Selection:
        stream = self._stream.child("query", self.round_number)
        if self.round_number == 0:
            return self._choose_first(candidates, query_size, stream)
        self.repair()
        labelled, needs = self._trainable(self.labelled()), self._strategy.acquisition.needs
        self.learner.set_labels(labelled, training_set.ood_images(self.store.answers()))
        view = PoolView(
            self.learner.predict(candidates, needs, stream.child("unlabelled passes")),
            self.learner.predict(labelled.images, needs, stream.child("labelled passes")),
            labelled.classes,
            self.class_count,
        )
        return self._strategy.acquisition(view, query_size, stream)

    def _trainable(self, labelled: LabelledSet) -> LabelledSet:
        """Without the images that are kept for validation: they decide nothing but which weights are best."""
        if self._validator is None:
            return labelled
        rest = ~self._validator.kept(labelled.ids)
        images = labelled.images.subset(labelled.ids[rest])
        return LabelledSet(images, labelled.classes[rest], labelled.class_count)

    def _tell(self, kind: str, message: str) -> None:
        self._progress.tell(kind, message)

    def _start_round(self, number: int) -> None:
        if number == PRETRAINING:
            self.learner.start_pretraining(self._stream.child("before labels"))
            return
        found = training_set.read(self.store, number, self.pool, self.class_count)
        self.learner.set_labels(found.labelled, found.ood)
        self.learner.start_round(
            number, found.labelled, found.unlabelled, self._stream.child("round", number)
        )

    def _record(self, number: int, values: dict[str, float]) -> None:
        self.store.record_metrics(number, self.learner.steps_per_round, values)

    def _warn_of_collapse(self, number: int, numbers: dict[str, float]) -> None:
        if "latent std" in numbers and (numbers["latent std"] < 0.1 or numbers["latent KL"] < 1.0):
            self._progress.tell(
                "collapsed latents",
                f"Round {number}: the codes hardly depend on the image (std of the mean "
                f"{numbers['latent std']:.3f}, KL {numbers['latent KL']:.2f} nats): the sampler is blind. "
                "Raise model.weights.trd or lower model.weights.beta.",
            )
