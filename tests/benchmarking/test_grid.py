"""Grids: which units they hold, and their form as a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aral.benchmarking import (
    FullTraining,
    GridSpec,
    RunSpec,
    full_learner,
    full_units,
    grid_of,
    grid_toml,
    read_grid,
    units,
)
from aral.errors import BadInput

GRID = GridSpec(
    name="two",
    data="digits",
    methods=("random", "graph-ssl"),
    seeds=(4, 1),
    settings=("rounds.budget=40", "rounds.query_size=20", "learner.training.steps=7"),
    method_settings={"graph-ssl": ("learner.weights.adv=0.5",)},
)


def test_units_are_every_method_of_the_first_seed_then_of_the_next() -> None:
    made = units(GRID)
    assert [unit.name for unit in made] == [
        "supervised+random-seed4",
        "graph-ssl+aral-graph-seed4",
        "supervised+random-seed1",
        "graph-ssl+aral-graph-seed1",
    ]
    assert [unit.spec.seed for unit in made] == [4, 4, 1, 1]
    assert {unit.spec.rounds.budget for unit in made} == {40}
    assert {unit.spec.threads for unit in made} == {1}
    assert [unit.spec.learner.weights.adv for unit in made[1::2]] == [0.5, 0.5]
    assert {unit.spec.learner.training.steps for unit in made} == {7}


def test_a_common_setting_is_of_the_methods_that_have_it() -> None:
    """One that no method has, or with a wrong value, is refused, and so is a method's own that it lacks."""
    plain = GRID.model_copy(update={"seeds": (0,), "method_settings": {}})

    def made(*settings: str, **own: tuple[str, ...]) -> dict[str, RunSpec]:
        changed = {"settings": settings, "method_settings": own}
        return {unit.spec.learner.name: unit.spec for unit in units(plain.model_copy(update=changed))}

    found = made("learner.pretraining.steps=3", "learner.prediction.batch=4", "learner.weight=2.0")
    assert found["graph-ssl"].learner.pretraining.steps == 3
    assert found["supervised"].learner.weight == 2.0
    assert {spec.learner.prediction.batch for spec in found.values()} == {4}
    with pytest.raises(BadInput, match=r"no setting 'learner\.separate_gan\.loss'"):
        made("learner.separate_gan.loss=hinge")
    with pytest.raises(BadInput, match=r"Setting learner\.pretraining\.steps"):
        made("learner.pretraining.steps=-3")
    with pytest.raises(BadInput, match=r"no setting 'learner\.pretraining\.steps'"):
        made(random=("learner.pretraining.steps=3",))


def test_a_method_or_seed_may_not_be_there_twice_under_any_name() -> None:
    for change in ({"methods": ("random", "supervised+random")}, {"seeds": (1, 1)}):
        with pytest.raises(BadInput, match="twice"):
            units(GRID.model_copy(update={"method_settings": {}, **change}))


def test_settings_of_a_method_that_is_not_compared_are_refused() -> None:
    with pytest.raises(BadInput, match="vaal"):
        units(GRID.model_copy(update={"method_settings": {"vaal": ("learner.weights.adv=0",)}}))


def test_full_training_has_all_labels_in_one_round_and_as_many_steps_as_all_rounds() -> None:
    assert full_units(GRID, 1437) == ()
    full = GRID.model_copy(update={"full": FullTraining(seeds=2)})
    made = full_units(full, 1437)
    assert [unit.name for unit in made] == ["full-supervised-seed4", "full-supervised-seed1"]
    for unit in made:
        assert unit.spec.rounds.query_size == unit.spec.rounds.budget == 1437
        assert unit.spec.rounds.first_query == "random"
        assert unit.spec.learner.training.steps == 14  # 2 rounds of 7
    stated = GRID.model_copy(update={"full": FullTraining(learner="aral:released", steps=99)})
    (unit,) = full_units(stated, 10)
    assert (unit.spec.learner.title, unit.spec.learner.training.steps) == ("aral:released", 99)


@pytest.mark.parametrize(
    ("methods", "backbone", "learner"),
    [
        (("aral:released:no-sampler", "random"), "pixels", "aral:released:no-sampler"),
        (("random", "aral"), "pixels", "supervised"),
        (("auto+random", "aral"), "pixels", "graph-ssl"),
        (("auto",), "gradients", "pseudo-label"),
    ],
)
def test_full_training_is_of_the_first_method_s_learner(
    methods: tuple[str, ...], backbone: str, learner: str
) -> None:
    settings = (f'representation.backbone="{backbone}"',)
    grid = GridSpec(name="g", data="digits", methods=methods, settings=settings, full=FullTraining())
    (unit,) = full_units(grid, 10)
    assert full_learner(grid) == unit.spec.learner.title == learner
    assert unit.name == f"full-{learner}-seed0"


def test_full_training_of_and_beside_a_learner_without_training_steps() -> None:
    """Logistic regression has none, so the steps of full training are those of the first unit that has some."""
    table = {
        "name": "g",
        "data": "digits",
        "settings": ('representation.backbone="gradients"',),
        "seeds": (0,),
    }
    settings = {"learner": "linear"}
    (unit,) = full_units(grid_of(table | {"methods": ("linear",), "full": settings}), 10)
    assert unit.spec.learner.name == "linear" and unit.spec.rounds.budget == 10
    mixed = table | {"methods": ("linear", "supervised+random"), "full": {}}
    (unit,) = full_units(grid_of(mixed | {"full": {"learner": "supervised"}}), 10)
    compared = units(grid_of(mixed))[1].spec
    assert unit.spec.learner.training.steps == compared.learner.training.steps * compared.rounds.count()
    other = table | {"methods": ("linear",), "full": {"learner": "supervised"}}
    (unit,) = full_units(grid_of(other), 10)
    assert unit.spec.learner.training.steps == compared.learner.training.steps, "the preset's"


TEXT = st.text(min_size=1, max_size=8)


@given(
    st.builds(
        GridSpec,
        name=TEXT,
        data=TEXT,
        methods=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
        seeds=st.lists(st.integers(-5, 2**40), min_size=1, max_size=3).map(tuple),
        settings=st.lists(TEXT, max_size=2).map(tuple),
        threads=st.integers(1, 9),
        method_settings=st.dictionaries(TEXT, st.lists(TEXT, max_size=2).map(tuple), max_size=2),
        full=st.none() | st.builds(FullTraining, learner=TEXT, steps=st.none() | st.integers(1, 99)),
        allow_unequal=st.booleans(),
    )
)
def test_a_grid_reads_back_from_its_file(tmp_path_factory: pytest.TempPathFactory, grid: GridSpec) -> None:
    path = tmp_path_factory.mktemp("grid") / "grid.toml"
    path.write_text(grid_toml(grid), encoding="utf-8")
    assert read_grid(path) == grid
    assert grid_of(json.loads(grid.model_dump_json())) == grid


def test_errors_in_a_file_name_the_file_and_the_field(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    with pytest.raises(BadInput, match=r"grid\.toml cannot be read"):
        read_grid(path)
    path.write_text("name = ")
    with pytest.raises(BadInput, match="not valid TOML"):
        read_grid(path)
    path.write_text('name = "a"\ndata = "digits"\nmethods = []\n')
    with pytest.raises(BadInput, match="methods"):
        read_grid(path)
    path.write_text('name = "a"\ndata = "digits"\nmethods = ["aral"]\nmethod = 1\n')
    with pytest.raises(BadInput, match="method:"):
        read_grid(path)
