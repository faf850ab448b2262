"""What a run has recorded, as typed values read from its folder; nothing is written.

Shares and probabilities are in [0, 1], divergences in nats, times in seconds.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Int64

from aral.benchmarking.runs import SETTINGS_FILE
from aral.durable import Json
from aral.errors import BadInput, unknown_name
from aral.learners.evaluation import class_recalls, metrics_of
from aral.loop import EventRow, MetricRow, RoundRow, Stage, Store
from aral.loop.reading import store_reading
from aral.loop.training import PRETRAINING
from aral.loop.training_set import known_answers
from aral.types import Answer, Selection

LOSS_PREFIX = "loss "
"""Metrics with this prefix are traces over the steps of a round; of all others the last value counts."""

ACCURACY = "accuracy"

METRICS = (ACCURACY, "balanced accuracy", "macro F1")
"""Metrics on the test set by which runs can be compared, in [0, 1]; beside them the recall of each class."""

RECALL = "recall of "
"""Begins the name of the recall of a class."""

Value = TypeVar("Value", str, int)


@dataclass(frozen=True)
class LossTrace:
    """One loss over the training steps of a round.

    Attributes:
        steps: training steps, ascending.
        values: the loss after each of them, in the loss's own unit; may hold NaN and infinities.
    """

    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class RoundRecord:
    """What one round has recorded.

    Attributes:
        round: its number, from 0.
        labelled: how many labelled images it trains on.
        stage: the last stage reached; None while it is being labelled or trained.
        numbers: metrics at the end of the round by name, such as "accuracy".
        losses: traces by the name of the loss.
        confusion: K×K counts of test images, row = true class, column = predicted class; None without.
        selection: the query, highest score first; None if there was none.
        answers: the valid answers to the query that have arrived so far, by image id.
        steps: the last training step with a recorded metric; 0 without any.
        recalls: recall by name of the class, for the classes that have test images.
    """

    round: int
    labelled: int
    stage: Stage | None
    numbers: Mapping[str, float]
    losses: Mapping[str, LossTrace]
    confusion: Int64[np.ndarray, "K K"] | None
    selection: Selection | None
    answers: Mapping[int, Answer]
    steps: int = 0
    recalls: Mapping[str, float] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers, and the recall of each class as ``recall of CLASS``."""
        return {**self.numbers, **{f"{RECALL}{name}": value for name, value in self.recalls.items()}}

    def metric(self, name: str) -> float | None:
        """One of :data:`METRICS`, or ``recall of CLASS``; None where nothing finite is recorded."""
        value = self.metrics.get(name, math.nan)
        return value if math.isfinite(value) else None

    @property
    def accuracy(self) -> float | None:
        """Share of test images whose most probable class is right; None where nothing finite is recorded."""
        return self.metric(ACCURACY)

    @property
    def seconds(self) -> float:
        """Time spent on training and on queries, as far as it was recorded."""
        parts = (self.numbers.get(name, math.nan) for name in ("train seconds", "query seconds"))
        return sum((part for part in parts if math.isfinite(part)), 0.0)


@dataclass(frozen=True)
class DataRecord:
    """The data set of a run.

    Attributes:
        name: its name.
        note: a remark to show beside the name, such as "JPEG copy"; may be empty.
        class_names: names in the order of the class indices; may be empty.
    """

    name: str
    note: str = ""
    class_names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name with the note, for every title."""
        return f"{self.name} ({self.note})" if self.note else self.name

    def class_name(self, index: int) -> str:
        """The name of a class, or its number where it has none."""
        return self.class_names[index] if 0 <= index < len(self.class_names) else f"class {index}"


@dataclass(frozen=True, eq=False)
class RunRecord:
    """What a run has recorded.

    Attributes:
        name: the name of its folder.
        folder: its folder.
        data: the data set.
        method: learner and acquisition as one name, the same for all seeds.
        seed: the seed of the run.
        budget: total number of labels that may be spent; None if not recorded.
        rounds: in ascending order.
        events: warnings and notes, in the order of recording.
        settings: the content of settings.json; None if there is no such file.
        pretraining_seconds: time spent on pretraining; 0 for most learners.
        of_project: the run trains the model of an annotation project. Its accuracies are measured on the
            project's estimate set, images drawn at random from the pool, and not on a test set.
    """

    name: str
    folder: Path
    data: DataRecord
    method: str
    seed: int
    budget: int | None
    rounds: tuple[RoundRecord, ...]
    events: tuple[EventRow, ...]
    settings: Json
    pretraining_seconds: float = 0.0
    of_project: bool = False

    @property
    def learner(self) -> str:
        """The learner's name, the first part of the method."""
        return self.method.partition("+")[0]

    @property
    def measure(self) -> str:
        """The name of its accuracies."""
        return "accuracy on the estimate set" if self.of_project else "test accuracy"

    @property
    def last_evaluated(self) -> RoundRecord | None:
        """The latest round that has an accuracy."""
        evaluated = [record for record in self.rounds if record.accuracy is not None]
        return evaluated[-1] if evaluated else None

    @property
    def seconds(self) -> float:
        """Time spent on pretraining, training and queries, as far as it was recorded."""
        return sum((each.seconds for each in self.rounds), self.pretraining_seconds)


