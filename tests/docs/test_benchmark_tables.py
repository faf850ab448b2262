"""Tables of docs/benchmarks.md are those of the rows that are kept, with the mean that the verdicts are on."""

from __future__ import annotations

import importlib
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


Script = Callable[[str], ModuleType]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def keep_grid(script: Script) -> ModuleType:
    return script("keep_grid")


def kept(name: str) -> dict[str, Any]:
    rows: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    return rows


def not_told(lines: list[str]) -> list[str]:
    told = (ROOT / "docs" / "benchmarks.md").read_text().splitlines()
    return [line for line in lines if line not in told]


@pytest.mark.parametrize(
    ("name", "budgets"),
    [
        ("digits", [10, 20, 50, 100]),
        ("digits-aral", [10, 20, 50, 100]),
        ("mnist-grid", [10, 20, 50, 100]),
        ("fashion-grid", [10, 20, 50, 100]),
        ("fig5-cifar10", [500, 1000, 1500, 2000]),
    ],
)
def test_every_row_of_a_table_is_in_the_docs(keep_grid: ModuleType, name: str, budgets: list[int]) -> None:
    lines = keep_grid.table(kept(name), budgets).splitlines()
    assert len(lines) >= 4 and not not_told(lines)


def test_the_table_of_ingredients_is_that_of_its_rows(script: Script) -> None:
    rows = kept("ingredients-digits")["rows"]
    assert not not_told(script("ingredients").table(rows, ["10", "100"]).splitlines())


def test_the_table_of_untidy_pools_is_that_of_its_rows(script: Script) -> None:
    rows = kept("scenarios")["rows"]
    assert not not_told(script("scenarios").table(rows, [10, 20, 30, 50, 100]).splitlines())


def test_a_pool_has_seen_what_its_poorest_seed_has(script: Script) -> None:
    def row(accuracy: float, seen: float) -> dict[str, Any]:
        rounds = [{"spent": 10, "accuracy": accuracy, "classes seen": seen}]
        return {"scenario": "foreign", "method": "m", "rounds": rounds}

    assert script("scenarios").table([row(0.5, 9.0), row(0.7, 7.0)], [10]).endswith("`m` | 2 | 60.0 (7) |")


@pytest.mark.parametrize(("name", "data"), [("few-labels", "MNIST"), ("few-labels-fashion", "Fashion-MNIST")])
def test_the_curves_of_few_labels_are_those_of_their_rows(name: str, data: str) -> None:
    by_budget: dict[int, list[float]] = {}
    for run in kept(name)["runs"]:
        for point in run["rounds"]:
            by_budget.setdefault(point["labelled"], []).append(100 * point["accuracy"])
    cells = [
        f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}" for values in by_budget.values()
    ]
    assert len(cells) == 10 and not not_told([f"| {data} | " + " | ".join(cells) + " |"])


@pytest.mark.parametrize("labels", ["500", "1,000"])
def test_cifars_figures_are_those_of_their_rows(labels: str) -> None:
    count = int(labels.replace(",", ""))
    (run,) = kept(f"cifar10-{count}")["runs"]
    (point,) = run["rounds"]
    found = f"**{100 * point['accuracy']:.1f} %** of the test set, in {run['seconds'] / 60:.0f} minutes"
    said = f"{labels} labels, one seed: {found}"
    assert point["labelled"] == count and said in (ROOT / "docs" / "benchmarks.md").read_text()


def test_the_readmes_figures_are_those_of_their_rows() -> None:
    """Means over seeds at 10, 20, 50 and 100 labels, and CIFAR-10's one run."""

    def means(name: str) -> str:
        values: dict[int, list[float]] = {10: [], 20: [], 50: [], 100: []}
        for run in kept(name)["runs"]:
            for point in run["rounds"]:
                values.get(point["labelled"], []).append(100 * point["accuracy"])
        return ", ".join(f"{statistics.mean(found):.1f}" for found in values.values())

    said = " ".join((ROOT / "README.md").read_text().split())
    assert f"it classifies {means('few-labels')} % of MNIST's test set" in said
    assert f"and {means('few-labels-fashion')} % of Fashion-MNIST's" in said
    (run,) = kept("cifar10-500")["runs"]
    assert f"{100 * run['rounds'][0]['accuracy']:.1f} % of CIFAR-10's" in said


def test_the_mean_over_a_curve_is_its_area(keep_grid: ModuleType) -> None:
    """Trapezoids: (0.5 + 0.7) / 2 · 10 and (0.7 + 0.9) / 2 · 20 over 30 labels."""
    assert keep_grid.area({40: 0.9, 10: 0.5, 20: 0.7}) == pytest.approx((6 + 16) / 30)
