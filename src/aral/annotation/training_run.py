"""A training run of a project: one learner with fixed classes and options, stored in ``.aral/session-N``.

When the classes or options change, a new run starts with the same labels; the models of the old one stay.

On features a run begins with the images whose features are there, and a new one is started when they have become twice
as many, and when all are there. A run whose learner is logistic regression is **quick**: it is trained anew after a few
answers, and a slower learner is trained behind it (:mod:`aral.annotation.refinement`).
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from aral.acquisition import make_acquisition
from aral.annotation.models import ModelRecord
from aral.annotation.project import Project
from aral.annotation.project_features import ProjectFeatures
from aral.annotation.refinement import Refinement
from aral.annotation.training_data import (
    ProjectImages,
    ProjectLabels,
    labelled_set,
    read_features,
    read_images,
    usable_ids,
)
from aral.annotation.training_folders import PREFIX, session_folders
from aral.annotation.training_options import TrainingOptions
from aral.annotation.training_presets import (
    ProjectFacts,
    chosen_representation,
    first_centroids,
    first_query_size,
    refined_spec,
    spec_for,
)
from aral.benchmarking import RunSpec, make_learner, validated
from aral.data.dataset import FeaturesOf
from aral.durable import DamagedCheckpoint, Json, read_sealed, write_sealed
from aral.errors import BadInput
from aral.loop import CurrentLabels, Observer, Pace, Session, SessionOptions, Store, Strategy
from aral.loop.training import CHECKPOINTS
from aral.loop.training_set import is_recorded, trained_classes
from aral.randomness import Stream
from aral.representations import PIXELS, Projection, RepresentationSettings, features_of
from aral.types import Ids, ImageSet, LabelledSet, Selection

MODEL_ADDED, QUEUED = "published", "queued"
"""Names of documents in the store: the round's model was added to the project; its query is in the queue."""

MOST_RANKED = 4000
"""Images that are ranked for the reserve, drawn at random: ranking all would take too long."""

RESERVED_ROUNDS = 5
CHECKPOINT_SECONDS = 30.0

POOL = "pool"
"""In the folder of a run on features: the ids of its images, and their projection."""

POOL_FILE, IDS = "pool.safetensors", "ids"
FIRST_POOL = 40
"""Images with features from which on training begins, unless the folder has fewer."""

QUICK_SECONDS = 2.0
"""Between the starts of two trainings of a quick run, unless as many answers as a query has have come."""


@dataclass(frozen=True)
class RunIdentity:
    """What a training run depends on; when it changes, a new run is needed."""

    class_ids: tuple[int, ...]
    options: TrainingOptions
    side: int
    channels: int
    representation: str = PIXELS

    def as_json(self) -> dict[str, Json]:
        """The same for the store."""
        return {
            "class ids": list(self.class_ids),
            "options": self.options.model_dump(mode="json"),
            "side": self.side,
            "channels": self.channels,
            "representation": self.representation,
        }

    def is_recorded_in(self, store: Store) -> bool:
        """Whether a store is that of this run; options that an older store lacks have their defaults."""
        recorded = store.setting("identity")
        if not isinstance(recorded, dict):
            return False
        options = {**TrainingOptions().model_dump(mode="json"), **recorded["options"]}
        return {"representation": PIXELS, **recorded, "options": options} == self.as_json()


def identity_of(project: Project, options: TrainingOptions) -> RunIdentity:
    """The identity of a run that would start now.

    Raises:
        BadInput: the project was never synced.
    """
    pixels = project.images.pixels()
    class_ids = tuple(each.id for each in project.classes.all())
    representation = chosen_representation(options, pixels.side, pixels.channels)
    return RunIdentity(class_ids, options, pixels.side, pixels.channels, representation)


def representation_of(project: Project, identity: RunIdentity) -> RepresentationSettings:
    """What a run of this identity reads images through."""
    return _new_spec(project, identity, None).representation


def enough_features(project: Project, features: ProjectFeatures) -> bool:
    """Whether there are features of enough images for training to begin."""
    ready = np.setdiff1d(features.ids(), project.estimate.image_ids())
    return ready.size >= FIRST_POOL or (ready.size > 0 and features.is_complete)


