"""A run as typed numbers, read from its folder; no drawing is done here and nothing is written.

Shares and probabilities are in [0, 1], divergences in nats, times in seconds.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Int64

from aral.durable import Json
from aral.errors import BadInput
from aral.loop import EventRow, MetricRow, RoundRow, Stage, Store
from aral.loop.reading import store_reading
from aral.loop.training import PRETRAINING
from aral.loop.training_set import known_answers
from aral.reports.pictures import Pictures, read_pictures
from aral.types import Answer, Selection

LOSS_PREFIX = "loss "
"""Metrics of this beginning are traces over the steps of a round; of all others the last value counts."""

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
    """What is known of a round.

    Attributes:
        round: its number, from 0.
        labelled: how many labelled images it trains on.
        stage: the last stage reached; None while it is being labelled or trained.
        numbers: figures of the end of the round by name, such as "accuracy".
        losses: traces by the name of the loss.
        confusion: K×K counts of test images, row = true class, column = predicted class; None without.
        selection: the images that were asked for, the most wanted first; None if none were.
        answers: the valid answers to them that arrived so far, by image id.
        pictures: pictures that were kept of the round; None if there are none or they cannot be read.
        steps: the last training step of which anything is recorded; 0 if nothing is.
    """

    round: int
    labelled: int
    stage: Stage | None
    numbers: Mapping[str, float]
    losses: Mapping[str, LossTrace]
    confusion: Int64[np.ndarray, "K K"] | None
    selection: Selection | None
    answers: Mapping[int, Answer]
    pictures: Pictures | None
    steps: int = 0

    @property
    def accuracy(self) -> float | None:
        """Share of test images whose most probable class is right; None where nothing finite is recorded."""
        value = self.numbers.get("accuracy", math.nan)
        return value if math.isfinite(value) else None

    @property
    def seconds(self) -> float:
        """Time spent on training and on choosing images, as far as it was recorded."""
        parts = (self.numbers.get(name, math.nan) for name in ("train seconds", "query seconds"))
        return sum((part for part in parts if math.isfinite(part)), 0.0)


@dataclass(frozen=True, eq=False)
class RunRecord:
    """What is known of a run.

    Attributes:
        name: the name of its folder.
        folder: where it is.
        data: the name of the data set.
        note: what to know of the data set whenever it is named, such as "JPEG copy"; may be empty.
        method: learner and acquisition as one name, the same for all seeds.
        learner: the learner's name; may be empty.
        acquisition: the acquisition's name; may be empty.
        seed: the seed of the run.
        class_names: names in the order of the class indices.
        budget: the total of labels the run may ask for; None if not recorded.
        rounds: in ascending order.
        events: what the user should know, in the order of recording.
        unreadable: files of pictures that were passed over, and why.
        settings: the content of settings.json; None if there is no such file.
        seconds_before_labels: time spent on training before the first query; 0 for most learners.
        of_project: it is the training beside a labelling project, measured on its estimate slice: images
            drawn at random from the pool, no test set.
    """

    name: str
    folder: Path
    data: str
    note: str
    method: str
    learner: str
    acquisition: str
    seed: int
    class_names: tuple[str, ...]
    budget: int | None
    rounds: tuple[RoundRecord, ...]
    events: tuple[EventRow, ...]
    unreadable: tuple[str, ...]
    settings: Json
    seconds_before_labels: float = 0.0
    of_project: bool = False

    @property
    def measure(self) -> str:
        """What its accuracies are called."""
        return "accuracy on the estimate slice" if self.of_project else "test accuracy"

    @property
    def data_title(self) -> str:
        """The data set together with its note, which must not be lost on the way to a picture."""
        return f"{self.data} ({self.note})" if self.note else self.data

    @property
    def last_evaluated(self) -> RoundRecord | None:
        """The latest round that has an accuracy."""
        evaluated = [record for record in self.rounds if record.accuracy is not None]
        return evaluated[-1] if evaluated else None

    @property
    def seconds(self) -> float:
        """Time spent on training, also before labels, and on choosing images, as far as it was recorded."""
        return sum((each.seconds for each in self.rounds), self.seconds_before_labels)

    def class_name(self, index: int) -> str:
        """The name of a class, or its number where it has none."""
        return self.class_names[index] if 0 <= index < len(self.class_names) else f"class {index}"


def read_run(folder: Path) -> RunRecord:
    """Read a run that is finished or still running, at one moment and without touching it.

    Args:
        folder: the run folder, with ``store.sqlite`` and, where they were kept, settings.json and pictures.

    Raises:
        BadInput: the folder holds no run, or one that was never started; the store or the settings are
            damaged.
    """
    settings = _settings_file(folder / "settings.json")
    with store_reading(folder) as store:
        rows = store.rounds()
        metrics: dict[int, list[MetricRow]] = defaultdict(list)
        for metric in store.metrics():
            metrics[metric.round].append(metric)
        of_project = store.setting("identity") is not None
        # The log of labels of a project is in the project; its runs record what was known in each round.
        known = known_answers(store, rows[-1].round) if of_project and rows else store.labels.answers()
        answers = {answer.image_id: answer for answer in known}
        found = {row.round: read_pictures(folder / "pictures", row.round) for row in rows}
        rounds = tuple(
            _round(store, row, metrics[row.round], answers, found[row.round].pictures) for row in rows
        )
        return RunRecord(
            name=folder.resolve().name,
            folder=folder,
            data=_required(store, folder, "data", str),
            note=_optional(store, folder, "note", str) or "",
            method=_required(store, folder, "method", str),
            learner=_optional(store, folder, "learner", str) or "",
            acquisition=_optional(store, folder, "acquisition", str) or "",
            seed=_required(store, folder, "seed", int),
            class_names=_class_names(store),
            budget=_optional(store, folder, "budget", int),
            rounds=rounds,
            events=tuple(store.events()),
            unreadable=tuple(look.problem for look in found.values() if look.problem),
            settings=settings,
            seconds_before_labels=sum(
                (metric.value for metric in metrics[PRETRAINING] if metric.name == "train seconds"), 0.0
            ),
            of_project=of_project,
        )


def _round(
    store: Store,
    row: RoundRow,
    metrics: Sequence[MetricRow],
    answers: Mapping[int, Answer],
    pictures: Pictures | None,
) -> RoundRecord:
    selection = store.query(row.round)
    wanted = selection.ids.tolist() if selection is not None else []
    confusion = store.document(row.round, "confusion")
    return RoundRecord(
        round=row.round,
        labelled=row.labelled,
        stage=row.stage,
        steps=max((metric.step for metric in metrics), default=0),
        numbers={metric.name: metric.value for metric in metrics if not metric.name.startswith(LOSS_PREFIX)},
        losses=_losses(metrics),
        confusion=None if confusion is None else np.array(confusion, dtype=np.int64),
        selection=selection,
        answers={image_id: answers[image_id] for image_id in wanted if image_id in answers},
        pictures=pictures,
    )


def _losses(metrics: Sequence[MetricRow]) -> dict[str, LossTrace]:
    """The traces among a round's numbers, which come in order of step."""
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
            "Start the run again, then repeat this.",
        )
    return value


def _optional(store: Store, folder: Path, key: str, kind: type[Value]) -> Value | None:
    value = store.setting(key)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise BadInput(
        f"The run in {folder} has a setting '{key}' of {value!r}, which is no {kind.__name__}.",
        "Give another folder.",
    )


def _class_names(store: Store) -> tuple[str, ...]:
    """Without recorded names, classes go by their numbers."""
    names = store.setting("class names")
    return tuple(str(name) for name in names) if isinstance(names, list) else ()
