"""Seconds of a run against the kept rows, and the number of seeds that follows from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aral.benchmarking import GridSpec, default_seeds, units
from aral.benchmarking.cost import MEASURED, RunSeconds, estimated_seconds

ROWS = Path(__file__).parents[2] / "benchmarks" / "results" / "run_seconds.json"


def test_the_seconds_are_those_of_the_rows() -> None:
    rows = json.loads(ROWS.read_text())["rows"]
    assert {(row["data"], row["learner"]): RunSeconds(row["start"], row["round"]) for row in rows} == MEASURED


def seeds(*methods: str, settings: tuple[str, ...] = (), data: str = "digits") -> tuple[int, str]:
    grid = GridSpec(name="g", data=data, methods=methods, seeds=(0,), settings=settings)
    chosen = default_seeds(units(grid))
    return chosen.count, chosen.reason


def test_cheap_runs_get_ten_seeds() -> None:
    count, reason = seeds("supervised+random", "supervised+bald")
    assert count == 10
    assert "a run of supervised+random takes about 22 s of one processor core, less than a minute" in reason


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        (
            "supervised+random",
            ("learner.training.steps=1600",),
            "about 76 s of one processor core, more than",
        ),
        ("supervised+random", ("learner.networks.discriminator_sizes=[8]",), "were not measured"),
        ("aral+aral", (), "a run of aral+aral with these settings were not measured"),
    ],
)
def test_what_is_dear_or_unknown_gets_five(method: str, settings: tuple[str, ...], said: str) -> None:
    count, reason = seeds("supervised+random", method) if not settings else seeds(method, settings=settings)
    assert count == 5 and said in reason


def test_other_data_were_not_measured() -> None:
    assert seeds("supervised+random", data="mnist")[0] == 5


def test_seconds_follow_rounds_and_steps() -> None:
    grid = GridSpec(
        name="g",
        data="digits",
        methods=("supervised+random",),
        seeds=(0,),
        settings=("rounds.budget=30", "learner.training.steps=200"),
    )
    (unit,) = units(grid)
    # 3 rounds of half the preset's 400 steps.
    measured = MEASURED["digits", "supervised"]
    assert estimated_seconds(unit.spec) == pytest.approx(measured.start + 3 * measured.round / 2)