def metric_named(text: str, class_names: Sequence[str]) -> str:
    """A metric by which runs can be compared, as :meth:`RoundRecord.metric` takes it.

    Args:
        text: one of :data:`METRICS` in any case, with blanks, hyphens or underscores; or ``recall of CLASS``.
        class_names: of the data.

    Raises:
        BadInput: there is no such metric.
    """
    if text.lower().startswith(RECALL):
        name = text[len(RECALL) :]
        if name not in class_names:
            raise unknown_name("class", name, class_names)
        return f"{RECALL}{name}"
    written = text.lower().replace("-", " ").replace("_", " ")
    found = next((metric for metric in METRICS if metric.lower() == written), None)
    if found is None:
        raise unknown_name("metric", text, (*METRICS, f"{RECALL}CLASS"))
    return found


def read_run(folder: Path) -> RunRecord:
    """Read a snapshot of a finished or running run; the folder is not changed.

    Args:
        folder: the run folder, with ``store.sqlite`` and settings.json if it was kept.

    Raises:
        BadInput: the folder holds no run, or one that was never started; the store or the settings are
            damaged.
    """
    settings = _settings_file(folder / SETTINGS_FILE)
    with store_reading(folder) as store:
        rows = store.rounds()
        metrics: dict[int, list[MetricRow]] = defaultdict(list)
        for metric in store.metrics():
            metrics[metric.round].append(metric)
        of_project = store.setting("identity") is not None
        # The log of labels of a project is in the project; its runs record what was known in each round.
        known = known_answers(store, rows[-1].round) if of_project and rows else store.labels.answers()
        answers = {answer.image_id: answer for answer in known}
        data = DataRecord(
            _required(store, folder, "data", str),
            _optional(store, folder, "note", str) or "",
            _class_names(store),
        )
        rounds = tuple(_round(store, row, metrics[row.round], answers, data) for row in rows)
        return RunRecord(
            name=folder.resolve().name,
            folder=folder,
            data=data,
            method=_required(store, folder, "method", str),
            seed=_required(store, folder, "seed", int),
            budget=_optional(store, folder, "budget", int),
            rounds=rounds,
            events=tuple(store.events()),
            settings=settings,
            pretraining_seconds=sum(
                (metric.value for metric in metrics[PRETRAINING] if metric.name == "train seconds"), 0.0
            ),
            of_project=of_project,
        )


def _round(
    store: Store,
    row: RoundRow,
    metrics: Sequence[MetricRow],
    answers: Mapping[int, Answer],
    data: DataRecord,
) -> RoundRecord:
    selection = store.query(row.round)
    queried = selection.ids.tolist() if selection is not None else []
    document = store.document(row.round, "confusion")
    confusion = None if document is None else np.array(document, dtype=np.int64)
    numbers = {metric.name: metric.value for metric in metrics if not metric.name.startswith(LOSS_PREFIX)}
    recalls: dict[str, float] = {}
    if confusion is not None:
        numbers = metrics_of(confusion) | numbers  # earlier versions did not record these metrics
        recalls = {
            data.class_name(index): float(value)
            for index, value in enumerate(class_recalls(confusion))
            if math.isfinite(value)
        }
    return RoundRecord(
        round=row.round,
        labelled=row.labelled,
        stage=row.stage,
        steps=max((metric.step for metric in metrics), default=0),
        numbers=numbers,
        losses=_losses(metrics),
        confusion=confusion,
        selection=selection,
        answers={image_id: answers[image_id] for image_id in queried if image_id in answers},
        recalls=recalls,
    )


def _losses(metrics: Sequence[MetricRow]) -> dict[str, LossTrace]:
    """The traces among a round's metrics, which come in order of step."""
    points: dict[str, list[MetricRow]] = defaultdict(list)
    for metric in metrics:
        if metric.name.startswith(LOSS_PREFIX):
            points[metric.name.removeprefix(LOSS_PREFIX)].append(metric)
    return {
        name: LossTrace(tuple(row.step for row in rows), tuple(row.value for row in rows))
        for name, rows in points.items()
    }


def _settings_file(path: Path) -> Json:
    try:
        settings: Json = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {error}.", "Restore it, or move it away.") from error
    return settings


def _required(store: Store, folder: Path, key: str, kind: type[Value]) -> Value:
    value = _optional(store, folder, key, kind)
    if value is None:
        raise BadInput(
            f"The run in {folder} has not recorded its setting '{key}'.",
            "Resume the run, then repeat this command.",
        )
    return value


def _optional(store: Store, folder: Path, key: str, kind: type[Value]) -> Value | None:
    value = store.setting(key)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise BadInput(
        f"The run in {folder} has a setting '{key}' of {value!r}, which is no {kind.__name__}.",
        "The folder was not written by aral; give another one.",
    )


def _class_names(store: Store) -> tuple[str, ...]:
    """Empty if no names were recorded."""
    names = store.setting("class names")
    return tuple(str(name) for name in names) if isinstance(names, list) else ()
