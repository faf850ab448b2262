"""The pooled deviation against numbers worked out by hand, nested least-squares models, and simulations."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from aral.benchmarking.two_way import Scores, TwoWay, corrected, pair_test, two_way

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def table(*rows: list[float | None]) -> dict[str, dict[int, float]]:
    """Scores from one row a method, named "a", "b" …, and one column a seed; None where the run is missing."""
    return {
        name: {seed: float(value) for seed, value in enumerate(row) if value is not None}
        for name, row in zip("abcdefghijklm", rows, strict=False)
    }


def test_a_table_by_hand() -> None:
    # Rows have means 0, 6 and 0; columns all have mean 2. So the residuals are a: 0 0 0, b: 1 −2 1, c: −1 2 −1, their
    # squares sum up to 12, and with (3 − 1)(3 − 1) = 4 degrees of freedom the variance is 3.
    scores = table([0, 0, 0], [7, 4, 7], [-1, 2, -1])
    layout = two_way(scores)
    assert layout.pool is not None and layout.outlying == ()
    assert (layout.pool.degrees_of_freedom, layout.pool.deviation) == (4, pytest.approx(math.sqrt(3)))
    # Without b: the differences a − c are 1 −2 1, the residual squares (1 + 4 + 1) / 2 = 3 with 2 degrees of freedom.
    # So b's own variance is (12 − 3) / 2, F = 4.5 / 1.5 = 3, and with (2, 2) degrees of freedom p = 1 / (1 + F).
    assert (layout.pool.methods["b"].ratio, layout.pool.methods["b"].p) == (
        pytest.approx(3),
        pytest.approx(0.25),
    )
    # Without a: b − c is 8 2 8, the residual squares (4 + 16 + 4) / 2 = 12: nothing is left for a.
    assert (layout.pool.methods["a"].ratio, layout.pool.methods["a"].p) == (
        pytest.approx(0),
        pytest.approx(1),
    )
    test = layout.test("b", "a", 6.0, 3)
    assert test is not None
    assert test.deviation == pytest.approx(math.sqrt(6))
    # Box for variances 16, 1, 1: trace 18 · 2/3 = 12, trace of the square (256 + 2) · 1/3 + 18² / 9 = 122.
    assert test.degrees_of_freedom == pytest.approx(2 * 12**2 / 122)
    assert test.p == pytest.approx(2 * stats.t.sf(6 / math.sqrt(2), 2 * 12**2 / 122))


def test_many_methods_and_seeds_have_all_degrees_of_freedom() -> None:
    draw = np.random.default_rng(0)
    layout = two_way(table(*draw.normal(size=(12, 5)).tolist()))
    assert layout.pool is not None
    # With deviations 4 : 1 the expected ratio is 16 − 15 / 12 = 14.75.
    bound = stats.f.isf(0.02, 4, 40)
    assert layout.pool.methods["a"].missed == pytest.approx(stats.f.cdf(bound / 14.75, 4, 40))
    test = layout.test("a", "b", 1.0, 5)
    assert test is not None and test.degrees_of_freedom == 44
    few = two_way(table(*draw.normal(size=(12, 4)).tolist()))
    cautious = few.test("a", "b", 1.0, 4)
    assert cautious is not None and cautious.degrees_of_freedom == pytest.approx(8.08, abs=0.01)


def squares(scores: Scores) -> tuple[float, int]:
    """Residual squares and degrees of freedom by ordinary least squares with explicit indicator columns."""
    cells = [(name, seed) for name, by_seed in scores.items() for seed in by_seed]
    names, seeds = ({cell[place] for cell in cells} for place in (0, 1))
    columns = [[float(cell[0] == name) for cell in cells] for name in names]
    columns += [[float(cell[1] == seed) for cell in cells] for seed in seeds]
    design, values = np.array(columns).T, np.array([scores[name][seed] for name, seed in cells])
    fitted, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    return float(((values - design @ fitted) ** 2).sum()), len(cells) - int(rank)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 6), st.integers(2, 5), st.floats(0, 0.4))
def test_nested_models_say_the_same_with_missing_runs(
    seed: int, methods: int, seeds: int, missing: float
) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(methods, seeds))
    scores = table(*([None if draw.random() < missing else float(value) for value in row] for row in values))
    scores = {name: by_seed for name, by_seed in scores.items() if by_seed}
    layout = two_way(scores)
    if layout.pool is None:
        return
    scores = {name: by_seed for name, by_seed in scores.items() if name not in layout.outlying}
    whole, degrees = squares(scores)
    assert layout.pool.degrees_of_freedom == degrees
    assert layout.pool.deviation == pytest.approx(math.sqrt(whole / degrees))
    for name, deviation in layout.pool.methods.items():
        rest, other_degrees = squares({other: row for other, row in scores.items() if other != name})
        ratio = (whole - rest) / (degrees - other_degrees) / (rest / other_degrees)
        assert deviation.ratio == pytest.approx(ratio, rel=1e-6)
        assert deviation.p == pytest.approx(
            stats.f.sf(ratio, degrees - other_degrees, other_degrees), abs=1e-9
        )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_what_a_whole_method_or_seed_has_more_changes_nothing(seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(4, 3))
    moved = values + draw.normal(size=(4, 1)) + draw.normal(size=3)
    plain, other = two_way(table(*values.tolist())), two_way(table(*moved.tolist()))
    assert other.outlying == plain.outlying and (other.pool is None) == (plain.pool is None)
    if plain.pool is not None and other.pool is not None:
        assert other.pool.deviation == pytest.approx(plain.pool.deviation)
        assert [each.p for each in other.pool.methods.values()] == pytest.approx(
            [each.p for each in plain.pool.methods.values()]
        )


def test_missing_runs_cost_degrees_of_freedom() -> None:
    layout = two_way(table([1, 2, 4], [2, 3, 1], [0, 5, None], [None, None, 3]))
    # 9 runs, 4 methods, 3 seeds: 9 − (4 + 3 − 1). The last method has one run and so no residual.
    assert layout.pool is not None
    assert layout.pool.degrees_of_freedom == 3 and set(layout.pool.methods) == {"a", "b", "c"}
    assert layout.test("d", "a", 1.0, 3) is None


@pytest.mark.parametrize(
    "scores",
    [
        table([1, 2, 4], [2, 3, 1]),  # two methods: the paired differences say all
        table([0.1, 0.2, 0.4], [0.3, 0.4, 0.6], [0, 0.1, 0.3]),  # no residuals but rounding errors
        table([1.0], [2.0], [3.0]),  # one seed
        table([1, None, None], [None, 2, None], [None, None, 3]),  # nothing shared
        {},
    ],
)
def test_nothing_is_pooled(scores: Scores) -> None:
    assert two_way(scores) == TwoWay(None, ())


def test_an_uneven_method_is_judged_alone_and_the_others_are_not() -> None:
    steady = [[0.0, 1.0, 0.0, -1.0, 0.0], [1.0, 0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, -1.0]]
    scores = table(*steady, [0.0, 0.0, 0.0, 1.0, -1.0], [20.0, -20.0, 20.0, -20.0, 5.0])
    layout = two_way(scores)
    assert layout.uneven("e", "a") == ("e",)
    alone = pair_test(scores, layout, "e", "a")
    assert alone is not None
    assert alone.pooled is None and alone.uneven == ("e",) and alone.deciding is alone.paired.t_test
    pooled = pair_test(scores, layout, "b", "a")
    assert pooled is not None and pooled.pooled is not None and pooled.deciding is pooled.pooled
    # What is far larger is left out, and does not hide what the others show.
    assert pooled.outlying == layout.outlying == ("e",)
    others = two_way({name: by_seed for name, by_seed in scores.items() if name != "e"})
    assert pooled.pooled == others.test("b", "a", pooled.paired.mean, 5)
    against = pair_test(scores, layout, "a", "e")
    assert against is not None and against.uneven == ("e",), "so is every method with an uneven baseline"


def test_a_larger_deviation_is_judged_alone_but_stays_in_the_pool() -> None:
    draw = np.random.default_rng(1)
    values = draw.normal(size=(6, 5))
    values[5] *= 3
    layout = two_way(table(*values.tolist()))
    assert layout.pool is not None and layout.outlying == () and layout.uneven("a", "f") == ("f",)
    assert 0.001 < layout.pool.methods["f"].p < 0.02


def test_methods_that_are_alike_in_all_seeds_make_any_deviation_outlying() -> None:
    layout = two_way(table([0.1, 0.2, 0.4], [0.2, 0.3, 0.5], [0, 0.5, 0.3]))
    assert layout == TwoWay(None, ("c",)) and layout.uneven("a", "c") == ("c",)


def test_a_test_that_cannot_be_made_counts_as_not_significant() -> None:
    assert corrected([None]) == [1.0]


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("verdict_power")


@pytest.mark.parametrize(
    ("seeds", "difference", "least"),
    [(3, -13.0, 0.75), (5, -6.0, 0.6)],
)
def test_a_difference_is_found_far_more_often_than_by_the_method_alone(
    simulation: ModuleType, seeds: int, difference: float, least: float
) -> None:
    shares = simulation.simulate(simulation.Case("equal", 11, seeds, difference), 60, 1)
    assert shares["rule"] > least and shares["rule"] > shares["paired"] + 0.3


@pytest.mark.parametrize(
    ("scenario", "seeds"),
    [("equal", 5), ("uneven method", 3), ("uneven baseline", 3), ("uneven baseline", 5), ("missing runs", 5)],
)
def test_false_verdicts_stay_rare(simulation: ModuleType, scenario: str, seeds: int) -> None:
    """0.06 and three standard errors of 150 repetitions; the pooled deviation alone has 0.27 in the worst case."""
    shares = simulation.simulate(simulation.Case(scenario, 11, seeds), 150, 1)
    assert shares["rule"] < 0.06 + 3 * math.sqrt(0.06 * 0.94 / 150)
    if scenario == "uneven baseline":
        assert shares["pooled only"] > 0.15
