"""Records of runs, read from folders."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from aral.benchmarking import DataRecord, LossTrace, metric_named, read_run
from aral.errors import BadInput
from aral.loop import Stage, Store
from aral.reports import as_json
from aral.reports.files import rounds_csv
from aral.types import ClassAnswer, NoClass, NoClassAnswer

MakeRun = Callable[..., Path]


def test_a_run_by_its_settings(make_run: MakeRun) -> None:
    record = read_run(make_run("first"))
    assert (record.name, record.data.name, record.data.note) == ("first", "shapes", "JPEG copy")
    assert record.data.title == "shapes (JPEG copy)"
    assert (record.method, record.learner, record.seed) == ("aral+aral", "aral", 0)
    assert record.data.class_names == ("circle", "square", "star")
    assert [record.data.class_name(index) for index in (2, 3)] == ["star", "class 3"]
    assert record.budget == 40
    assert record.settings == {"learner": {"steps": 4}}
    assert [event.message for event in record.events] == ["2 phases were skipped"]


def test_the_rounds_of_a_run(make_run: MakeRun) -> None:
    record = read_run(make_run())
    assert [each.labelled for each in record.rounds] == [10, 20]
    assert [each.accuracy for each in record.rounds] == [0.5, 0.75]
    assert record.last_evaluated is record.rounds[1]
    second = record.rounds[1]
    assert second.stage is Stage.EVALUATED
    assert second.numbers["latent KL"] == 12.5
    assert second.seconds == 42.5
    assert second.confusion is not None
    assert second.confusion.tolist() == [[3, 1, 0], [0, 4, 0], [2, 0, 0]]
    assert second.selection is not None
    assert second.selection.ids.tolist() == [25, 23]
    assert second.answers == {25: ClassAnswer(25, 2), 23: NoClassAnswer(23, NoClass.SKIP)}


def test_training_before_labels_is_no_round_but_costs_time(make_run: MakeRun) -> None:
    """Two rounds of 42.5 seconds, and 100 before them."""
    folder = make_run()
    assert read_run(folder).seconds == 85
    with Store.open(folder, create=False) as store:
        store.record_metrics(-1, 50, {"loss total P": 3.0})
        store.record_metrics(-1, 4, {"train seconds": 100.0})
    record = read_run(folder)
    assert record.pretraining_seconds == 100 and record.seconds == 185
    assert [each.round for each in record.rounds] == [0, 1]
    assert as_json(record)["seconds"] == 185
    assert not any("total P" in each.losses for each in record.rounds)


def test_losses_are_traces_and_all_else_is_a_number(make_run: MakeRun) -> None:
    first = read_run(make_run()).rounds[0]
    assert first.losses["reconstruction"] == LossTrace((0, 3), (8.0, 2.0))
    assert math.isnan(first.losses["<b>odd</b>"].values[1])
    assert not any(name.startswith("loss") for name in first.numbers)


def test_the_last_value_of_a_number_counts(make_run: MakeRun) -> None:
    folder = make_run()
    with Store.open(folder, create=False) as store:
        store.record_metrics(1, 2, {"accuracy": 0.1})  # an earlier step than that of make_run
    assert read_run(folder).rounds[1].accuracy == 0.75


def test_a_round_without_an_accuracy_is_not_evaluated(make_run: MakeRun) -> None:
    record = read_run(make_run(accuracies=(0.5, None)))
    last = record.rounds[1]
    assert (last.accuracy, last.stage, last.confusion, last.seconds) == (None, None, None, 0.0)
    assert record.last_evaluated is record.rounds[0]
    diverged = read_run(make_run("diverged", accuracies=(float("nan"),)))
    assert diverged.rounds[0].accuracy is None


def test_what_is_missing_is_empty(make_run: MakeRun, tmp_path: Path) -> None:
    record = read_run(make_run(pictures=False, settings=None))
    assert record.settings is None
    with Store.open(tmp_path / "bare", create=True) as store:
        store.record_setting("data", "d")
        store.record_setting("method", "m")
        store.record_setting("seed", 3)
    bare = read_run(tmp_path / "bare")
    assert (bare.data, bare.learner, bare.budget, bare.rounds) == (DataRecord("d"), "m", None, ())
    assert bare.last_evaluated is None
    assert (bare.data.title, bare.data.class_name(0)) == ("d", "class 0")


@pytest.mark.parametrize("key", ["data", "method", "seed"])
def test_a_run_needs_a_name_a_method_and_a_seed(tmp_path: Path, key: str) -> None:
    with Store.open(tmp_path / "run", create=True) as store:
        for name in {"data", "method", "seed"} - {key}:
            store.record_setting(name, 3 if name == "seed" else "x")
    with pytest.raises(BadInput, match=f"setting '{key}'"):
        read_run(tmp_path / "run")


@pytest.mark.parametrize("value", ["1", 1.5, True])
def test_a_setting_of_the_wrong_kind_is_refused(make_run: MakeRun, value: object) -> None:
    folder = make_run()
    with Store.open(folder, create=False) as store:
        store.record_setting("seed", value)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no int"):
        read_run(folder)


def test_a_folder_that_is_no_run_and_damaged_settings_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no run"):
        read_run(tmp_path)
    folder = make_run()
    (folder / "settings.json").write_text("{")
    with pytest.raises(BadInput, match=r"settings\.json cannot be read"):
        read_run(folder)


def test_metrics_of_classes_are_recorded_or_come_from_the_confusion_matrix(make_run: MakeRun) -> None:
    """A run of an earlier version has a confusion matrix only: 3 of 4, 4 of 4 and 0 of 2 images are right."""
    second = read_run(make_run()).rounds[1]
    assert second.recalls == {"circle": 0.75, "square": 1.0, "star": 0.0}
    assert second.metric("balanced accuracy") == pytest.approx(1.75 / 3)
    assert second.metric("macro F1") == pytest.approx((6 / 9 + 8 / 9 + 0) / 3)
    assert second.metric("recall of circle") == 0.75 and second.metric("recall of moon") is None
    newer = read_run(make_run("newer", numbers={"macro F1": 0.25})).rounds[1]
    assert newer.metric("macro F1") == 0.25
    unfinished = read_run(make_run("unfinished", accuracies=(None,))).rounds[0]
    assert unfinished.recalls == {} and unfinished.metric("balanced accuracy") is None


def test_recalls_are_in_json_and_csv(make_run: MakeRun) -> None:
    record = read_run(make_run(accuracies=(0.5,)))
    (row,) = as_json(record)["rounds"]  # type: ignore[misc, union-attr]
    assert row["recall"] == {"circle": 0.75, "square": 1.0, "star": 0.0}  # type: ignore[index, call-overload]
    assert row["balanced accuracy"] == pytest.approx(1.75 / 3)  # type: ignore[index, call-overload]
    rows = {each["metric"]: each["value"] for each in csv.DictReader(rounds_csv([record]).splitlines())}
    assert rows["recall of star"] == "0.0" and float(rows["macro F1"]) == pytest.approx(14 / 27)


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("accuracy", "accuracy"),
        ("balanced-accuracy", "balanced accuracy"),
        ("Macro_F1", "macro F1"),
        ("recall of cat", "recall of cat"),
    ],
)
def test_metrics_by_name(text: str, metric: str) -> None:
    assert metric_named(text, ("cat", "dog")) == metric


def test_an_unknown_metric_is_refused() -> None:
    for text, problem in (("macro F2", "Unknown metric"), ("recall of cow", "Unknown class")):
        with pytest.raises(BadInput, match=problem):
            metric_named(text, ("cat", "dog"))
