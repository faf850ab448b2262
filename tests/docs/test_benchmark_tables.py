"""Tables of docs/benchmarks.md are those of the rows that are kept, with the mean that the verdicts are on."""

from __future__ import annotations

import importlib
import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aral.representations.settings import EMBEDDED

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


def not_in_docs(lines: list[str], page: str = "benchmarks.md") -> list[str]:
    lines_of_page = (ROOT / "docs" / page).read_text().splitlines()
    return [line for line in lines if line not in lines_of_page]


@pytest.mark.parametrize(
    ("name", "budgets"),
    [
        ("digits", [10, 20, 50, 100]),
        ("digits-aral", [10, 20, 50, 100]),
        ("mnist-grid", [10, 20, 50, 100]),
        ("mnist-algorithm-1", [10, 20, 50, 100]),
        ("fashion-grid", [10, 20, 50, 100]),
        ("fig5-cifar10", [500, 1000, 1500, 2000]),
    ],
)
def test_every_row_of_a_table_is_in_the_docs(keep_grid: ModuleType, name: str, budgets: list[int]) -> None:
    lines = keep_grid.table(kept(name), budgets).splitlines()
    assert len(lines) >= 4 and not not_in_docs(lines)


def test_the_table_of_queried_classes_is_that_of_its_rows(script: Script) -> None:
    rows = kept("labels-by-class")["rows"]
    lines = script("labels_by_class").table(rows).splitlines()
    assert len(lines) == 2 + 6 and not not_in_docs(lines)


def test_the_table_of_ingredients_is_that_of_its_rows(script: Script) -> None:
    rows = kept("ingredients-digits")["rows"]
    assert not not_in_docs(script("ingredients").table(rows, ["10", "100"]).splitlines())


@pytest.mark.parametrize("name", ["feature-baselines", "predict-speed"])
def test_tables_on_features_are_those_of_their_rows(script: Script, name: str) -> None:
    lines = script(name.replace("-", "_")).table(kept(name)["rows"]).splitlines()
    assert len(lines) > 2 and not not_in_docs(lines, "representations.md")


def test_the_table_of_chosen_representations_is_that_of_its_rows(script: Script) -> None:
    rows = [row for row in kept("representation-choice")["rows"] if row["name"] == EMBEDDED]
    lines = script("representation_choice").table(rows).splitlines()
    assert len(lines) == 2 + 13 and not not_in_docs(lines, "representations.md")


def test_the_table_of_untidy_pools_is_that_of_its_rows(script: Script) -> None:
    rows = kept("scenarios")["rows"]
    assert not not_in_docs(script("scenarios").table(rows, [10, 20, 30, 50, 100]).splitlines())


def test_the_table_of_fine_tuning_is_that_of_its_rows(script: Script) -> None:
    lines = script("fine_tuning").table(kept("fine-tuning")["rows"]).splitlines()
    assert len(lines) == 2 + 2 and not not_in_docs(lines)


def test_a_pool_has_seen_what_its_poorest_seed_has(script: Script) -> None:
    def row(accuracy: float, seen: float) -> dict[str, Any]:
        rounds = [{"spent": 10, "accuracy": accuracy, "classes seen": seen}]
        return {"scenario": "foreign", "method": "m", "rounds": rounds}

    assert script("scenarios").table([row(0.5, 9.0), row(0.7, 7.0)], [10]).endswith("`m` | 2 | 60.0 (7) |")


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("digits-aral", "graph-ssl+aral-graph"),
        ("mnist-grid", "aral:released+random"),
        ("mnist-grid", "aral:released+aral"),
        ("mnist-grid", "vaal+vaal"),
        ("mnist-algorithm-1", "aral:released+aral"),
        ("mnist-algorithm-1", "aral:released+aral-diverse"),
        ("fashion-grid", "vaal+vaal"),
        ("fashion-grid", "aral:released+random"),
        ("fashion-grid", "aral:released+aral"),
        ("fashion-grid", "aral:released+aral-diverse"),
        ("digits", "aral:released+random"),
        ("digits", "aral:released+aral-diverse"),
        ("digits", "aral:released+aral"),
    ],
)
def test_differences_over_the_curve_are_those_of_todays_rule(
    keep_grid: ModuleType, name: str, method: str
) -> None:
    row = next(row for row in keep_grid.compared(kept(name)).verdicts if row.method == method)
    test = row.deciding
    mean, low, high = (
        f"{100 * value:+.1f}".replace("-", "−")
        for value in (row.test.mean, test.interval.low, test.interval.high)
    )
    p = "< 0.001" if row.corrected_p < 0.001 else f"{row.corrected_p:.3f}"
    page = " ".join((ROOT / "docs" / "benchmarks.md").read_text().split())
    assert f"{mean} points over the curve (95 % interval {low} to {high}, corrected p {p})" in page


