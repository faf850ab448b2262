"""Metrics of runs in trackers of experiments: TensorBoard, Weights & Biases, MLflow.

All three are optional, and imported only when they are used. Losses of a round are ``loss/NAME`` by training step,
counted over the whole run, those of pretraining ``pretraining/NAME``, metrics of a round ``round/NAME`` by number of
labels.
Nothing is sent to a server unless an environment variable of the tracker says so.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from aral.benchmarking import RECALL, RunRecord, read_run
from aral.durable import Json, write_file
from aral.errors import BadInput, RunFailed, unknown_name
from aral.loop import Observer
from aral.reports.curves import round_starts

TrackerName = Literal["tensorboard", "wandb", "mlflow"]
TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)

Axis = Literal["labels", "training step"]

EVENT_FILES = "events.out.tfevents.*"
"""The files that TensorBoard writes."""

IDENTITIES_FILE = "tracking.json"
"""In a run folder: the identity of the run in each tracker, so that a resumed run continues there."""

LOG_STEPS = 50
"""Training steps between two records of the losses, as in the run store."""

MOST_LETTERS = 250
"""Of a name in MLflow."""

PROJECT = "aral"
"""Project of Weights & Biases, and experiment of MLflow."""

_PACKAGES = {
    "tensorboard": ("torch.utils.tensorboard", "TensorBoard", "track"),
    "wandb": ("wandb", "Weights & Biases", "wandb"),
    "mlflow": ("mlflow", "MLflow", "mlflow"),
}
"""Module, title and extra of each."""


@runtime_checkable
class Tracker(Protocol):
    """Where the metrics of one run go."""

    def log(self, values: Mapping[str, float], axis: Axis, position: int) -> None:
        """Record numbers, NaN and infinities included.

        Args:
            values: by name, such as ``round/accuracy``.
            axis: what they are drawn over.
            position: on this axis.
        """

    def close(self, finished: bool) -> None:
        """Flush and close.

        Args:
            finished: whether the run is complete; otherwise it was stopped or has failed.
        """


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker shows about a run.

    Attributes:
        name: of its folder.
        about: method, data and seed as one line.
        settings: of the run, as nested JSON.
    """

    name: str
    about: str
    settings: Mapping[str, Json]

    @classmethod
    def of(cls, record: RunRecord) -> TrackedRun:
        """That of a recorded run."""
        about = f"{record.method} on {record.data.title}, seed {record.seed}"
        return cls(record.name, about, record.settings if isinstance(record.settings, dict) else {})


def check_trackers(names: list[str]) -> tuple[TrackerName, ...]:
    """Trackers by name, before a run begins.

    Raises:
        BadInput: one is unknown, or its package is missing; says what to install.
    """
    found: list[TrackerName] = []
    for name in names:
        known = next((each for each in TRACKERS if each == name), None)
        if known is None:
            raise unknown_name("tracker", name, TRACKERS)
        _package(known)
        found.append(known)
    return tuple(dict.fromkeys(found))


def _package(name: TrackerName) -> Any:
    module, title, extra = _PACKAGES[name]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BadInput(
            f"{title} is not installed.", f"Install it first: pip install 'aral[{extra}]'"
        ) from error


def open_tracker(name: TrackerName, run: TrackedRun, folder: Path, base: Path) -> Tracker:
    """The tracker of a run; one that has the run already continues it.

    Args:
        name: of the tracker.
        run: what it shows about the run.
        folder: the run folder, which keeps the run's identity in the tracker.
        base: gets a folder with the name of the tracker.

    Raises:
        BadInput: the package is missing.
        RunFailed: the identity cannot be written.
    """
    package = _package(name)
    place = (base / name).absolute()
    place.mkdir(parents=True, exist_ok=True)
    identity = _identities(folder).get(name, {}).get("id")
    match name:
        case "tensorboard":
            identity = identity or run.name
            tracker: Tracker = TensorBoardTracker(package.SummaryWriter(str(place / identity)), run, identity)
        case "wandb":
            identity = identity or uuid.uuid4().hex[:12]
            tracker = WandbTracker(package, run, place, identity)
        case "mlflow":
            tracker = MlflowTracker(package, run, place, identity)
            identity = tracker.identity
    _remember(folder, name, identity, complete=False)
    return tracker


def is_tracked(folder: Path, name: TrackerName) -> bool:
    """Whether a run is completely in a tracker, as far as its folder knows."""
    return bool(_identities(folder).get(name, {}).get("complete"))


def export_record(record: RunRecord, name: TrackerName, base: Path) -> None:
    """Write a recorded run into a tracker, unless it is there completely.

    Args:
        record: of a finished run.
        name: of the tracker.
        base: see :func:`open_tracker`.

    Raises:
        BadInput: the package is missing.
        RunFailed: the identity of the run cannot be written.
    """
    if is_tracked(record.folder, name):
        return
    tracker = open_tracker(name, TrackedRun.of(record), record.folder, base)
    finished = False
    try:
        log_record(record, tracker)
        finished = True
    finally:
        tracker.close(finished)
    _remember(record.folder, name, None, complete=True)