class TrainingRun:
    """A session with what it needs around it; close it before another one is opened.

    Args:
        project: whose images and labels.
        identity: the newest run of the project is continued if it has this identity, otherwise a new one is started.
        observer: called with the progress.
        features: of the project, where the run is on features.

    Raises:
        BadInput: an option does not fit, another process trains, or a file was damaged.
    """

    def __init__(
        self,
        project: Project,
        identity: RunIdentity,
        observer: Observer,
        features: ProjectFeatures | None = None,
    ) -> None:
        self.identity = identity
        self.project = project
        self.features = features
        self._fitted_at = -math.inf
        self._features_seen = 0
        self.store, self.number, self.spec, self.images = _open_run(project, identity, features)
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
        if self.features is not None:
            # Looked at several times a second: most of the time a number tells.
            if self.features.count() == self._features_seen:
                return True
            if _is_outgrown(self.images.everything.ids, self.project, self.features):
                return False
            if self.features.is_complete:
                self._features_seen = self.features.count()
            return True
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
        if self.is_quick and time.monotonic() - self._fitted_at >= QUICK_SECONDS:
            return True
        query_is_answered = self.has_query() and self.project.queue.remaining() == 0
        return changed >= self._next_query_size() or query_is_answered or self._budget_is_spent()

    @property
    def is_quick(self) -> bool:
        """Whether training takes a second or less, so that it is done after a few answers."""
        return self.spec.learner.name == "linear"

    def fit(self, stopping: Callable[[], bool]) -> None:
        """Train on the labels as they are now.

        Raises:
            Stopped: ``stopping`` returned true.
        """
        self._fitted_at = time.monotonic()
        self.session.fit(stopping)

    def _next_query_size(self) -> int:
        if self.session.round_number:
            return self.query_size
        if self.is_quick:
            return first_centroids(self.class_count, self.project.settings.get().budget)
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

    # The slower learner behind a quick one

    def refined_model(self) -> ModelRecord | None:
        """The newest model, if it is a slower learner's and predicts all images of this run."""
        newest = self.project.models.newest() if self.is_quick else None
        if newest is None or newest.method in ("", self.spec.learner.title):
            return None
        return newest if _session_of(newest) == self.number and newest.class_ids == self.class_ids else None

    def labelled(self) -> LabelledSet:
        """The images of the pool that have a label, as they were last read."""
        return labelled_set(self.session.labels, self.images.pool, self.class_count)

    def refinement(self) -> tuple[Refinement, Stream] | None:
        """The comparison with a slower learner; None where the run is not quick, or there are too few labels."""
        spec = refined_spec(self.project.folder, self.spec, self.identity.options.effort)
        if spec is None:
            return None
        found = Refinement(self.images.pool, self.spec.learner, spec.learner, self.spec.device)
        classes = np.array(list(self.labels().values()), dtype=np.int64)
        if not found.can_compare(classes):
            return None
        return found, self._stream.child("refinement", len(classes))

    @property
    def features_of(self) -> FeaturesOf | None:
        """What the features were made by; None for pixels."""
        if self.features is None:
            return None
        return features_of(self.features.backbone, self.spec.representation.components)

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
        if self.is_quick and number and self._first_query_stands():
            self.store.record_document(number, QUEUED, True)
            return
        if self.is_quick and number:
            selection, reserve = self._quick_query(candidates)
        else:
            selection = recorded or self.session.ask(min(self._next_query_size(), len(candidates)), stopping)
            reserve = self._reserve(selection)
        self._queue(number, selection, reserve)

    def _queue(self, number: int, selection: Selection, reserve: Selection) -> None:
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

    def _first_query_stands(self) -> bool:
        """Whether the first query, which covers the folder without a model, is still being answered."""
        size = first_centroids(self.class_count, self.project.settings.get().budget)
        return len(self.labels()) < size and self.project.queue.remaining() > 0

    def _quick_query(self, candidates: ImageSet) -> tuple[Selection, Selection]:
        """The query and the reserve behind it, chosen together."""
        stream = self._stream.child(self.session.round_number)
        ranked = candidates.subset(some_of(candidates.ids, stream))
        count = min((1 + RESERVED_ROUNDS) * self.query_size, len(ranked))
        chosen = self.session.rank(ranked, count, stream)
        query = chosen.only(chosen.ids[: self.query_size])
        return query, chosen.only(chosen.ids[self.query_size :])

    def _reserve(self, selection: Selection) -> Selection:
        """The next best images by the same acquisition, for when the query is answered; none in the first round."""
        number = self.session.round_number
        candidates = self.session.candidates().without(selection.ids)
        if not number or not len(candidates) or not self.labels():
            return selection.only(np.empty(0, dtype=np.int64))
        stream = self._stream.child(number)
        ranked = some_of(candidates.ids, stream)
        count = min(RESERVED_ROUNDS * self.query_size, ranked.size)
        return self.session.rank(candidates.subset(ranked), count, stream)


