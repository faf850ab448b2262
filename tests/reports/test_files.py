"""CSV, JSON and plain tables against numbers worked out by hand."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.annotation.formats import SPREADSHEET_FORMULA, unescape_cell
from aral.benchmarking import RunRecord, compare_runs
from aral.reports import comparison_json, curves_csv, side_by_side, verdicts_csv
from aral.reports.files import rounds_csv, rounds_json
from aral.reports.tables import Table
from aral.testing import run_record, runs_with_gains


def test_side_by_side_to_the_letter() -> None:
    # Deviation of 50 and 70: √((10² + 10²) / 1) = 14.14.
    runs = [
        run_record("aral+aral", 0, (0.5, 0.8), (10, 20)),
        run_record("aral+aral", 1, (0.7, None), (10, 20)),
        run_record("random", 0, (0.25,), (20,)),
    ]
    assert side_by_side(runs) == (
        "labels          aral+aral  random\n"
        "------  -----------------  ------\n"
        "    10  60.00 ± 14.14 (2)       –\n"
        "    20              80.00   25.00"
    )


def test_a_table_refuses_a_row_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="2 cells under 1 heads"):
        Table(("a",), (("1", "2"),))


names = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)


def a_run(name: str, method: str, numbers: dict[str, float]) -> RunRecord:
    """A run of one round with these metrics."""
    record = run_record(method, 3, (0.5,), (10,))
    return replace(record, name=name, rounds=(replace(record.rounds[0], numbers=numbers),))


@settings(max_examples=60, deadline=None)
@given(names, names, st.dictionaries(names, st.floats(), max_size=4))
def test_csv_reads_back_exactly(name: str, method: str, numbers: dict[str, float]) -> None:
    read = list(csv.DictReader(StringIO(rounds_csv([a_run(name, method, numbers)]), newline="")))
    for row in read:
        assert not any(row[head].startswith(SPREADSHEET_FORMULA) for head in ("run", "method", "metric"))
        row["metric"] = unescape_cell(row["metric"])
    assert [row["metric"] for row in read] == sorted(numbers)
    for row in read:
        assert list(row) == ["run", "seed", "method", "round", "n_labelled", "metric", "value"]
        assert (unescape_cell(row["run"]), unescape_cell(row["method"])) == (name, method)
        assert (row["seed"], row["round"], row["n_labelled"]) == ("3", "0", "10")
        value, back = numbers[row["metric"]], float(row["value"])
        assert back == value or (math.isnan(back) and math.isnan(value))


def test_json_is_strict() -> None:
    def refuse(name: str) -> None:
        raise ValueError(name)

    numbers = {"a": 0.1, "b": math.nan, "c": -math.inf}
    read = json.loads(rounds_json([a_run("é", "m", numbers)]), parse_constant=refuse)
    assert [entry["value"] for entry in read] == [0.1, None, None]
    first = {"run": "é", "seed": 3, "method": "m", "round": 0, "n_labelled": 10, "metric": "a", "value": 0.1}
    assert read[0] == first


def test_verdicts_as_csv_and_json() -> None:
    comparison = compare_runs(runs_with_gains((0.04, 0.05, 0.06)), targets=[0.99])
    rows = list(csv.DictReader(verdicts_csv(comparison).splitlines()))
    assert [(row["measure"], row["verdict"], row["seeds"]) for row in rows] == [
        ("area", "better", "0 1 2"), ("final accuracy", "better", "0 1 2"),
    ]  # fmt: skip
    assert float(rows[0]["mean"]) == pytest.approx(0.05)
    assert float(rows[0]["deviation"]) == pytest.approx(0.01)
    assert rows[0]["seeds_needed"] == ""
    read = json.loads(json.dumps(comparison_json(comparison), allow_nan=False))
    assert read["methods"] == ["supervised+random", "supervised+badge"] and read["seeds"] == [0, 1, 2]
    assert read["verdicts"][0]["differences"] == pytest.approx([0.04, 0.05, 0.06])
    assert read["targets"][1]["needed"] == {
        "labels": 30, "known": "not reached", "words": "not reached with 30",
    }  # fmt: skip
    assert read["targets"][1]["saved"] == {"low": None, "high": None}
    assert read["without_baseline"] == [], "random is the baseline itself"
    assert read["runs"][0]["area"] == pytest.approx(0.625)
    end = read["curves"][-1]
    # 4.3027 · 0.01 / √3 = 0.02484.
    assert end["interval"]["high"] - end["mean"] == pytest.approx(0.02484, abs=1e-5)


def test_mean_curves_as_csv() -> None:
    runs = [*runs_with_gains((0.04, 0.05, 0.06)), run_record("vaal+vaal", 0, (0.5,), (10,))]
    comparison = compare_runs(runs)
    rows = list(csv.DictReader(curves_csv(comparison).splitlines()))
    assert len(rows) == 7
    best = rows[5]
    assert (best["method"], best["labels"], best["seeds"]) == ("supervised+badge", "30", "3")
    assert float(best["mean"]) == pytest.approx(0.8) and float(best["sd"]) == pytest.approx(0.01)
    assert float(best["high"]) - float(best["mean"]) == pytest.approx(0.02484, abs=1e-5)
    assert rows[6] == {
        "method": "vaal+vaal", "labels": "10", "mean": "0.5", "sd": "", "low": "", "high": "", "seeds": "1",
    }  # fmt: skip
