"""A training run of a project: one learner with fixed classes and options, stored in ``.aral/session-N``.

When the classes or options change, a new run starts with the same labels; the models of the old one stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch

from aral.acquisition import make_acquisition
from aral.annotation.project import Project
from aral.annotation.training_data import ProjectImages, ProjectLabels, labelled_set, read_images
from aral.annotation.training_folders import PREFIX, session_folders
from aral.annotation.training_options import TrainingOptions
from aral.annotation.training_presets import ProjectFacts, first_query_size, spec_for
from aral.benchmarking import RunSpec, make_learner, validated
from aral.durable import Json
from aral.errors import BadInput
from aral.loop import CurrentLabels, Observer, Pace, Session, SessionOptions, Store, Strategy
from aral.loop.training import CHECKPOINTS
from aral.loop.training_set import is_recorded, trained_classes
from aral.randomness import Stream
from aral.types import LabelledSet, Selection

MODEL_ADDED, QUEUED = "published", "queued"
"""Names of documents in the store: the round's model was added to the project; its query is in the queue."""

MOST_RANKED = 4000
"""Images that are ranked for the reserve, drawn at random: ranking all would take too long."""

RESERVED_ROUNDS = 5
CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True)
class RunIdentity:
    """What a training run depends on; when it changes, a new run is needed."""

    class_ids: tuple[int, ...]
    options: TrainingOptions
    side: int
    channels: int

    def as_json(self) -> dict[str, Json]:
        """The same for the store."""
        return {
            "class ids": list(self.class_ids),
            "options": self.options.model_dump(mode="json"),
            "side": self.side,
            "channels": self.channels,
        }

    def is_recorded_in(self, store: Store) -> bool:
        """Whether a store is that of this run; options that an older store lacks have their defaults."""
        recorded = store.setting("identity")
        if not isinstance(recorded, dict):
            return False
        defaults = TrainingOptions().model_dump(mode="json")
        return {**recorded, "options": {**defaults, **recorded["options"]}} == self.as_json()


def identity_of(project: Project, options: TrainingOptions) -> RunIdentity:
    """The identity of a run that would start now.

    Raises:
        BadInput: the project was never synced.
    """
    pixels = project.images.pixels()
    class_ids = tuple(each.id for each in project.classes.all())
    return RunIdentity(class_ids, options, pixels.side, pixels.channels)


class TrainingRun:
    """A session with what it needs around it; close it before another one is opened.

    Args:
        project: whose images and labels.
        identity: the newest run of the project is continued if it has this identity, otherwise a new one is started.
        observer: called with the progress.

    Raises:
        BadInput: an option does not fit, another process trains, or a file was damaged.
    """

    def __init__(self, project: Project, identity: RunIdentity, observer: Observer) -> None:
        self.identity = identity
        self.project = project
        self.images = read_images(project)
        self.store, self.number, self.spec = _open_run(project, identity, self.images)
        try:
            torch.set_num_threads(self.spec.threads)
            stream = Stream.root(self.spec.seed).child("labelling", self.number)
            self._stream = stream.child("reserve")
            learner = make_learner(
                self.spec.learner,
                self.images.pool,
                self.class_count,
                stream.child("learner"),
                self.spec.device,
            )
            strategy = Strategy(
                make_acquisition(self.spec.acquisition), make_acquisition(self.spec.rounds.first_query)
            )
            labels = ProjectLabels(project, self.class_ids, self.images.pool.ids.tolist(), "training")
            options = SessionOptions(Pace(CHECKPOINT_SECONDS), observer, labels=labels)
            self.session = Session(
                self.store,
                self.images.pool,
                self.class_count,
                learner,
                strategy,
                stream.child("session"),
                options,
            )
        except BaseException:
            self.store.close()
            raise
        self._estimate_labels = CurrentLabels(
            ProjectLabels(project, self.class_ids, self.images.everything.ids.tolist(), "estimate")
        )

    def __enter__(self) -> TrainingRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder."""
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
        """The number of this run's first round among all rounds of the project."""
        number = self.store.setting("first round")
        assert isinstance(number, int)
        return number

    @property
    def query_size(self) -> int:
        """Labels a round."""
        return self.spec.rounds.query_size

    def fits(self, identity: RunIdentity) -> bool:
        """Whether it has this identity, and its pool holds all images that can be labelled now."""
        if identity != self.identity:
            return False
        now = np.setdiff1d(self.project.images.labelable_ids(), self.project.estimate.image_ids())
        # An image whose file is gone may stay in the pool: its pixels are there.
        return bool(np.isin(now, self.images.pool.ids).all())

    # Labels

    def read_labels(self) -> None:
        """Read what is new in the annotation log."""
        self.session.labels.refresh()
        self._estimate_labels.refresh()

    def labels(self) -> dict[int, int]:
        """Class index by image of the labels for training, as they were last read."""
        return self.session.labels.classes()

    def estimate_labels(self) -> LabelledSet:
        """The labelled images of the estimate set, as they were last read."""
        return labelled_set(self._estimate_labels, self.images.everything, self.class_count)

    def changed_labels(self) -> int:
        """How many labels differ from those of the last training: new, changed or gone."""
        before, now = self.trained_labels(), self.labels()
        return sum(before.get(image) != now.get(image) for image in before.keys() | now.keys())

    def trained_labels(self) -> dict[int, int]:
        """Class index by image of the labels that the last trained round was trained on."""
        return trained_classes(self.store, self.session.round_number - 1)

    # What is to be done next

    def is_due(self) -> bool:
        """Whether a training is under way, or there are enough new labels for the next one."""
        number = self.session.round_number
        if is_recorded(self.store, number):
            return True
        changed, classes = self.changed_labels(), set(self.labels().values())
        # All labels may be gone after a training, for instance when their import was undone.
        if not changed or not classes or (number == 0 and len(classes) < 2):
            return False
        query_is_answered = self.has_query() and self.project.queue.remaining() == 0
        return changed >= self._next_query_size() or query_is_answered or self._budget_is_spent()

    def _next_query_size(self) -> int:
        if self.session.round_number:
            return self.query_size
        return first_query_size(self.class_count, self.query_size)

    def _budget_is_spent(self) -> bool:
        """Whether the budget is spent, and the last training used only a part of the labels."""
        budget, counts = self.project.settings.get().budget, self.project.labels.counts()
        if budget is None or counts.labelled < budget:
            return False
        return len(self.trained_labels()) + counts.for_estimate < budget

    def has_model(self) -> bool:
        """Whether the model of the last trained round was added to the project."""
        number = self.session.round_number - 1
        return number < 0 or self.store.document(number, MODEL_ADDED) is not None

    def record_model(self, model_number: int) -> None:
        """Record that the model of the last trained round was added to the project."""
        self.store.record_document(self.session.round_number - 1, MODEL_ADDED, model_number)

    def has_query(self) -> bool:
        """Whether this round's query is in the project's queue."""
        return self.store.document(self.session.round_number, QUEUED) is not None

    # Queries

    def queue_query(self, stopping: Callable[[], bool]) -> None:
        """Choose this round's images and put them into the project's queue, with a reserve behind them.

        Raises:
            Stopped: ``stopping`` returned true during pretraining.
        """
        number = self.session.round_number
        recorded, candidates = self.store.query(number), self.session.candidates()
        if recorded is None and not len(candidates):
            self.store.record_document(number, QUEUED, False)
            return
        selection = recorded or self.session.ask(min(self._next_query_size(), len(candidates)), stopping)
        reserve = self._reserve(selection)
        self.project.queue.replace(
            self.first_round + number,
            selection.ids,
            selection.scores,
            selection.reasons,
            selection.acquisition,
            reserve.ids,
            reserve.scores,
        )
        self.store.record_document(number, QUEUED, True)

    def _reserve(self, selection: Selection) -> Selection:
        """The next best images by the same acquisition, for when the query is answered; none in the first round."""
        number = self.session.round_number
        candidates = self.session.candidates().without(selection.ids)
        if not number or not len(candidates) or not self.labels():
            return selection.only(np.empty(0, dtype=np.int64))
        stream = self._stream.child(number)
        ranked = candidates.ids[np.argsort(stream.uniform(candidates.ids))[:MOST_RANKED]]
        count = min(RESERVED_ROUNDS * self.query_size, ranked.size)
        return self.session.rank(candidates.subset(ranked), count, stream)


