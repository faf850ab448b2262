"""Tables of docs/benchmarks.md are those of the rows that are kept, with the mean that the verdicts are on."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def keep_grid(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("keep_grid")


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
    kept = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    lines = keep_grid.table(kept, budgets).splitlines()
    assert len(lines) >= 4 and not [line for line in lines if line not in text]


def test_the_mean_over_a_curve_is_its_area(keep_grid: ModuleType) -> None:
    """Trapezoids: (0.5 + 0.7) / 2 · 10 and (0.7 + 0.9) / 2 · 20 over 30 labels."""
    assert keep_grid.area({40: 0.9, 10: 0.5, 20: 0.7}) == pytest.approx((6 + 16) / 30)
