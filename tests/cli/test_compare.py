"""Output of `aral compare`, and what it refuses before it starts."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aral.benchmarking import State, is_grid, read_result
from aral.cli import main
from aral.cli.grid_report import report_grid
from aral.errors import BadInput
from aral.testing import FakeMlflow

GRID = [
    "compare",
    "digits",
    "--methods=random,supervised+max-entropy",
    "--seeds=3",
    "--workers=1",
    "--set=rounds.budget=6",
    "--set=rounds.query_size=3",
    "--set=learner.training.steps=2",
    "--set=pool_size=60",
    "--set=test_size=20",
    "--set=learner.networks.discriminator_sizes=[8]",
    "--set=learner.prediction.mc_passes=2",
]
ENTROPY = "supervised+max-entropy"


def aral(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["aral", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.fixture(autouse=True)
def no_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a report, and is tested with the reports."""
    for name in ("html.svg_bytes", "files.svg_bytes", "files.png_bytes"):
        monkeypatch.setattr(f"aral.reports.{name}", lambda figure: b"<svg/>")


@pytest.fixture(scope="module")
def finished_grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the finished grid, to be copied."""
    folder = tmp_path_factory.mktemp("finished") / "grid"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("html.svg_bytes", "files.svg_bytes", "files.png_bytes"):
            patch.setattr(f"aral.reports.{name}", lambda figure: b"<svg/>")
        assert aral(patch, *GRID, "--folder", str(folder)) == 0
    return folder


@pytest.fixture
def output(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str, code: int = 0) -> str:
        assert aral(monkeypatch, *words) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


def test_verdicts_and_targets_are_printed_and_written(output: Any, here: Path, finished_grid: Path) -> None:
    folder = here / "runs" / "compare-digits"
    shutil.copytree(finished_grid, folder)
    said = output(*GRID, "--baseline", "random", "--accuracy", "99", "--full")
    assert f"{ENTROPY} against supervised+random, final accuracy: " in said
    assert f"{ENTROPY}, labels for 99.0 %: not reached with 6 (supervised+random: not reached with 6;" in said
    table = json.loads(output(*GRID, "--full", "--accuracy", "99", "--json", "--csv", "out/curves.csv"))
    assert (here / "out" / "curves.csv").read_text() == (folder / "curves.csv").read_text() != ""
    assert [(row["method"], row["measure"]) for row in table["verdicts"]] == [
        (ENTROPY, "area"),
        (ENTROPY, "final accuracy"),
    ]
    assert 0.99 in [row["target"] for row in table["targets"]]
    assert table["verdicts"] == json.loads((folder / "verdicts.json").read_text())["verdicts"]
    page = (folder / "comparison.html").read_text()
    again = output("report", "runs/compare-digits", "--baseline", "random", "--accuracy", "99")
    assert f"{ENTROPY} against supervised+random" in again and "Parity of seed 2" in again
    assert "Full training" in again
    rewritten = (folder / "comparison.html").read_text()
    for part in ("<h3>Parity</h3>", table["parity"][0]["hash"], "<h3>Full training</h3>"):
        assert part in page and part in rewritten
    assert page.count("all labels") == rewritten.count("all labels")
    assert is_grid(folder) and [vars(unit) for unit in read_result(folder).units] == table["units"]


def test_another_metric_and_trackers_of_a_finished_grid(
    output: Any, here: Path, finished_grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    shutil.copytree(finished_grid, here / "runs" / "compare-digits")
    for _ in range(2):
        said = output(*GRID, "--metric", "balanced-accuracy", "--tracker", "mlflow")
    assert "Compared by the balanced accuracy" in said and "final balanced accuracy: " in said
    units = read_result(here / "runs" / "compare-digits").units
    assert sorted(run["name"] for run in mlflow.runs.values()) == sorted(unit.name for unit in units)
    for run in mlflow.runs.values():
        assert [step for key, _, step in run["metrics"] if key == "round/accuracy"] == [3, 6]
        assert run["status"] == "FINISHED"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--baseline", "vaal"], "Unknown baseline 'vaal'"),
        (["--baseline", "randon"], "Unknown baseline 'randon'"),
        (["--accuracy", "120"], "120 % is not in (0, 100]"),
        (["--accuracy", "0"], "0 % is not in (0, 100]"),
        (["--metric", "macro-f2"], "Did you mean 'macro F1'"),
        (["--tracker", "wandbb"], "Did you mean 'wandb'"),
    ],
)
def test_a_baseline_or_target_is_checked_before_the_grid_starts(
    output: Any, here: Path, words: list[str], said: str
) -> None:
    assert said in output(*GRID, *words, code=2)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--methods=random"],
        ["--seeds=2"],
        ["--budget=20"],
        ["--query-size=5"],
        ["--steps=9"],
        ["--set=pool_size=50"],
        ["--threads=2"],
        ["--full"],
    ],
)
def test_options_that_the_file_overrides_are_refused(output: Any, here: Path, words: list[str]) -> None:
    (here / "grid.toml").write_text(output(*GRID, "--dry-run"))
    assert words[0].partition("=")[0] in output("compare", "--grid", "grid.toml", *words, code=2)
    output("compare", "--grid", "grid.toml", "--dry-run")


def test_short_options_set_what_those_of_a_run_do(output: Any) -> None:
    short = ("--budget=20", "--query-size=5", "--steps=9")
    long = (
        "--set=rounds.budget=20",
        "--set=rounds.query_size=5",
        "--set=learner.training.steps=9",
    )
    plan = ("compare", "digits", "--methods=random,vaal", "--dry-run")
    assert output(*plan, *short) == output(*plan, *long) != output(*plan)


def test_the_default_number_of_seeds_is_told_with_its_reason(output: Any, here: Path) -> None:
    plan = output("compare", "digits", "--methods", "random", "--dry-run")
    assert "seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" in plan
    assert "# 10 seeds by default: a run of supervised+random takes about" in plan
    (here / "grid.toml").write_text(plan)
    assert "seeds by default" not in output("compare", "--grid", "grid.toml", "--dry-run")
    dear = output("compare", "mnist", "--methods", "random", "--dry-run")
    assert "seeds = [0, 1, 2, 3, 4]" in dear and "# 5 seeds by default: the seconds of a run of" in dear
    assert "seeds by default" not in output("compare", "mnist", "--methods=random", "--seeds=3", "--dry-run")


def test_a_warning_for_too_few_seeds(output: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise BadInput("Nothing is run in this test.")

    monkeypatch.setattr("aral.cli.compare.grid_on_screen", refuse)
    quick = [word for word in GRID if not word.startswith("--seeds")]
    assert "1 seed will give no verdict: it takes at least 3" in output(*quick, "--seeds=1", code=2)
    assert "verdict" not in output(*quick, "--methods=random", "--seeds=1", code=2)
    assert "verdict" not in output(*quick, "--seeds=3", code=2)


def test_a_grid_that_is_still_running_can_be_reported(output: Any, here: Path, finished_grid: Path) -> None:
    folder = here / "runs" / "compare-digits"
    shutil.copytree(finished_grid, folder)
    record = json.loads((folder / "grid.json").read_text())
    (folder / "grid.json").write_text(json.dumps({key: record[key] for key in ("grid", "differences")}))
    assert "Parity of seed 0" in output("report", "runs/compare-digits")
    result = read_result(folder)
    waiting = [
        replace(unit, state=State.WAITING) if "random" in unit.method else unit for unit in result.units
    ]
    stopped = replace(result, units=tuple(waiting))
    comparison, page = report_grid(stopped, "supervised+random")
    assert page == folder / "comparison.html"
    assert comparison is not None and comparison.methods == (ENTROPY,) and not comparison.verdicts
    (folder / "grid.json").write_text('{"grid": 3}')
    assert "is not the record of a grid" in output("report", "runs/compare-digits", code=2)


def test_report_takes_folders_of_runs_and_of_grids(output: Any, here: Path, finished_grid: Path) -> None:
    """All runs of a grid beside another run, and all runs that lie in a folder; full training is no compared run."""
    folder, other = here / "grid", here / "other"
    shutil.copytree(finished_grid, folder)
    other.mkdir()
    shutil.move(folder / f"{ENTROPY}-seed2", other / "alone")
    table = json.loads((folder / "grid.json").read_text())
    for unit in table["units"]:
        if unit["name"] == f"{ENTROPY}-seed2":
            unit["state"] = "failed"
    (folder / "grid.json").write_text(json.dumps(table))
    names = {f"{method}-seed{seed}" for method in ("supervised+random", ENTROPY) for seed in range(3)}
    shown = json.loads(output("report", "grid", "other", "--json"))
    assert {f"{row['method']}-seed{row['seed']}" for row in shown} == names
    assert (here / "comparison" / "comparison.html").is_file()
    (folder / "grid.json").unlink()
    shutil.copytree(folder / "supervised+random-seed0", folder / "full-supervised-seed0")
    shown = json.loads(output("report", "grid", "--json", "--baseline", "random"))
    assert {f"{row['method']}-seed{row['seed']}" for row in shown} == names - {f"{ENTROPY}-seed2"}
    assert f"{ENTROPY} against supervised+random" in output("report", "grid", "other", "--baseline", "random")
    assert "Report: other/alone/report.html" in output("report", "other"), "a single run has its own report"
    (here / "empty").mkdir()
    for name in ("empty", "absent"):
        assert f"There is no run in {name}" in output("report", name, code=2)
    assert f"both of {ENTROPY}, seed 0" in output("report", "grid", "grid", code=2)