def _session_of(model: ModelRecord) -> int:
    """The number of the training run that a model came from, which its folder begins with."""
    return int(Path(model.folder).name.partition("-")[0])


def some_of(ids: Ids, stream: Stream) -> Ids:
    """At most :data:`MOST_RANKED` of some images, drawn at random."""
    return ids[np.argsort(stream.uniform(ids))[:MOST_RANKED]]


def _open_run(
    project: Project, identity: RunIdentity, features: ProjectFeatures | None
) -> tuple[Store, int, RunSpec, ProjectImages]:
    """The newest run if it has this identity and can be continued, otherwise a new one."""
    before = session_folders(project.folder)
    if before:
        number, path = before[-1]
        store = Store.open(path, create=True)
        try:
            recorded = _usable_spec(store) if identity.is_recorded_in(store) else None
            images = None if recorded is None else _recorded_images(project, path, features)
            if recorded is not None and images is not None:
                return store, number, recorded, images
        except BaseException:
            store.close()
            raise
        store.close()
    number = before[-1][0] + 1 if before else 1
    folder = project.folder / f"{PREFIX}{number}"
    if features is None:
        images = read_images(project)
        spec = _new_spec(project, identity, images)
    else:
        # The size of the pool decides nothing on features.
        spec = _new_spec(project, identity, None)
        ids = np.intersect1d(usable_ids(project), features.ids())
        images = read_features(project, features, ids, spec.representation.components, None)
        _record_pool(folder / POOL, images)
    store = Store.open(folder, create=True)
    _record_settings(store, project, identity, spec, len(images.pool))
    for _, path in before:
        # Weights for other classes are of no more use; metrics and events stay.
        shutil.rmtree(path / CHECKPOINTS, ignore_errors=True)
    return store, number, spec, images


def _new_spec(project: Project, identity: RunIdentity, images: ProjectImages | None) -> RunSpec:
    shape = (identity.channels, identity.side, identity.side)
    facts = ProjectFacts(
        shape,
        0 if images is None else len(images.pool),
        len(identity.class_ids),
        project.settings.get().budget,
        identity.representation,
    )
    return spec_for(project.folder, facts, identity.options)


def _recorded_images(
    project: Project, folder: Path, features: ProjectFeatures | None
) -> ProjectImages | None:
    """The images of a stored run; None where a new one is needed for them."""
    if features is None:
        return read_images(project)
    try:
        state = load_tensors(read_sealed(folder / POOL, (POOL_FILE,))[POOL_FILE])
        ids, projection = state.pop(IDS).numpy(), Projection.of_state(state)
    except (DamagedCheckpoint, SafetensorError, KeyError):
        return None  # can be made again from the features
    if _is_outgrown(ids, project, features) or not np.isin(ids, features.ids()).all():
        return None
    return read_features(project, features, ids, 0, projection)


def _record_pool(folder: Path, images: ProjectImages) -> None:
    assert images.projection is not None
    state = {**images.projection.state(), IDS: torch.from_numpy(images.everything.ids)}
    write_sealed(folder, {POOL_FILE: save_tensors({name: each.contiguous() for name, each in state.items()})})


def _is_outgrown(ids: Ids, project: Project, features: ProjectFeatures) -> bool:
    """Whether a run on these images should give way to one on more of them."""
    if features.count() < 2 * ids.size and not features.is_complete:
        return False
    ready = np.intersect1d(usable_ids(project), features.ids())
    new = np.setdiff1d(ready, ids).size
    return new >= ids.size or (new > 0 and features.is_complete)


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