def test_power_and_false_verdicts_are_those_of_the_simulation(script: Script) -> None:
    verdict_power, rows = script("verdict_power"), kept("verdict_power")["rows"]
    assert len(rows) == len(verdict_power.POWER) + len(verdict_power.FALSE)
    for table in (verdict_power.power_table(rows), verdict_power.false_table(rows)):
        assert len(table.splitlines()) > 4 and not not_in_docs(table.splitlines(), "verdicts.md")
    highest = {
        name: max(row["rule"] for row in rows if row["scenario"] == name and not row["difference"])
        for name in verdict_power.SCENARIOS
    }
    assert {name for name, share in highest.items() if share > 0.06} == {"spread"}
    assert (
        f"It is higher ({highest['spread']:.3f} with five seeds)"
        in (ROOT / "docs" / "verdicts.md").read_text()
    )


@pytest.mark.parametrize(("name", "data"), [("few-labels", "MNIST"), ("few-labels-fashion", "Fashion-MNIST")])
def test_the_curves_of_few_labels_are_those_of_their_rows(name: str, data: str) -> None:
    by_budget: dict[int, list[float]] = {}
    for run in kept(name)["runs"]:
        for point in run["rounds"]:
            by_budget.setdefault(point["labelled"], []).append(100 * point["accuracy"])
    cells = [
        f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}" for values in by_budget.values()
    ]
    assert len(cells) == 10 and not not_in_docs([f"| {data} | " + " | ".join(cells) + " |"])


@pytest.mark.parametrize("labels", ["500", "1,000"])
def test_cifars_figures_are_those_of_their_rows(labels: str) -> None:
    count = int(labels.replace(",", ""))
    (run,) = kept(f"cifar10-{count}")["runs"]
    (point,) = run["rounds"]
    found = f"**{100 * point['accuracy']:.1f} %** of the test set, in {run['seconds'] / 60:.0f} minutes"
    said = f"{labels} labels, one seed: {found}"
    assert point["labelled"] == count and said in (ROOT / "docs" / "benchmarks.md").read_text()


README_ROWS = {
    ("MNIST", "`graph-ssl`"): ("few-labels", "graph-ssl+aral-graph"),
    ("MNIST", "`aral`"): ("mnist-objectives", "aral+aral"),
    ("MNIST", "`aral:released`"): ("mnist-grid", "aral:released+aral"),
    ("MNIST", "`aral:released`, random queries"): ("mnist-grid", "aral:released+random"),
    ("MNIST", "`supervised`, random queries"): ("mnist-grid", "supervised+random"),
    ("Fashion-MNIST", "`graph-ssl`"): ("few-labels-fashion", "graph-ssl+aral-graph"),
    ("Fashion-MNIST", "`aral:released`"): ("fashion-grid", "aral:released+aral"),
    ("Fashion-MNIST", "`aral:released`, random queries"): ("fashion-grid", "aral:released+random"),
    ("Fashion-MNIST", "`supervised`, random queries"): ("fashion-grid", "supervised+random"),
}
"""Data and method in the README's table → file of rows and method there, under today's name."""


