"""Settings that a grid varies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aral.benchmarking import (
    GridSpec,
    Resources,
    compare_grid,
    expanded,
    grid_of,
    grid_toml,
    read_grid,
    run_grid,
    unequal,
    units,
)
from aral.benchmarking.variations import combinations, named
from aral.errors import BadInput


def grid(*vary: str, **changes: Any) -> GridSpec:
    table = {
        "name": "g",
        "data": "digits",
        "methods": ["supervised+margin"],
        "seeds": [0],
        "vary": vary,
    } | changes
    return grid_of(table)


def test_every_combination_of_values_is_a_method_named_after_it() -> None:
    made = units(grid("learner.training.steps=5,10", "rounds.query_size=10,20", seeds=[0, 1]))
    assert [unit.name for unit in made[:4]] == [
        "supervised+margin@steps=5,query_size=10-seed0",
        "supervised+margin@steps=5,query_size=20-seed0",
        "supervised+margin@steps=10,query_size=10-seed0",
        "supervised+margin@steps=10,query_size=20-seed0",
    ]
    assert len(made) == 8 and [unit.spec.learner.training.steps for unit in made[:4]] == [5, 5, 10, 10]
    assert [unit.spec.rounds.query_size for unit in made[:4]] == [10, 20, 10, 20]


def test_a_grid_without_varied_settings_stays_as_it_is() -> None:
    assert [unit.name for unit in units(grid())] == ["supervised+margin-seed0"]
    assert units(grid())[0].spec.varied == ()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=1,2,3", ["1", "2", "3"]),
        ('a.b="x","y"', ['"x"', '"y"']),
        ("a.b=[4, 8],[16]", ["[4, 8]", "[16]"]),
        ("a.b=random,typiclust", ["random", "typiclust"]),
        ('a.b={begin = 1, end = 2},"p,q"', ["{begin = 1, end = 2}", '"p,q"']),
        (" a.b = 1e-3 , 2e-3 ", ["1e-3", "2e-3"]),
    ],
)
def test_values_are_separated_by_commas_outside_of_brackets_and_quotes(text: str, values: list[str]) -> None:
    assert combinations([text]) == [(f"a.b={value}",) for value in values]


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        (["steps"], "does not vary a setting"),
        (["a.b=5"], "does not vary a setting"),
        (["a.b=5,5"], "does not vary a setting"),
        (["a.b=5,6,5"], "value twice"),
        (["a.b=5,6", "a.b=7,8"], "varied twice"),
        (["seed=0,1"], "--seeds"),
        (["pool.label_noise=0,0.1"], "which all methods of a comparison share"),
        (["representation.backbone=pixels,gradients"], "which all methods"),
        (["acquisition=random,margin"], "--methods"),
    ],
)
def test_what_cannot_be_varied_is_refused(vary: list[str], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        combinations(vary)
    assert said in str(refused.value.problem) + refused.value.hint


def test_names_are_short_where_they_are_distinct() -> None:
    assert named(()) == ""
    assert named(("a.b.rate=0.1", "a.steps=5")) == "@rate=0.1,steps=5"
    assert named(("a.b.rate=0.1", "a.c.rate=0.2")) == "@a.b.rate=0.1,a.c.rate=0.2"
    assert named(('a.kind="x/y"',)) == "@kind=x-y"


def test_a_setting_that_a_method_lacks_is_not_varied_for_it_and_said() -> None:
    made, refused = expanded(
        grid("learner.training.steps=5,10", methods=["linear+random", "supervised+random"])
    )
    assert [str(unit.spec.method) for unit in made] == [
        "linear+random",
        "supervised+random@steps=5",
        "supervised+random@steps=10",
    ]
    (only,) = refused
    assert str(only).startswith("linear+random with learner.training.steps: ") and "once" in str(only)


def test_combinations_that_do_not_fit_are_left_out_and_named() -> None:
    vary = ("learner.training.steps=5,-1", "rounds.query_size=10,20")
    made, refused = expanded(grid(*vary))
    assert {unit.spec.learner.training.steps for unit in made} == {5} and len(made) == 2
    assert [each.settings for each in refused] == [
        ("learner.training.steps=-1", "rounds.query_size=10"),
        ("learner.training.steps=-1", "rounds.query_size=20"),
    ]
    assert all("learner.training.steps" in each.reason for each in refused)
    with pytest.raises(BadInput, match=r"No value of .* fits a method"):
        expanded(grid("learner.training.steps=-1,-2"))
    with pytest.raises(BadInput, match=r"Setting rounds.budget"):  # has nothing to do with the values
        expanded(grid("learner.training.steps=5,6", settings=["rounds.budget=-1"]))


def test_a_grid_file_holds_them(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    spec = grid("learner.networks.discriminator_sizes=[4, 8],[16]")
    path.write_text(grid_toml(spec))
    assert read_grid(path) == spec and len(units(spec)) == 2


def test_what_is_varied_may_differ_and_nothing_else() -> None:
    vary = ("learner.training.steps=5,10",)
    methods = ["supervised+random", "supervised+margin", "linear+random"]
    assert unequal(units(grid(*vary, methods=methods))) == {0: ()}
    own = {"supervised+margin": ["rounds.budget=50"]}
    lines = unequal(units(grid(*vary, methods=methods, method_settings=own)))[0]
    assert lines and all(line.startswith("rounds.budget") for line in lines)
    steps = {"supervised+margin": ["learner.training.labelled_batch=7"]}
    lines = unequal(units(grid(*vary, methods=methods, method_settings=steps)))[0]
    assert any("@steps=5 7" in line for line in lines) and any("@steps=10 7" in line for line in lines)


SETTINGS = ["rounds.budget=12", "rounds.query_size=6", "pool_size=60", "test_size=20"]


def test_a_grid_compares_each_value_with_random_queries_of_the_same_value(tmp_path: Path) -> None:
    """The first query has another size for each value, so other images: parity is within a value."""
    spec = grid(
        "rounds.query_size=4,6",
        methods=["linear+margin", "linear+random"],
        seeds=[0, 1, 2],
        settings=["rounds.budget=12", "pool_size=60", "test_size=20"],
    )
    result = run_grid(spec, tmp_path, Resources(1))
    assert [parity.verified for parity in result.parity] == [4, 4, 4]
    assert not any(parity.differences for parity in result.parity)
    comparison = compare_grid(result)
    assert comparison is not None
    assert {(row.method, row.baseline) for row in comparison.verdicts} == {
        (f"linear+margin@query_size={size}", f"linear+random@query_size={size}") for size in (4, 6)
    }


def test_one_method_alone_is_compared_with_its_first_value(tmp_path: Path) -> None:
    spec = grid("learner.inverse_penalty=1.0,0.01", methods=["linear+random"], settings=SETTINGS)
    comparison = compare_grid(run_grid(spec, tmp_path, Resources(1)))
    assert comparison is not None
    pairs = {(row.method, row.baseline) for row in comparison.verdicts}
    assert pairs == {("linear+random@inverse_penalty=0.01", "linear+random@inverse_penalty=1.0")}
