"""The commands for runs: messages, exit codes, files."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from aral import __version__
from aral.loop import Store
from aral.testing import FakeMlflow, FakeWandb
from tests.cli.conftest import PERCEPTRONS, SHORT, TINY


@pytest.fixture
def mine(finished_run: Path, here: Path) -> Path:
    """A finished run in the working folder."""
    return Path(shutil.copytree(finished_run, here / "mine"))


def test_run_leaves_everything_that_is_promised(mine: Path) -> None:
    for name in ("store.sqlite", "settings.json", "report.html", "curve.png", "rounds.csv", "rounds.json"):
        assert (mine / name).stat().st_size > 0, name
    assert len(list((mine / "checkpoints").iterdir())) == 2
    assert sorted(path.name for path in (mine / "pictures").iterdir()) == [
        "round-000.safetensors",
        "round-001.safetensors",
    ]


def test_a_finished_run_is_not_run_again(aral, mine: Path, capsys) -> None:
    before = (mine / "store.sqlite").read_bytes()
    assert aral("run", "digits", *TINY, "--folder", "mine", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert [row["labelled"] for row in first["rounds"]] == [3, 6]
    assert aral("resume", "mine", "--json") == 0
    assert json.loads(capsys.readouterr().out) == first
    assert (mine / "store.sqlite").read_bytes() == before


def test_the_method_that_auto_resolves_to_is_said_and_recorded(aral, mine: Path, capsys) -> None:
    assert aral("run", "digits", *TINY, "--folder", "mine") == 0
    said = capsys.readouterr()
    assert "Method: graph-ssl+aral-graph (auto: " in said.err and "graph-ssl+aral-graph" in said.out
    settings = json.loads((mine / "settings.json").read_text())
    assert (settings["learner"]["name"], settings["acquisition"]) == ("graph-ssl", "aral-graph")
    assert settings["chosen"]
    assert aral("run", "digits", "--method", "supervised+random", *SHORT, *PERCEPTRONS) == 0
    assert "Method:" not in capsys.readouterr().err


def test_the_version_is_that_of_the_package(aral, capsys) -> None:
    assert aral("--version") == 0
    assert capsys.readouterr().out.strip() == f"aral {__version__}"


def test_report_of_one_and_of_several_runs(aral, here, capsys) -> None:
    for method in ("supervised+random", "supervised+max-entropy"):
        aral("run", "digits", "--method", method, *SHORT, *PERCEPTRONS)
    folders = [f"runs/digits-supervised+{name}-seed0" for name in ("random", "max-entropy")]
    assert aral("report", folders[0]) == 0
    assert aral("report", *folders, "--target", "both") == 0
    assert "supervised+max-entropy" in capsys.readouterr().out
    assert (here / "both" / "comparison.html").exists()
    assert aral("report", *folders, "--metric", "macro-f1", "--target", "f1") == 0
    assert "Compared by the macro F1" in capsys.readouterr().out
    assert "Recall by class" in (here / "f1" / "comparison.html").read_text()
    assert json.loads((here / "f1" / "verdicts.json").read_text())["metric"] == "macro F1"
    assert aral("report", *folders, "--metric", "macro-f2") == 2
    assert "Did you mean 'macro F1'" in capsys.readouterr().err
    assert aral("report", folders[0], "--json") == 0
    (row, *_) = json.loads(capsys.readouterr().out)[0]["rounds"]
    assert row["balanced accuracy"] == pytest.approx(sum(row["recall"].values()) / len(row["recall"]))


def test_dry_run_and_settings_print_json_and_do_nothing(aral, here, capsys) -> None:
    assert aral("run", "digits", "--dry-run", "--seed", "5") == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 5
    assert aral("settings", "mnist", "--set", "learner.training.steps=7") == 0
    assert json.loads(capsys.readouterr().out)["learner"]["training"]["steps"] == 7
    assert aral("list", "--json") == 0
    assert "digits" in json.loads(capsys.readouterr().out)["data sets"]
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "digitz"], "Did you mean 'digits'"),
        (["run", "digits", "--method", "arall"], "Did you mean 'aral'"),
        (["run", "digits", "--method", "supervised+entropi"], "Did you mean 'supervised+entropy'"),
        (["run", "digits", "--set", "learner.training.stepz=3"], "Did you mean 'learner.training.steps'"),
        (["run", "digits", "--set", "learner.training.steps=-3"], "training.steps: Input should be"),
        (["run", "digits", "--set", "nonsense"], "is no setting"),
        (["run", "digits", "--query-size", "5000"], "has only 1437 images"),
        (["run", "digits", "--method", "supervised+aral"], "does not supply"),
        (["run", "digits", "--method", "vaal", "--first-query", "bald"], "cannot make the first query"),
        (["run", "digits", "--method", "vaal", "--first-query", "typical-clusters"], "has not trained yet"),
        (["compare", "digits", "--methods", "graph-ssl,random"], "would not be compared fairly"),
        (["run", "mnist"], "torchvision download it"),
        (["report", "nowhere"], "nowhere"),
        (["resume", "nowhere"], "is not a run folder"),
        (["run", "digits", "--set", "learner.networks.scale=resnet"], "scale = 'conv32'"),
    ],
)
def test_bad_input_gets_one_screen_and_exit_code_2(aral, here, capsys, words, said) -> None:
    assert aral(*words) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message
    assert len(message.splitlines()) < 24


def test_a_folder_of_another_run_is_refused(aral, mine: Path, capsys) -> None:
    assert aral("run", "digits", *TINY, "--folder", "mine", "--seed", "1") == 2
    assert "seed: 0 → 1" in capsys.readouterr().err


def test_a_folder_in_use_is_refused(aral, here, capsys) -> None:
    with Store.open(here / "mine", create=True):
        assert aral("run", "digits", *TINY, "--folder", "mine") == 2
    assert "in use by process" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_noticed_and_nothing_is_lost(aral, mine: Path, capsys) -> None:
    aral("run", "digits", *TINY, "--json", "--folder", "mine")
    first = json.loads(capsys.readouterr().out)
    for path in (mine / "checkpoints").rglob("tensors.safetensors"):
        path.write_bytes(path.read_bytes()[:-3])
    assert aral("run", "digits", *TINY, "--json", "--folder", "mine") == 0
    said = capsys.readouterr()
    assert "damaged" in said.err
    again = json.loads(said.out)
    assert again["rounds"] == first["rounds"]


def test_demo_compares_three_methods_on_photographs(aral, here, monkeypatch, capsys) -> None:
    from aral import benchmarking

    real = benchmarking.resolve

    def small(data, method, given=(), hardware=None, **fields):
        settings = [*given, "rounds.budget=8", "rounds.query_size=4", 'representation.backbone="gradients"']
        if method.learner_name != "linear":
            settings.append("learner.training.steps=2")
        return real(data, method, settings, hardware, **fields)

    monkeypatch.setattr(benchmarking, "resolve", small)
    assert aral("demo", "--threads", "1") == 0
    said = capsys.readouterr().out
    for method in ("pseudo-label+linear-herding", "linear+linear-herding", "linear+random"):
        assert method in said
    page = (here / "demo" / "comparison.html").read_text()
    assert "rounds.first_query" in page
    assert (here / "demo" / "curves.png").stat().st_size > 1000
    assert "aral label demo/unsorted --classes cardboard," in said
    assert len(list((here / "demo" / "unsorted").iterdir())) == 180


def test_a_run_folder_stands_in_for_a_project(aral, mine: Path, here: Path, capsys) -> None:
    (here / "photos").mkdir()
    Image.new("L", (8, 8), 90).save(here / "photos" / "a.png")
    assert aral("predict", "mine", "photos", "--json") == 0
    assert json.loads(capsys.readouterr().out)["images"] == 1
    assert aral("export", "mine", "out", "--format", "model") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("The classifier is exported to out: README.md") and "no annotators" in printed
    assert (here / "out" / "report.html").is_file() and (here / "out" / "model" / "model.json").is_file()
    assert aral("predict", "out", "photos", "--target", "again.csv") == 0
    assert (here / "again.csv").read_text() == (here / "predictions.csv").read_text()
    assert aral("export", "mine", "out", "--format", "csv") == 2


def test_a_run_is_tracked_while_it_trains(aral, here: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb, mlflow = FakeWandb(), FakeMlflow()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    words = ("run", "digits", "--method", "supervised+random", *SHORT, *PERCEPTRONS, "--json")
    assert aral(*words, "--tracker", "wandb", "--tracker", "mlflow") == 0
    accuracies = [row["accuracy"] for row in json.loads(capsys.readouterr().out)["rounds"]]
    (run,) = wandb.runs
    assert [row["round/accuracy"] for row in run.rows if "round/accuracy" in row] == accuracies
    assert [row["labels"] for row in run.rows if "round/accuracy" in row] == [3, 6]
    assert run.exit_code == 0 and run.options["dir"] == str(here / "runs")
    assert run.options["config"]["rounds"]["budget"] == 6
    (recorded,) = mlflow.runs.values()
    assert [value for key, value, _ in recorded["metrics"] if key == "round/accuracy"] == accuracies
    assert any(key.startswith("round/recall of ") for key, _, _ in recorded["metrics"])
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert aral(*words, "--tracker", "wandb") == 2
    assert "pip install 'aral[wandb]'" in capsys.readouterr().err
