"""Labels of each class, counted over the rounds of a run."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from aral.benchmarking import RoundRecord
from aral.testing import run_record
from aral.types import Answer, ClassAnswer, NoClass, NoClassAnswer


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("labels_by_class")


def rounds(*answers: list[Answer]) -> tuple[RoundRecord, ...]:
    empty = run_record("aral+random", 0, [0.5] * len(answers), range(len(answers))).rounds
    return tuple(
        replace(each, answers={answer.image_id: answer for answer in given})
        for each, given in zip(empty, answers, strict=True)
    )


def test_the_round_that_brings_the_last_class_counts(script: ModuleType) -> None:
    first: list[Answer] = [ClassAnswer(1, 0), ClassAnswer(2, 2), NoClassAnswer(3, NoClass.SKIP)]
    then: list[Answer] = [ClassAnswer(4, 0), ClassAnswer(5, 1)]
    last: list[Answer] = [ClassAnswer(6, 1)]
    found = script.labels_by_class(rounds(first, then, last), 3)
    assert found == {"labels": [2, 2, 1], "all classes after": 4}
    assert script.labels_by_class(rounds(first), 3)["all classes after"] is None


def test_the_table_has_each_seed(script: ModuleType) -> None:
    rows = [
        {"method": "m", "seed": 1, "labels": [2, 8], "all classes after": None},
        {"method": "m", "seed": 0, "labels": [4, 6], "all classes after": 10},
    ]
    assert script.table(rows).splitlines()[-1] == "| `m` | 10 | 4, 2 | 6, 8 | 10, – |"
