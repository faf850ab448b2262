"""Rows and tables against numbers worked out by hand."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.errors import BadInput
from aral.reports.record import RunRecord, read_run
from aral.reports.tables import (
    CurvePoint,
    CurveRow,
    Table,
    TidyRow,
    check_comparable,
    csv_text,
    curve_points,
    curve_rows,
    json_text,
    side_by_side,
    tidy_rows,
)

MakeRun = Callable[..., Path]


def three_runs(make_run: MakeRun) -> list[RunRecord]:
    """Two seeds of one method, one of another that began with 20 labels."""
    return [
        read_run(make_run("a", accuracies=(0.5, 0.8))),
        read_run(make_run("b", accuracies=(0.7, None), seed=1)),
        read_run(make_run("c", accuracies=(0.25,), method="random", first_labelled=20)),
    ]


def test_rows_of_curves_leave_out_what_is_not_evaluated(make_run: MakeRun) -> None:
    assert curve_rows(three_runs(make_run)) == [
        CurveRow("aral+aral", 0, 10, 0.5),
        CurveRow("aral+aral", 0, 20, 0.8),
        CurveRow("aral+aral", 1, 10, 0.7),
        CurveRow("random", 0, 20, 0.25),
    ]


def test_points_are_means_and_sample_deviations() -> None:
    rows = [CurveRow("m", seed, 10, accuracy) for seed, accuracy in enumerate((0.5, 0.6, 0.7))]
    (point,) = curve_points(rows)
    assert point.mean == pytest.approx(0.6)
    assert point.deviation == pytest.approx(0.1)  # √((0.01 + 0 + 0.01) / 2)
    assert point.seeds == 3
    assert curve_points(rows[:1]) == [CurvePoint("m", 10, 0.5, None, 1)]
    again = curve_points([CurveRow("m", 0, 10, 0.1), CurveRow("m", 0, 10, 0.3)])
    assert again == [CurvePoint("m", 10, 0.3, None, 1)]


def test_side_by_side_to_the_letter(make_run: MakeRun) -> None:
    # Deviation of 50 and 70: √((10² + 10²) / 1) = 14.14.
    assert side_by_side(three_runs(make_run)) == (
        "labels          aral+aral  random\n"
        "------  -----------------  ------\n"
        "    10  60.00 ± 14.14 (2)       –\n"
        "    20              80.00   25.00"
    )


def test_a_table_refuses_a_row_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="2 cells under 1 heads"):
        Table(("a",), (("1", "2"),))


def test_tidy_rows_hold_every_number(make_run: MakeRun) -> None:
    rows = tidy_rows([read_run(make_run("x", accuracies=(0.5, 0.75)))])
    assert [row.metric for row in rows[:6]] == [
        "accuracy", "latent KL", "latent std", "query seconds", "sampler AUC", "train seconds",
    ]  # fmt: skip
    assert rows[6] == TidyRow("x", 0, "aral+aral", 1, 20, "accuracy", 0.75)
    assert len(rows) == 12


names = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)
tidy = st.builds(
    TidyRow, names, st.integers(), names, st.integers(0, 9), st.integers(0, 99), names, st.floats()
)


@settings(max_examples=60, deadline=None)
@given(st.lists(tidy, max_size=4))
def test_csv_reads_back_exactly(rows: list[TidyRow]) -> None:
    read = list(csv.DictReader(StringIO(csv_text(rows), newline="")))
    assert len(read) == len(rows)
    for row, back in zip(rows, read, strict=True):
        assert list(back) == ["run", "seed", "method", "round", "n_labelled", "metric", "value"]
        assert (back["run"], back["method"], back["metric"]) == (row.run, row.method, row.metric)
        numbers = (int(back["seed"]), int(back["round"]), int(back["n_labelled"]))
        assert numbers == (row.seed, row.round, row.n_labelled)
        value = float(back["value"])
        assert value == row.value or (math.isnan(value) and math.isnan(row.value))


def test_json_is_strict() -> None:
    rows = [TidyRow("é", 0, "m", 0, 1, "x", value) for value in (0.1, math.nan, -math.inf)]

    def refuse(name: str) -> None:
        raise ValueError(name)

    read = json.loads(json_text(rows), parse_constant=refuse)
    assert [entry["value"] for entry in read] == [0.1, None, None]
    first = {"run": "é", "seed": 0, "method": "m", "round": 0, "n_labelled": 1, "metric": "x", "value": 0.1}
    assert read[0] == first


def test_runs_that_do_not_belong_together_are_refused(make_run: MakeRun) -> None:
    run = read_run(make_run("a"))
    check_comparable([run, read_run(make_run("b", seed=1)), read_run(make_run("c", method="other"))])
    with pytest.raises(BadInput, match=r"on shapes \(JPEG copy\), but .* on shapes\."):
        check_comparable([run, read_run(make_run("d", note="", seed=1))])
    with pytest.raises(BadInput, match=r"both of aral\+aral, seed 0"):
        check_comparable([run, read_run(make_run("e"))])
    with pytest.raises(BadInput, match="no run"):
        check_comparable([])
