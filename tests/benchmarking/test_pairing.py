"""A grid in which a learner cannot answer its acquisition is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from aral.benchmarking import (
    GridSpec,
    Method,
    Resources,
    check_pairings,
    learner_titles,
    resolve,
    run_grid,
    units,
)
from aral.benchmarking.grid import FullTraining, Unit
from aral.cli.app import app
from aral.data import NAMES, load, shape_of
from aral.errors import BadInput
from aral.learners import Learner, SupervisedSettings, Task

SMALL = ("rounds.budget=6", "rounds.query_size=3", "learner.training.steps=1", "pool_size=60", "test_size=20")


@pytest.mark.parametrize("method", ["supervised+vaal", "bgadl+aral"])
def test_an_impossible_pairing_leaves_no_folder(tmp_path: Path, method: str) -> None:
    grid = GridSpec(name="g", data="digits", methods=("random", method), seeds=(0,), settings=SMALL)
    with pytest.raises(BadInput, match=r"needs sampler.logits, which learner '\w+' does not supply"):
        run_grid(grid, tmp_path / "grid", Resources(workers=1))
    assert not (tmp_path / "grid").exists()


def test_a_first_query_that_needs_training_is_refused_too(tmp_path: Path) -> None:
    settings = (*SMALL, 'rounds.first_query="bald"')
    grid = GridSpec(name="g", data="digits", methods=("random",), seeds=(0,), settings=settings)
    with pytest.raises(BadInput, match="cannot make the first query"):
        run_grid(grid, tmp_path / "grid", Resources(workers=1))
    assert not (tmp_path / "grid").exists()


def test_the_learner_of_full_training_is_checked(tmp_path: Path) -> None:
    full = FullTraining(learner="no-co-training", settings=("learner.classifier.width=8",))
    grid = GridSpec(name="g", data="digits", methods=("random",), seeds=(0,), settings=SMALL, full=full)
    with pytest.raises(BadInput, match="accept"):
        run_grid(grid, tmp_path / "grid", Resources(workers=1))
    assert not (tmp_path / "grid").exists()


def test_a_dry_run_refuses_it_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["compare", "mnist", "--methods", "random,supervised+vaal", "--dry-run"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, BadInput) and "does not supply" in done.exception.problem
    assert not done.stdout
    words = ["figures", "fig3", "--panel", "mnist", "--scale", "0.001", "--dry-run"]
    done = CliRunner().invoke(app, [*words, "--set", 'rounds.first_query="bald"'])
    assert isinstance(done.exception, BadInput) and "cannot make the first query" in done.exception.problem


def test_every_learner_is_made_without_its_weights() -> None:
    for title in set(learner_titles()) - {"aral:printed"}:  # the paper prints no values for digits
        check_pairings([Unit(title, resolve("digits", Method.parse(title)))])


def test_each_pairing_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    build = SupervisedSettings.build

    def counted(settings: SupervisedSettings, task: Task) -> Learner:
        made.append(settings.title)
        return build(settings, task)

    monkeypatch.setattr(SupervisedSettings, "build", counted)
    grid = GridSpec(name="g", data="digits", methods=("random", "supervised+bald"), seeds=(0, 1, 2))
    check_pairings(units(grid))
    assert made == ["supervised", "supervised"]


def test_the_shape_of_a_set_is_known_without_reading_it() -> None:
    assert shape_of("digits") == load("digits").pool.shape
    assert shape_of("imagenet", 128) == (3, 128, 128) and shape_of("celeba") == (3, 64, 64)
    assert all(len(shape_of(name)) == 3 for name in NAMES)