def test_the_readmes_table_is_that_of_its_rows(script: Script) -> None:
    """Means over seeds at 10, 20, 50 and 100 labels; every row of the table is checked."""
    current_name = script("method_names").current_name
    table = re.findall(
        r"^\| (.+?) \| (.+?) \| (\d) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert {(data, method) for data, method, _, _ in table} == set(README_ROWS)
    for data, method, seeds, cells in table:
        name, name_in_rows = README_ROWS[data, method]
        file = kept(name)
        runs = [run for run in file["runs"] if current_name(run["method"], run, file) == name_in_rows]
        curves = [{point["labelled"]: 100 * point["accuracy"] for point in run["rounds"]} for run in runs]
        assert len(curves) == int(seeds)
        means = [f"{statistics.mean(curve[count] for curve in curves):.1f}" for count in (10, 20, 50, 100)]
        assert cells.split(" | ") == means, (data, method)


def test_the_figures_of_25_000_steps_are_those_of_their_rows() -> None:
    text, docs = (" ".join((ROOT / name).read_text().split()) for name in ("README.md", "docs/benchmarks.md"))
    rows = kept("mnist-long")["rows"]
    assert {row["steps"] for row in rows} == {25000} and {row["labels"] for row in rows} == {100}
    methods = {row["method"] for row in rows}
    assert {"aral:released+random", "aral+random"} <= methods
    for method in methods:
        found = [100 * row["accuracy"] for row in rows if row["method"] == method]
        name, seeds = method.removesuffix("+random"), len(found)
        spread = "" if seeds == 1 else f" ± {statistics.stdev(found):.1f}"
        assert f"| `{name}` | {seeds} | {statistics.mean(found):.1f}{spread} |" in docs
        said = f"has {statistics.mean(found):.1f} % ({'one seed' if seeds == 1 else f'{seeds} seeds'})"
        if name == "aral:released":
            assert f"on 100 random labels it {said}" in text
        elif name in ("aral", "supervised"):
            assert f"`{name}` {said}" in text


def test_the_figures_of_generated_images_are_those_of_their_rows() -> None:
    text, docs = (" ".join((ROOT / name).read_text().split()) for name in ("README.md", "docs/benchmarks.md"))
    rows = {row["run"]: row for row in kept("generator-quality")["rows"] if row.get("seed", 0) == 0}
    for run, words in (
        ("training images", "training images, a perfect copy"),
        ("aral+random", "`aral`, 25,000 steps, 100 labels, one seed"),
        ("aral:released+random", "`aral:released`, 25,000 steps, 100 labels, one seed"),
        ("aral:printed+random", "`aral:printed`, 25,000 steps, 100 labels, one seed"),
        ("uniform noise", "uniform noise"),
    ):
        recognised = f"{100 * rows[run]['recognised']:.1f} %"
        assert f"| {words} | {recognised} | {rows[run]['frechet']:.2f} |" in docs
        if run == "aral+random":
            assert f"the class of {recognised} of them (one seed;" in text


def test_the_readmes_figure_of_cifar_is_that_of_its_row() -> None:
    (run,) = kept("cifar10-500")["runs"]
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"`graph-ssl` has {100 * run['rounds'][0]['accuracy']:.1f} % with 500 labels (one seed)" in text


def test_names_of_methods_are_todays(script: Script) -> None:
    current_name = script("method_names").current_name
    assert current_name("aral+typical-groups", {}) == "graph-ssl+typical-clusters"
    assert current_name("aral-released+aral", {}) == "aral:released+aral"
    assert current_name("aral-paper+aral", {}) == "aral+aral"
    assert current_name("supervised", {}) == "supervised"
    assert current_name("aral+random", {}, {"names": 2}) == "aral+random"


def test_the_mean_over_a_curve_is_its_area(keep_grid: ModuleType) -> None:
    """Trapezoids: (0.5 + 0.7) / 2 · 10 and (0.7 + 0.9) / 2 · 20 over 30 labels."""
    assert keep_grid.area({40: 0.9, 10: 0.5, 20: 0.7}) == pytest.approx((6 + 16) / 30)


def test_the_times_of_queries_are_those_of_the_rows() -> None:
    rows = {}
    for row in kept("acquisition-speed")["rows"]:
        key = (row["acquisition"], row["images"], row["query_size"], row["labelled"])
        rows.setdefault(key, {})["before" if row["package"] == "ade07cc" else "now"] = row
    lines = []
    for (name, images, query_size, labelled), found in rows.items():
        seconds, scores = (
            [f"{found[when][value]:.{places}f}" if when in found else "–" for when in ("before", "now")]
            for value, places in (("processor_seconds", 2), ("score_sum", 3))
        )
        cells = (f"`{name}`", f"{images:,}", query_size, labelled, *seconds, ", ".join(scores))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    assert lines and not_in_docs(lines) == []


def test_the_table_of_queries_of_shards_is_that_of_its_rows(script: Script) -> None:
    rows = kept("sharded-queries")["rows"]
    lines = script("sharded_queries").table(rows).splitlines()
    assert len(lines) == 2 + 24 and not not_in_docs(lines, "scaling.md")

    def pool(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["acquisition"], row["images"], row["features"]

    single = {pool(row): row["quality"] for row in rows if row["shards"] == 1}
    ratios = [(row["acquisition"], row["quality"] / single[pool(row)]) for row in rows]
    radius = max(ratio for name, ratio in ratios if name == "core-set") - 1
    covered = 1 - min(ratio for name, ratio in ratios if name != "core-set")
    text = " ".join((ROOT / "docs" / "scaling.md").read_text().split())
    assert (
        f"No query lost more than {100 * radius:.1f} % of the radius or {100 * covered:.1f} % of the" in text
    )


def test_the_tables_of_large_pools_are_those_of_their_rows(script: Script) -> None:
    rows = kept("pool-scale")["rows"]
    scale = script("pool_scale")
    for package in {row["package"] for row in rows}:
        assert not not_in_docs(scale.table(rows, package).splitlines(), "scaling.md")
    peers = script("pool_peers").table(kept("pool-peers")["rows"])
    neighbours = script("approximate_neighbours").table(kept("approximate-neighbours")["rows"])
    assert not not_in_docs([*peers.splitlines(), *neighbours.splitlines()], "scaling.md")
