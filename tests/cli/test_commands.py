"""The commands as a user types them, in process: messages, exit codes, files."""

from __future__ import annotations

import json
import sys

import pytest

from aral.cli import main
from aral.loop import Store

SHORT = [
    "--threads=1",
    "--budget=6",
    "--query-size=3",
    "--steps=2",
    "--pool-size=60",
    "--test-size=20",
]
PERCEPTRONS = [
    "--set=model.networks.encoder_sizes=[8]",
    "--set=model.networks.generator_sizes=[8]",
    "--set=model.networks.discriminator_sizes=[8]",
]
COMPACT = [
    "--set=model.partitioning.steps=3",
    "--set=model.training.unlabelled_batch=12",
    "--set=model.networks.widths=[4, 6]",
    "--set=model.networks.encoder_widths=[4, 4, 4]",
    "--set=model.networks.generator_widths=[4, 4, 4]",
]
TINY = [*SHORT, *COMPACT]
"""For `aral`, the method of a run for which none is named."""


def aral(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["aral", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    code = stopped.value.code
    assert code is None or isinstance(code, int)
    return code or 0


def test_run_leaves_everything_that_is_promised(here, monkeypatch, capsys) -> None:
    assert aral(monkeypatch, "run", "digits", *TINY) == 0
    said = capsys.readouterr()
    assert "Report:" in said.out and "3 labels" in said.err and "6 labels" in said.err
    folder = here / "runs" / "digits-aral+aral-graph-seed0"
    for name in ("store.sqlite", "settings.json", "report.html", "curve.png", "rounds.csv", "rounds.json"):
        assert (folder / name).stat().st_size > 0, name
    assert len(list((folder / "checkpoints").iterdir())) == 2
    assert sorted(path.name for path in (folder / "pictures").iterdir()) == [
        "round-000.safetensors",
        "round-001.safetensors",
    ]


def test_a_finished_run_is_not_run_again(here, monkeypatch, capsys) -> None:
    aral(monkeypatch, "run", "digits", *TINY, "--json")
    first = json.loads(capsys.readouterr().out)
    aral(monkeypatch, "run", "digits", *TINY, "--json")
    assert json.loads(capsys.readouterr().out) == first
    aral(monkeypatch, "resume", "runs/digits-aral+aral-graph-seed0", "--json")
    assert json.loads(capsys.readouterr().out) == first
    assert [row["labelled"] for row in first["rounds"]] == [3, 6]


def test_report_of_one_and_of_several_runs(here, monkeypatch, capsys) -> None:
    for method in ("supervised+random", "supervised+max-entropy"):
        aral(monkeypatch, "run", "digits", "--method", method, *SHORT, *PERCEPTRONS)
    folders = [f"runs/digits-supervised+{name}-seed0" for name in ("random", "max-entropy")]
    assert aral(monkeypatch, "report", folders[0]) == 0
    assert aral(monkeypatch, "report", *folders, "--target", "both") == 0
    assert "supervised+max-entropy" in capsys.readouterr().out
    assert (here / "both" / "comparison.html").exists()


def test_dry_run_and_settings_print_json_and_do_nothing(here, monkeypatch, capsys) -> None:
    assert aral(monkeypatch, "run", "digits", "--dry-run", "--seed", "5") == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 5
    assert aral(monkeypatch, "settings", "mnist", "--set", "model.training.steps=7") == 0
    assert json.loads(capsys.readouterr().out)["model"]["training"]["steps"] == 7
    assert aral(monkeypatch, "list", "--json") == 0
    assert "digits" in json.loads(capsys.readouterr().out)["data sets"]
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "digitz"], "Did you mean 'digits'"),
        (["run", "digits", "--method", "arall"], "Did you mean 'aral'"),
        (["run", "digits", "--method", "supervised+entropi"], "Did you mean 'entropy'"),
        (["run", "digits", "--set", "model.training.stepz=3"], "Did you mean 'model.training.steps'"),
        (["run", "digits", "--set", "model.training.steps=-3"], "model.training.steps"),
        (["run", "digits", "--set", "nonsense"], "is no setting"),
        (["run", "digits", "--query-size", "5000"], "has only 1437 images"),
        (["run", "digits", "--method", "supervised+aral"], "does not supply"),
        (["run", "digits", "--method", "vaal", "--first-query", "bald"], "cannot make the first query"),
        (["run", "digits", "--method", "vaal", "--first-query", "typical-clusters"], "has not trained yet"),
        (["compare", "digits", "--methods", "aral,random"], "would not be compared fairly"),
        (["run", "mnist"], "Searched:"),
        (["report", "nowhere"], "nowhere"),
        (["resume", "nowhere"], "is not a run folder"),
        (["run", "digits", "--set", "model.networks.scale=resnet"], "scale = 'conv32'"),
    ],
)
def test_bad_input_gets_one_screen_and_exit_code_2(here, monkeypatch, capsys, words, said) -> None:
    assert aral(monkeypatch, *words) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message
    assert len(message.splitlines()) < 24


def test_a_folder_of_another_run_is_refused(here, monkeypatch, capsys) -> None:
    aral(monkeypatch, "run", "digits", *TINY, "--folder", "mine")
    assert aral(monkeypatch, "run", "digits", *TINY, "--folder", "mine", "--seed", "1") == 2
    assert "seed: 0 → 1" in capsys.readouterr().err


def test_a_folder_in_use_is_refused(here, monkeypatch, capsys) -> None:
    with Store.open(here / "mine", create=True):
        assert aral(monkeypatch, "run", "digits", *TINY, "--folder", "mine") == 2
    assert "in use by process" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_noticed_and_nothing_is_lost(here, monkeypatch, capsys) -> None:
    aral(monkeypatch, "run", "digits", *TINY, "--json", "--folder", "mine")
    first = json.loads(capsys.readouterr().out)
    for path in (here / "mine" / "checkpoints").rglob("tensors.safetensors"):
        path.write_bytes(path.read_bytes()[:-3])
    assert aral(monkeypatch, "run", "digits", *TINY, "--json", "--folder", "mine") == 0
    said = capsys.readouterr()
    assert "damaged" in said.err
    again = json.loads(said.out)
    assert again["rounds"] == first["rounds"]


def test_demo_compares_three_methods(here, monkeypatch, capsys) -> None:
    from aral import benchmarking

    real = benchmarking.resolve

    def small(data, method, **fields):
        sizes = COMPACT if method.learner == "aral" else PERCEPTRONS
        settings = [word.removeprefix("--set=") for word in sizes]
        settings += ["rounds.budget=6", "rounds.query_size=3", "model.training.steps=2"]
        return real(data, method, settings, **fields)

    monkeypatch.setattr(benchmarking, "resolve", small)
    assert aral(monkeypatch, "demo", "--threads", "1") == 0
    said = capsys.readouterr().out
    assert "supervised+random" in said and "supervised+max-entropy" in said and "aral" in said
    (line,) = (line for line in said.splitlines() if line.startswith("Not equal"))
    page = (here / "demo" / "comparison.html").read_text()
    assert "<h2>Not equal</h2>" in page
    for name in ("labelled images are trained on", "model.networks.scale", "rounds.first_query"):
        assert name in line and name in page
    assert "rounds.budget" not in line and "compact" in page
    assert (here / "demo" / "curves.png").stat().st_size > 1000
