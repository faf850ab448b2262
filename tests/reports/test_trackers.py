"""TensorBoard, Weights & Biases and MLflow, through modules that record what they are given; none is needed."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aral.benchmarking import RunRecord, read_run
from aral.errors import BadInput
from aral.reports import (
    TrackedRun,
    Tracker,
    TrackerName,
    TrackingObserver,
    check_trackers,
    export_record,
    export_tensorboard,
)
from aral.reports.trackers import (
    MlflowTracker,
    TensorBoardTracker,
    WandbTracker,
    is_tracked,
    log_record,
    mlflow_name,
    open_tracker,
)
from aral.testing import FakeMlflow, FakeTensorBoard, FakeWandb, FakeWriter

MakeRun = Callable[..., Path]

RUN = TrackedRun("first", "aral+aral on shapes, seed 3", {"seed": 3, "learner": {"name": "aral", "steps": 4}})


@pytest.fixture
def tensorboard(monkeypatch: pytest.MonkeyPatch) -> FakeTensorBoard:
    fake = FakeTensorBoard()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)  # type: ignore[arg-type]
    return fake


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)  # type: ignore[arg-type]
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return fake


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    fake = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)  # type: ignore[arg-type]
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return fake


# What is logged


def test_every_number_goes_along_with_its_step(make_run: MakeRun) -> None:
    writer = FakeWriter()
    record = read_run(make_run(seed=3))
    log_record(record, TensorBoardTracker(writer, TrackedRun.of(record), "run"))
    accuracies = [each for each in writer.scalars if each[0] == "round/accuracy"]
    assert accuracies == [("round/accuracy", 0.5, 10), ("round/accuracy", 0.75, 20)], "the step is the labels"
    losses = [each[1:] for each in writer.scalars if each[0] == "loss/reconstruction"]
    assert losses == [(8.0, 0), (2.0, 3), (8.0, 4), (2.0, 7)], "four steps a round, counted on"
    odd = [value for tag, value, _ in writer.scalars if tag == "loss/<b>odd</b>"]
    assert odd[0] == 1.0 and math.isnan(odd[1])
    assert ("round/recall of circle", 0.75, 10) in writer.scalars
    assert len(writer.scalars) == 2 * (8 + 3 + 2 * 2)
    assert writer.texts[0] == ("run", "    aral+aral on shapes (JPEG copy), seed 3", 0)
    assert '"steps": 4' in writer.texts[1][1]


def test_tensorboard_is_a_folder_of_the_run(tensorboard: FakeTensorBoard, tmp_path: Path) -> None:
    tracker = open_tracker("tensorboard", RUN, tmp_path, tmp_path / "base")
    tracker.log({"round/a": 0.5, "round/b": 0.25}, "labels", 10)
    tracker.close(True)
    (writer,) = tensorboard.writers
    assert writer.place == str(tmp_path / "base" / "tensorboard" / "first")
    assert writer.scalars == [("round/a", 0.5, 10), ("round/b", 0.25, 10)] and writer.closed


def test_wandb_is_offline_and_draws_over_labels_and_steps(wandb: FakeWandb, tmp_path: Path) -> None:
    tracker = open_tracker("wandb", RUN, tmp_path, tmp_path / "base")
    tracker.log({"round/a": 0.5}, "labels", 10)
    tracker.log({"loss/x": 2.0}, "training step", 3)
    tracker.close(False)
    (run,) = wandb.runs
    assert run.options["mode"] == "offline" and run.options["config"] == RUN.settings
    assert (run.options["dir"], run.options["name"]) == (str(tmp_path / "base"), "first")
    assert run.axes == {
        "labels": None,
        "training step": None,
        "round/*": "labels",
        "loss/*": "training step",
        "pretraining/*": "training step",
    }
    assert run.rows == [{"round/a": 0.5, "labels": 10}, {"loss/x": 2.0, "training step": 3}]
    assert run.exit_code == 1, "it was not finished"


def test_wandb_is_online_when_its_own_variable_says_so(
    wandb: FakeWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    open_tracker("wandb", RUN, tmp_path, tmp_path)
    assert wandb.runs[0].options["mode"] == "online"


def test_mlflow_is_a_local_folder(mlflow: FakeMlflow, tmp_path: Path) -> None:
    tracker = open_tracker("mlflow", RUN, tmp_path, tmp_path / "base")
    tracker.log({f"round/{number}": 0.5 for number in range(250)}, "labels", 10)
    tracker.close(True)
    (run,) = mlflow.runs.values()
    assert mlflow.uris == [
        f"sqlite:///{tmp_path / 'base' / 'mlflow' / 'mlflow.db'}"
    ] and mlflow.experiments == ["aral"]
    assert run["params"] == {"seed": "3", "learner.name": "aral", "learner.steps": "4"}
    assert len(run["metrics"]) == 250 and run["metrics"][249] == ("round/249", 0.5, 10)
    assert (run["name"], run["status"]) == ("first", "FINISHED")


def test_names_that_mlflow_refuses_stay_unique() -> None:
    assert mlflow_name("round/recall of cat") == "round/recall of cat"
    names = [
        mlflow_name(f"round/recall of {each}") for each in ("C++", "C##", "a/b", "../..", "é", "x" * 300)
    ]
    assert len(set(names)) == 6
    assert all(len(name) < 250 and set(name) <= set(mlflow_name(name)) for name in names)
    assert [mlflow_name(name) for name in names] == names, "they are accepted"


@pytest.mark.parametrize(
    ("name", "extra"), [("tensorboard", "track"), ("wandb", "wandb"), ("mlflow", "mlflow")]
)
def test_a_missing_package_says_what_to_install(
    name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "torch.utils.tensorboard" if name == "tensorboard" else name
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BadInput, match="not installed") as raised:
        check_trackers([name])
    assert raised.value.hint == f"Install it first: pip install 'aral[{extra}]'"


def test_trackers_by_name(wandb: FakeWandb, mlflow: FakeMlflow) -> None:
    assert check_trackers(["wandb", "mlflow", "wandb"]) == ("wandb", "mlflow")
    with pytest.raises(BadInput, match="Unknown tracker 'wandbb'"):
        check_trackers(["wandbb"])


def test_all_fit_the_protocol(tmp_path: Path) -> None:
    trackers = [
        TensorBoardTracker(FakeWriter(), RUN, "first"),
        WandbTracker(FakeWandb(), RUN, tmp_path / "wandb", "id"),
        MlflowTracker(FakeMlflow(), RUN, tmp_path / "mlflow", None),
    ]
    assert all(isinstance(each, Tracker) for each in trackers)


# A run while it is training


def observer(name: TrackerName, folder: Path, sentences: list[str]) -> TrackingObserver:
    return TrackingObserver(name, RUN, folder, folder.parent, ("cat", "dog"), sentences.append)


def test_progress_is_logged_as_it_is_recorded(mlflow: FakeMlflow, tmp_path: Path) -> None:
    """Losses every 50 steps and at the end of a round, with the newest value of each."""
    watching = observer("mlflow", tmp_path, [])
    for step in (1, 49, 50, 51, 60):
        watching.step(-1, step, 60, {"P": float(step)})
    watching.step(1, 49, 60, {"D": 1.0})
    watching.step(1, 50, 60, {"S": 2.0})
    watching.evaluated(1, 20, {"accuracy": 0.5, "recall 1": 0.25})
    watching.close(True)
    (run,) = mlflow.runs.values()
    assert run["metrics"] == [
        ("pretraining/P", 50.0, 50),
        ("pretraining/P", 60.0, 60),
        ("loss/D", 1.0, 110),
        ("loss/S", 2.0, 110),
        ("round/accuracy", 0.5, 20),
        ("round/recall of dog", 0.25, 20),
    ]
    assert run["status"] == "FINISHED" and is_tracked(tmp_path, "mlflow")


def test_a_resumed_run_continues_in_its_trackers(
    wandb: FakeWandb, mlflow: FakeMlflow, tensorboard: FakeTensorBoard, tmp_path: Path
) -> None:
    names: tuple[TrackerName, ...] = ("wandb", "mlflow", "tensorboard")
    for finished in (False, True):
        for name in names:
            watching = observer(name, tmp_path, [])
            watching.evaluated(0, 10, {"accuracy": 0.5})
            watching.close(finished)
            assert is_tracked(tmp_path, name) is finished
    first, second = wandb.runs
    assert first.options["id"] == second.options["id"] and second.options["resume"] == "allow"
    (run,) = mlflow.runs.values()
    assert len(run["metrics"]) == 2 and len(run["params"]) == 3
    assert len({writer.place for writer in tensorboard.writers}) == 1
    assert set(json.loads((tmp_path / "tracking.json").read_text())) == set(names)


def test_a_tracker_that_fails_does_not_stop_the_run(
    wandb: FakeWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**options: object) -> None:
        raise OSError("No space left")

    monkeypatch.setattr(wandb, "init", full)
    sentences: list[str] = []
    watching = observer("wandb", tmp_path, sentences)
    watching.evaluated(0, 10, {"accuracy": 0.5})
    watching.evaluated(1, 20, {"accuracy": 0.5})
    watching.close(True)
    (sentence,) = sentences
    assert "Weights & Biases has failed" in sentence and "No space left" in sentence
    assert not is_tracked(tmp_path, "wandb")


def test_a_run_that_logged_nothing_opens_no_tracker(wandb: FakeWandb, tmp_path: Path) -> None:
    observer("wandb", tmp_path, []).close(True)
    assert not wandb.runs and not list(tmp_path.iterdir())


# Recorded runs


def test_a_recorded_run_is_exported_once(make_run: MakeRun, mlflow: FakeMlflow, tmp_path: Path) -> None:
    record: RunRecord = read_run(make_run())
    for _ in range(2):
        export_record(record, "mlflow", tmp_path)
    (run,) = mlflow.runs.values()
    accuracies = [each for each in run["metrics"] if each[0] == "round/accuracy"]
    assert accuracies == [("round/accuracy", 0.5, 10), ("round/accuracy", 0.75, 20)]
    assert run["status"] == "FINISHED" and run["params"] == {"learner.steps": "4"}


def test_an_export_to_tensorboard_is_made_once_and_closed(
    make_run: MakeRun, tensorboard: FakeTensorBoard, tmp_path: Path
) -> None:
    folder = make_run("first run")
    assert export_tensorboard(folder, tmp_path / "logs") == tmp_path / "logs" / "first run"
    (writer,) = tensorboard.writers
    assert writer.place == str(tmp_path / "logs" / "first run") and writer.closed and writer.scalars
    Path(writer.place).mkdir(parents=True)
    (Path(writer.place) / "events.out.tfevents.1.host").touch()
    with pytest.raises(BadInput, match="already holds an export"):
        export_tensorboard(folder, tmp_path / "logs")
    assert len(tensorboard.writers) == 1 and not (folder / "tracking.json").exists()


def test_a_failed_export_is_closed(
    make_run: MakeRun, tensorboard: FakeTensorBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: FakeWriter, tag: str, scalar_value: float, global_step: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FakeWriter, "add_scalar", full)
    with pytest.raises(OSError, match="No space left"):
        export_tensorboard(make_run(), tmp_path / "logs")
    assert tensorboard.writers[0].closed