def log_record(record: RunRecord, tracker: Tracker) -> None:
    """Pass every metric of a run to a tracker."""
    for start, each in zip(round_starts(record), record.rounds, strict=True):
        for name, trace in sorted(each.losses.items()):
            for step, value in zip(trace.steps, trace.values, strict=True):
                tracker.log({f"loss/{name}": value}, "training step", start + step)
        if each.metrics:
            values = {f"round/{name}": value for name, value in sorted(each.metrics.items())}
            tracker.log(values, "labels", each.labelled)


class TrackingObserver(Observer):
    """Passes the progress of a run to a tracker; when the tracker fails, the run continues without it.

    Args:
        name: of the tracker.
        run: what it shows about the run.
        folder: the run folder; the tracker is opened when the run has made it.
        base: see :func:`open_tracker`.
        class_names: in the order of the class indices.
        report: is given a sentence when the tracker fails.
    """

    def __init__(
        self,
        name: TrackerName,
        run: TrackedRun,
        folder: Path,
        base: Path,
        class_names: tuple[str, ...],
        report: Callable[[str], None],
    ) -> None:
        self._open: Callable[[], Tracker] = lambda: open_tracker(name, run, folder, base)
        self._name: TrackerName = name
        self._folder = folder
        self._class_names = class_names
        self._report = report
        self._tracker: Tracker | None = None
        self._failed = False
        self._newest: dict[str, float] = {}

    def step(self, round_number: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Log the newest value of each loss every :data:`LOG_STEPS` steps and at the end of a round."""
        self._newest |= losses
        if step % LOG_STEPS and step != steps:
            return
        group = "pretraining" if round_number < 0 else "loss"
        values = {f"{group}/{name}": value for name, value in self._newest.items()}
        self._newest.clear()
        self._log(values, "training step", max(round_number, 0) * steps + step)

    def evaluated(self, round_number: int, labelled: int, numbers: Mapping[str, float]) -> None:
        """Log the metrics of the round, recalls by the names of the classes."""
        by_index = {f"recall {index}": f"{RECALL}{name}" for index, name in enumerate(self._class_names)}
        self._log(
            {f"round/{by_index.get(name, name)}": value for name, value in numbers.items()},
            "labels",
            labelled,
        )

    def close(self, finished: bool) -> None:
        """Close the tracker, if it was opened."""
        if self._tracker is None or self._failed:
            return
        try:
            self._tracker.close(finished)
            _remember(self._folder, self._name, None, complete=finished)
        except Exception as error:
            self._fail(error)

    def _log(self, values: Mapping[str, float], axis: Axis, position: int) -> None:
        if self._failed:
            return
        try:
            if self._tracker is None:
                self._tracker = self._open()
            self._tracker.log(values, axis, position)
        except Exception as error:  # of another package, which must not cost hours of training
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failed = True
        reason = str(error).partition("\n")[0] or type(error).__name__
        self._report(
            f"{_PACKAGES[self._name][1]} has failed, and the run continues without it: {reason}. Everything is in the "
            "run folder."
        )


# The trackers


@runtime_checkable
class ScalarWriter(Protocol):
    """The part of ``torch.utils.tensorboard.SummaryWriter`` that is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Record one number."""

    def add_text(self, tag: str, text_string: str, global_step: int) -> None:
        """Record a text, read as Markdown."""

    def close(self) -> None:
        """Flush and close the file."""


class TensorBoardTracker:
    """A folder of event files; a resumed run adds one.

    Args:
        writer: of the folder.
        run: what is shown about the run.
        identity: name of the folder.
    """

    def __init__(self, writer: ScalarWriter, run: TrackedRun, identity: str) -> None:
        self.identity = identity
        self._writer = writer
        settings = json.dumps(dict(run.settings), indent=1)
        # Indented, so that Markdown shows it verbatim.
        writer.add_text("run", _indented(f"{run.about}"), 0)
        writer.add_text("settings", _indented(settings), 0)

    def log(self, values: Mapping[str, float], axis: Axis, position: int) -> None:
        """One scalar for each value."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, position)

    def close(self, finished: bool) -> None:
        """Close the file."""
        self._writer.close()


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


class WandbTracker:
    """A run of Weights & Biases, offline unless the environment variable ``WANDB_MODE`` says otherwise.

    Args:
        wandb: the module.
        run: what is shown about the run.
        place: the folder ``wandb``.
        identity: of the run there.
    """

    def __init__(self, wandb: Any, run: TrackedRun, place: Path, identity: str) -> None:
        self.identity = identity
        self._run = wandb.init(
            project=PROJECT,
            name=run.name,
            notes=run.about,
            config=dict(run.settings),
            id=identity,
            resume="allow",
            dir=str(place.parent),  # it makes the folder wandb itself
            mode=os.environ.get("WANDB_MODE", "offline"),
            settings=wandb.Settings(silent=True, console="off"),
        )
        for axis, groups in (("labels", ("round",)), ("training step", ("loss", "pretraining"))):
            self._run.define_metric(axis)
            for group in groups:
                self._run.define_metric(f"{group}/*", step_metric=axis)

    def log(self, values: Mapping[str, float], axis: Axis, position: int) -> None:
        """One row with the position."""
        self._run.log({**values, axis: position})

    def close(self, finished: bool) -> None:
        """Finish the run; one that was stopped is marked as failed until it is continued."""
        self._run.finish(exit_code=0 if finished else 1)


class MlflowTracker:
    """A run of MLflow in an SQLite file of a local folder, or where ``MLFLOW_TRACKING_URI`` in the environment says.

    Args:
        mlflow: the module.
        run: what is shown about the run.
        place: the folder ``mlflow``.
        identity: of the run there; None for a new one.
    """

    BATCH = 100
    """Parameters, or metrics, in one request."""

    def __init__(self, mlflow: Any, run: TrackedRun, place: Path, identity: str | None) -> None:
        self._entities = mlflow.entities
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{place / 'mlflow.db'}"
        self._client = mlflow.MlflowClient(tracking_uri=uri)
        if identity is not None:
            self.identity = identity
            self._client.update_run(identity, status="RUNNING")
            return
        experiment = self._client.get_experiment_by_name(PROJECT)
        number = experiment.experiment_id if experiment else self._create_experiment(place)
        made = self._client.create_run(number, run_name=run.name, tags={"mlflow.note.content": run.about})
        self.identity = str(made.info.run_id)
        settings = [self._entities.Param(name, value) for name, value in _flattened(run.settings, "").items()]
        for start in range(0, len(settings), self.BATCH):
            self._client.log_batch(self.identity, params=settings[start : start + self.BATCH])

    def _create_experiment(self, place: Path) -> Any:
        local = "MLFLOW_TRACKING_URI" not in os.environ
        artifacts = {"artifact_location": (place / "artifacts").as_uri()} if local else {}
        return self._client.create_experiment(PROJECT, **artifacts)

    def log(self, values: Mapping[str, float], axis: Axis, position: int) -> None:
        """One metric for each value, with the position as its step."""
        now = int(1000 * time.time())
        found = [
            self._entities.Metric(mlflow_name(name), value, now, position) for name, value in values.items()
        ]
        for start in range(0, len(found), self.BATCH):
            self._client.log_batch(self.identity, metrics=found[start : start + self.BATCH])

    def close(self, finished: bool) -> None:
        """End the run; one that was stopped is marked as killed until it is continued."""
        self._client.set_terminated(self.identity, "FINISHED" if finished else "KILLED")


def mlflow_name(name: str) -> str:
    """A name that MLflow accepts; one that had to be changed ends with digits of its hash, so that it stays unique."""
    group, slash, rest = name.partition("/")
    allowed = re.sub(r"[^\w\-. :]", "_", rest, flags=re.ASCII)
    if allowed == rest and len(name) < MOST_LETTERS:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{group}{slash}{allowed[: MOST_LETTERS - 50]} {digest[:6]}"


def _flattened(table: Mapping[str, Json], prefix: str) -> dict[str, str]:
    """Settings by their full names, as text of at most the 500 characters that every version of MLflow takes."""
    flat: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= _flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = (value if isinstance(value, str) else json.dumps(value))[:500]
    return flat


# Identities


def _identities(folder: Path) -> dict[str, dict[str, Any]]:
    """By name of the tracker; a file that is missing or damaged holds none."""
    try:
        found = json.loads((folder / IDENTITIES_FILE).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: entry for name, entry in found.items() if isinstance(entry, dict)}


def _remember(folder: Path, name: TrackerName, identity: str | None, complete: bool) -> None:
    """Note where a run is in a tracker, and whether it is there completely; without an identity, the known one."""
    known = _identities(folder)
    entry = {"id": known.get(name, {}).get("id") if identity is None else identity, "complete": complete}
    try:
        write_file(folder / IDENTITIES_FILE, (json.dumps({**known, name: entry}, indent=1) + "\n").encode())
    except OSError as error:
        raise RunFailed(
            f"{folder / IDENTITIES_FILE} cannot be written: {error.strerror}.",
            "Check the folder's permissions.",
        ) from error


# Export to a folder of TensorBoard


def export_tensorboard(folder: Path, target: Path) -> Path:
    """Write the metrics of a run, finished or running, as one TensorBoard run.

    Args:
        folder: the run folder, which is not changed.
        target: TensorBoard's log folder; the run gets a subfolder of its own name.

    Returns:
        The folder of the TensorBoard run.

    Raises:
        BadInput: TensorBoard is not installed, the folder holds no run, or the run was exported to this place
            before (TensorBoard would draw both copies as one zigzag line).
    """
    record = read_run(folder)
    place = target / record.name
    if any(place.glob(EVENT_FILES)):
        raise BadInput(
            f"{place} already holds an export.", "Remove that folder, or give another one to export to."
        )
    tracker = TensorBoardTracker(
        _package("tensorboard").SummaryWriter(str(place)), TrackedRun.of(record), record.name
    )
    try:
        log_record(record, tracker)
    finally:
        tracker.close(True)
    return place
