"""The paper's figures: complete specifications, and honesty about what is shrunk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from aral import benchmarking
from aral.benchmarking import GridSpec, figure_names, full_units, read_figure, scaled, units
from aral.benchmarking.figures import Figure, FixedDifference, Panel
from aral.benchmarking.parity import check_equal
from aral.benchmarking.ramps import ramps_of
from aral.benchmarking.spec import flattened
from aral.cli.app import app
from aral.errors import BadInput

PANELS = [(name, panel.name) for name in ("fig3", "fig4", "fig5") for panel in read_figure(name).panels]

WORDS = {
    "learner.training.steps": "training steps a round",
    "pool_size": "images in the pool",
    "test_size": "images in the test set",
    "rounds.query_size": "labels a round",
    "rounds.budget": "labels in all",
}


def panel_of(figure: str, name: str) -> Panel:
    return next(panel for panel in read_figure(figure).panels if panel.name == name)


def grid_of(figure: str, name: str, scale: float) -> GridSpec:
    return scaled(read_figure(figure), panel_of(figure, name), scale).grid


def test_the_three_figures_with_results_are_there() -> None:
    assert figure_names() == ["fig3", "fig4", "fig5"]
    assert PANELS == [
        ("fig3", "mnist"),
        ("fig3", "svhn"),
        ("fig3", "cifar10"),
        ("fig4", "celeba"),
        ("fig4", "imagenet"),
        ("fig5", "cifar10"),
    ]
    with pytest.raises(BadInput, match="Unknown figure 'fig6'"):
        read_figure("fig6")


@pytest.mark.parametrize(
    ("figure", "name", "query_size", "rounds"),
    [
        ("fig3", "mnist", 10, 10),
        ("fig3", "svhn", 100, 10),
        ("fig3", "cifar10", 500, 10),
        ("fig4", "celeba", 100, 10),
        ("fig4", "imagenet", 64058, 8),
        ("fig5", "cifar10", 500, 10),
    ],
)
def test_budgets_and_rounds_are_the_papers(figure: str, name: str, query_size: int, rounds: int) -> None:
    for unit in units(grid_of(figure, name, 1.0)):
        assert unit.spec.rounds.query_size == query_size
        assert unit.spec.rounds.budget == rounds * query_size
        assert unit.spec.rounds.first_query == "random"
        assert unit.spec.pool_size is unit.spec.test_size is None


@pytest.mark.parametrize(("figure", "name"), PANELS)
@pytest.mark.parametrize("scale", [1.0, 0.1, 0.001])
def test_every_setting_that_was_shrunk_is_said(figure: str, name: str, scale: float) -> None:
    plan = scaled(read_figure(figure), panel_of(figure, name), scale)
    check_equal(units(plan.grid), allow=False)
    said = {each.what: each for each in plan.differences}
    for here, paper in zip(units(plan.grid), units(grid_of(figure, name, 1.0)), strict=True):
        one, other = flattened(here.spec), flattened(paper.spec)
        changed = {key for key in one if one[key] != other[key]}
        ramps = {key for key in changed if "_ramp." in key}
        assert changed - ramps <= set(WORDS)
        for key in ramps:
            ramp = key.rpartition(".")[0]
            assert f"{one[key]:,}" in said[f"{ramp} of {here.spec.learner.title}"].here
        for key in changed - ramps:
            assert said[WORDS[key]].here == f"{one[key]:,}"
            assert said[WORDS[key]].paper != said[WORDS[key]].here
    assert said["seeds"].paper == said["Monte-Carlo passes"].paper == "not stated"
    assert said["Monte-Carlo passes"].here == "20"
    learners = {unit.spec.learner.title for unit in units(plan.grid)}
    assert ("aral:released" in learners) == ("objective of ARAL" in said)
    if "objective of ARAL" in said:
        assert said["objective of ARAL"].paper == "eq. 7 to 10"
        released = {title for title in learners if title.startswith("aral:released")}
        assert all(title in said["objective of ARAL"].here for title in released)
    precision = units(plan.grid)[0].spec.learner.training.precision
    assert (precision == "bfloat16") == ("precision of products" in said)


def test_a_tenth_of_mnist_worked_out_by_hand() -> None:
    (unit, *_) = units(grid_of("fig3", "mnist", 0.1))
    assert unit.spec.learner.training.steps == 120_000
    assert (unit.spec.pool_size, unit.spec.test_size) == (6000, 2000)  # 1,000 test images are too few
    (tiny, *_) = units(grid_of("fig3", "mnist", 0.001))
    assert (tiny.spec.learner.training.steps, tiny.spec.pool_size) == (1200, 1000)  # ten images a label


def test_labels_given_as_a_share_of_the_pool_shrink_with_it() -> None:
    spec = units(grid_of("fig4", "imagenet", 0.01))[0].spec
    assert (spec.pool_size, spec.rounds.query_size, spec.rounds.budget) == (12812, 641, 5128)


@settings(deadline=None)
@given(st.sampled_from(PANELS), st.floats(1e-6, 1.0))
def test_any_scale_leaves_a_pool_that_holds_the_budget(place: tuple[str, str], scale: float) -> None:
    spec = units(grid_of(*place, scale))[0].spec
    pool = spec.pool_size or panel_of(*place).pool
    assert 1 <= spec.rounds.query_size <= spec.rounds.budget <= pool
    assert spec.learner.training.steps >= 1


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(PANELS), st.floats(1e-6, 1.0))
def test_a_ramp_ends_within_the_run_at_any_scale(place: tuple[str, str], scale: float) -> None:
    grid = grid_of(*place, scale)
    for unit in (*units(grid), *full_units(grid, panel_of(*place).pool)):
        rounds = -(-unit.spec.rounds.budget // unit.spec.rounds.query_size)
        for ramp in ramps_of(unit.spec):
            assert ramp.ramp.end <= rounds * unit.spec.learner.training.steps


def test_a_ramp_keeps_its_place_in_a_round() -> None:
    """The preset has 10,000 to 25,000 of 50,000 steps a round; the line of full training gets the same."""
    plan = scaled(read_figure("fig4"), panel_of("fig4", "imagenet"), 0.001)
    (learned,) = [unit for unit in units(plan.grid) if unit.spec.learner.name == "no-co-training"]
    (full,) = full_units(plan.grid, 1281)
    for spec in (learned.spec, full.spec):
        ramp = spec.learner.weights.generated_ramp
        assert (ramp.begin, ramp.end) == (10, 25)
    assert learned.spec.learner.training.steps == 50
    (said,) = [each for each in plan.differences if "generated_ramp of no-co-training" in each.what]
    assert "from 10,000 to 25,000" in said.paper and said.here == "steps 10 to 25"
    other = ("learner.weights.generated_ramp.begin=3", "learner.weights.generated_ramp.end=4")
    changed = scaled(read_figure("fig4"), panel_of("fig4", "imagenet"), 0.001, extra=other)
    ends = {ramp.ramp.end for unit in units(changed.grid) for ramp in ramps_of(unit.spec)}
    assert ends == {4}


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.5])
def test_a_scale_outside_its_range_is_refused(scale: float) -> None:
    with pytest.raises(BadInput, match="not in"):
        grid_of("fig3", "mnist", scale)


def test_the_methods_are_the_papers() -> None:
    baselines = ["supervised+random", "supervised+max-entropy", "supervised+bald", "vaal+vaal"]
    wanted = {
        ("fig3", "mnist"): [*baselines, "aral:released+aral"],
        ("fig4", "imagenet"): [*baselines, "no-co-training+vaal"],
        ("fig5", "cifar10"): [
            "supervised+random",
            "aral:released:no-sampler+random",
            "aral:released:no-encoder+bald",
            "no-co-training+vaal",
            "aral:released+aral",
        ],
    }
    for place, methods in wanted.items():
        seeds = panel_of(*place).seeds
        made = [str(unit.spec.method) for unit in units(grid_of(*place, 0.001))]
        assert made == methods * seeds


def test_a_dry_run_lists_units_work_and_differences() -> None:
    done = CliRunner().invoke(app, ["figures", "fig3", "--scale", "0.001", "--seeds", "2", "--dry-run"])
    assert done.exit_code == 0
    assert "training steps a round: paper: 1,200,000" in done.output and "/ here: 1,200" in done.output
    assert "unit vaal+vaal-seed1" in done.output and "vaal+vaal-seed2" not in done.output
    # 5 methods, 2 seeds, 10 rounds of 1,200, 1,030 and 600 steps
    for steps in ("120,000", "103,000", "60,000"):
        assert f"10 units, {steps} training steps" in done.output


def test_a_panel_without_data_is_reported_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = Panel(
        name="small",
        data="digits",
        methods=("random",),
        query_size=10,
        budget=20,
        pool=1437,
        test=360,
        steps=40,
        steps_source="made up",
        seeds=1,
        differences=(FixedDifference(what="digits", paper="of MNIST", here="of scikit-learn"),),
    )
    absent = panel.model_copy(update={"name": "absent", "data": "svhn"})
    figure = Figure(name="fig", title="Made up", panels=(absent, panel))
    monkeypatch.setattr(benchmarking, "read_figure", lambda name: figure)
    arguments = ["figures", "fig", "--scale", "0.05", "--folder", str(tmp_path), "--data-root", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, "--json", "--workers", "1"])
    assert isinstance(done.exception, BadInput) and "1 of 2 panels" in done.exception.problem
    assert "Panel absent is skipped: Data set 'svhn' was not found" in done.stderr
    (table,) = json.loads(done.stdout)
    assert [unit["state"] for unit in table["units"]] == ["done"]
    (parity,) = table["parity"]
    assert parity["verified"] == 1 and len(parity["hash"]) == 12 and not parity["differences"]
    page = (tmp_path / "small" / "comparison.html").read_text()
    recorded = json.loads((tmp_path / "small" / "grid.json").read_text())
    for what, here in (
        ("training steps a round", "2"),
        ("images in the pool", "200"),
        ("digits", "of scikit-learn"),
    ):
        assert {"what": what, "here": here}.items() <= next(
            each for each in recorded["differences"] if each["what"] == what
        ).items()
        assert what in page and here in page
    assert parity["hash"] in page
