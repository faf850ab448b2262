"""Runs whose oracle costs something, is wrong, or does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aral.benchmarking import (
    Method,
    Resources,
    RunRecord,
    RunSpec,
    grid_of,
    load_data,
    read_run,
    resolve,
    run,
    run_grid,
)
from aral.benchmarking.runs import oracle_of
from aral.benchmarking.spending import read_costs
from aral.errors import BadInput
from aral.loop.reading import store_reading
from aral.types import ClassAnswer, NoClassAnswer

SIZES = {"pool_size": 80, "test_size": 20, "threads": 1}


def spec_of(*settings: str, budget: int = 24, query_size: int = 8, seed: int = 0) -> RunSpec:
    rounds = (f"rounds.budget={budget}", f"rounds.query_size={query_size}", 'rounds.first_query="random"')
    return resolve("digits", Method.parse("linear+random"), [*rounds, *settings], None, seed=seed, **SIZES)


def done(folder: Path, spec: RunSpec) -> RunRecord:
    return read_run(run(spec, load_data(spec), folder))


def asked(record: RunRecord) -> list[int]:
    return [image for each in record.rounds for image in each.answers]


def test_a_cost_of_each_image_makes_the_budget_a_cost(tmp_path: Path) -> None:
    record = done(tmp_path / "run", spec_of("oracle.cost=2.5", budget=50))
    assert [each.labelled for each in record.rounds] == [8, 16, 20]
    assert [each.numbers["cost"] for each in record.rounds] == [20, 40, 50]
    assert record.rounds[-1].stage is not None


def test_an_image_that_exceeds_the_budget_ends_the_run(tmp_path: Path) -> None:
    spec = spec_of("oracle.cost_by_class.3=5", budget=30)
    record = done(tmp_path / "run", spec)
    data = load_data(spec)
    costs = np.where(data.pool_classes == 3, 5.0, 1.0)
    spent = float(costs[asked(record)].sum())
    assert record.rounds[-1].numbers["cost"] == spent and 25 < spent <= 30
    queried = [image for each in record.rounds if each.selection for image in each.selection.ids.tolist()]
    next_image = [image for image in queried if image not in asked(record)][:1]
    if next_image:
        assert spent + costs[next_image[0]] > 30
    again = done(tmp_path / "run", spec)
    assert len(again.rounds) == len(record.rounds), "a run that ended stays as it is"


def test_the_same_images_are_asked_for_whatever_they_cost(tmp_path: Path) -> None:
    exact = done(tmp_path / "exact", spec_of())
    costly = done(tmp_path / "costly", spec_of("oracle.cost=1"))
    assert asked(exact) == asked(costly)
    assert [each.accuracy for each in exact.rounds] == [each.accuracy for each in costly.rounds]
    assert "cost" not in exact.rounds[0].numbers
    with store_reading(tmp_path / "exact") as store:
        assert store.setting("budget spent") is None


def test_answers_without_a_class_are_spent_or_not(tmp_path: Path) -> None:
    spent = done(tmp_path / "spent", spec_of("oracle.unknown=0.4"))
    assert len(asked(spent)) == 24 and spent.rounds[-1].labelled < 20
    assert spent.rounds[-1].numbers["answers without a class"] == 24 - spent.rounds[-1].labelled
    free = done(tmp_path / "free", spec_of("oracle.unknown=0.4", "oracle.unknown_is_spent=false"))
    assert free.rounds[-1].labelled == 24 and len(asked(free)) > 24
    assert len(set(asked(free))) == len(asked(free)), "no image is asked for again"
    pool = done(
        tmp_path / "pool",
        spec_of("oracle.unknown=0.4", "oracle.unknown_is_spent=false", budget=80, query_size=40),
    )
    assert len(asked(pool)) == 80, "it ends with the pool"


def test_wrong_answers_are_trained_on_counted_and_decided_by_the_seed(tmp_path: Path) -> None:
    spec = spec_of("oracle.wrong=0.1", "oracle.wrong_by_class.1=1")
    record = done(tmp_path / "run", spec)
    data = load_data(spec)
    answers = {image: answer for each in record.rounds for image, answer in each.answers.items()}
    wrong = {
        image
        for image, answer in answers.items()
        if isinstance(answer, ClassAnswer) and answer.class_index != data.pool_classes[image]
    }
    assert record.rounds[-1].numbers["wrong labels"] == len(wrong)
    assert {image for image in answers if data.pool_classes[image] == 1} <= wrong and len(wrong) < 24
    first = oracle_of(spec, data)
    second = oracle_of(spec.model_copy(update={"seed": 1}), data)
    selection = record.rounds[0].selection
    assert selection is not None
    first.request(selection)
    second.request(selection)
    assert {each.image_id: each for each in first.collect()} == dict(record.rounds[0].answers)
    assert not any(isinstance(each, NoClassAnswer) for each in second.collect())


def test_a_unit_of_a_grid_with_costs_is_finished_once(tmp_path: Path) -> None:
    settings = [
        "rounds.budget=30", "rounds.query_size=8", "oracle.cost=3", "oracle.wrong=0.2", "pool_size=80", "test_size=20",
    ]  # fmt: skip
    grid = grid_of(
        {
            "name": "g",
            "data": "digits",
            "methods": ["linear+random"],
            "seeds": [0],
            "settings": settings,
            "full": {"learner": "linear"},
        }
    )
    result = run_grid(grid, tmp_path, Resources(1))
    record = read_run(tmp_path / result.units[0].name)
    assert [each.labelled for each in record.rounds] == [8, 10]
    (full,) = result.full
    assert read_run(tmp_path / full.name).rounds[-1].labelled == 80, "full training has all labels, exactly"
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/store.sqlite")}
    assert all(unit.state == "done" for unit in run_grid(grid, tmp_path, Resources(1)).units)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/store.sqlite")}


def test_costs_are_read_from_a_file_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_text("row,cost\n" + "\n".join(f"{row},{1 + row % 2}" for row in range(100)))
    record = done(tmp_path / "run", spec_of(f"oracle.cost_file={path}", budget=10))
    assert record.rounds[-1].numbers["cost"] == sum(1 + image % 2 for image in asked(record)) <= 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,cost\n0,1", "first line"),
        ("file,cost\n0,1", "is no folder of images"),
        ("row,cost\n0,1\n0,2", "line 3: 0 occurs twice"),
        ("row,cost\n0,free", "line 2: .* no cost above 0"),
        ("row,cost\n0,-1", "no cost above 0"),
        ("row,cost\n0,1\n1,1", "no cost for 78 images of the pool: 2, 3"),
    ],
)
def test_a_file_of_costs_that_does_not_fit_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "costs.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=said):
        read_costs(path, load_data(spec_of()))


def test_a_class_that_does_not_exist_is_named(tmp_path: Path) -> None:
    for setting in ("oracle.wrong_by_class.x=0.5", "oracle.cost_by_class.x=2"):
        with pytest.raises(BadInput, match=r"oracle\..*_by_class: Unknown class 'x'"):
            done(tmp_path / "run", spec_of(setting))
    assert not (tmp_path / "run").exists()