def _open_run(project: Project, identity: RunIdentity, images: ProjectImages) -> tuple[Store, int, RunSpec]:
    """The newest run if it has this identity and can be continued, otherwise a new one."""
    before = session_folders(project.folder)
    if before:
        number, path = before[-1]
        store = Store.open(path, create=True)
        recorded = _usable_spec(store) if identity.is_recorded_in(store) else None
        if recorded is not None:
            return store, number, recorded
        store.close()
    number = before[-1][0] + 1 if before else 1
    facts = ProjectFacts(
        images.pool.shape, len(images.pool), len(identity.class_ids), project.settings.get().budget
    )
    spec = spec_for(project.folder, facts, identity.options)
    store = Store.open(project.folder / f"{PREFIX}{number}", create=True)
    _record_settings(store, project, identity, spec, len(images.pool))
    for _, path in before:
        # Weights for other classes are of no more use; metrics and events stay.
        shutil.rmtree(path / CHECKPOINTS, ignore_errors=True)
    return store, number, spec


def _usable_spec(store: Store) -> RunSpec | None:
    """The specification of a run; None when its settings are those of an earlier version, or its GPU is gone."""
    recorded = store.setting("spec")
    assert isinstance(recorded, dict)
    try:
        spec = validated(recorded)
    except BadInput:
        return None
    return None if spec.device == "cuda" and not torch.cuda.is_available() else spec


def _record_settings(
    store: Store, project: Project, identity: RunIdentity, spec: RunSpec, pool_size: int
) -> None:
    """Record the settings of a new run."""
    names = {each.id: each.name for each in project.classes.all()}
    rounds = [model.round for model in project.models.all()]
    values: dict[str, Json] = {
        "data": project.photos.name.encode("utf-8", "replace").decode() or "images",
        "note": "accuracy on the estimate set",
        "method": str(spec.method),
        "learner": spec.learner.title,
        "acquisition": spec.acquisition,
        "first query": spec.rounds.first_query,
        "seed": spec.seed,
        "class names": [names.get(class_id, str(class_id)) for class_id in identity.class_ids],
        "query size": spec.rounds.query_size,
        "budget": project.settings.get().budget,
        "first round": max(rounds) + 1 if rounds else 0,
        "spec": spec.model_dump(mode="json"),
        "pool size": pool_size,
    }
    for key, value in values.items():
        store.record_setting(key, value)
    # Last, because its presence means that all the others are there.
    store.record_setting("identity", identity.as_json())
