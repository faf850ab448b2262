"""Modules of trackers that record what they are given, in the place of TensorBoard, Weights & Biases and MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any


class FakeTensorBoard:
    """In the place of ``torch.utils.tensorboard``.

    Attributes:
        writers: those that were opened, in order.
    """

    def __init__(self) -> None:
        self.writers: list[FakeWriter] = []

    def SummaryWriter(self, place: str) -> FakeWriter:
        """A writer for a folder."""
        self.writers.append(FakeWriter(place))
        return self.writers[-1]


class FakeWriter:
    """A writer of TensorBoard.

    Attributes:
        place: its folder.
        scalars: (tag, value, step) in order.
        texts: likewise.
        closed: whether it was closed.
    """

    def __init__(self, place: str = "") -> None:
        self.place = place
        self.scalars: list[tuple[str, float, int]] = []
        self.texts: list[tuple[str, str, int]] = []
        self.closed = False

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Record one number."""
        self.scalars.append((tag, scalar_value, global_step))

    def add_text(self, tag: str, text_string: str, global_step: int) -> None:
        """Record a text."""
        self.texts.append((tag, text_string, global_step))

    def close(self) -> None:
        """Record that it was closed."""
        self.closed = True


class FakeWandb:
    """In the place of ``wandb``.

    Attributes:
        runs: those that were initialised, in order.
        Settings: keeps its arguments.
    """

    Settings = SimpleNamespace

    def __init__(self) -> None:
        self.runs: list[FakeWandbRun] = []

    def init(self, **options: Any) -> FakeWandbRun:
        """A run."""
        self.runs.append(FakeWandbRun(options))
        return self.runs[-1]


class FakeWandbRun:
    """A run of Weights & Biases.

    Attributes:
        options: of ``init``.
        axes: the axis of each group of metrics.
        rows: what was logged, in order.
        exit_code: of ``finish``; None before.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.axes: dict[str, str | None] = {}
        self.rows: list[dict[str, float]] = []
        self.exit_code: int | None = None

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        """Record the axis."""
        self.axes[name] = step_metric

    def log(self, row: dict[str, float]) -> None:
        """Record a row."""
        self.rows.append(row)

    def finish(self, exit_code: int) -> None:
        """Record the end."""
        self.exit_code = exit_code


class FakeMlflow:
    """In the place of ``mlflow``; its client too, with one store for all of them.

    Attributes:
        uris: of the clients that were made.
        experiments: their names.
        runs: what each run was given: ``name``, ``params``, ``metrics`` (key, value, step) and ``status``.
        entities: parameters and metrics as tuples.
    """

    entities = SimpleNamespace(
        Param=lambda key, value: (key, value),
        Metric=lambda key, value, timestamp, step: (key, value, step),
    )

    def __init__(self) -> None:
        self.uris: list[str] = []
        self.experiments: list[str] = []
        self.runs: dict[str, dict[str, Any]] = {}

    def MlflowClient(self, tracking_uri: str) -> FakeMlflow:
        """A client of the same store."""
        self.uris.append(tracking_uri)
        return self

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        """The experiment, if there is one."""
        return SimpleNamespace(experiment_id=name) if name in self.experiments else None

    def create_experiment(self, name: str, artifact_location: str = "") -> str:
        """Record a new experiment."""
        self.experiments.append(name)
        return name

    def create_run(self, experiment_id: str, run_name: str, tags: dict[str, str]) -> SimpleNamespace:
        """Record a new run."""
        identity = f"run-{len(self.runs)}"
        self.runs[identity] = {
            "name": run_name,
            "params": {},
            "metrics": [],
            "status": "RUNNING",
            "tags": tags,
        }
        return SimpleNamespace(info=SimpleNamespace(run_id=identity))

    def update_run(self, run_id: str, status: str) -> None:
        """Record that a run is continued."""
        self.runs[run_id]["status"] = status

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[tuple[str, float, int]] = (),
        params: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Record metrics and parameters."""
        self.runs[run_id]["metrics"] += metrics
        self.runs[run_id]["params"].update(dict(params))

    def set_terminated(self, run_id: str, status: str) -> None:
        """Record the end."""
        self.runs[run_id]["status"] = status
