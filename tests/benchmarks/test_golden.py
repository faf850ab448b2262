"""The golden runs stay alive: two cases give what is recorded, and the comparison sees what it should."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
CASES = ("run/digits/aral-paper", "project/two people")


@pytest.fixture
def golden(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script; what it asks of PyTorch is taken back."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield importlib.import_module("golden")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    record: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / "golden.json").read_text())
    return record


@pytest.mark.parametrize("name", CASES)
def test_a_case_gives_what_is_recorded(golden: ModuleType, recorded: dict[str, Any], name: str) -> None:
    found = json.loads(json.dumps(golden.record({name: golden.cases()[name]})))
    assert list(golden.mismatches(recorded["cases"][name], found[name], exact=False)) == []


def test_every_case_is_recorded(golden: ModuleType, recorded: dict[str, Any]) -> None:
    assert set(recorded["cases"]) == set(golden.cases())


def test_the_comparison_sees_weights_scores_ids_and_missing_cases(
    golden: ModuleType, recorded: dict[str, Any]
) -> None:
    run, other = CASES
    assert golden.compare(recorded, copy.deepcopy(recorded)) == {}

    changed = copy.deepcopy(recorded)
    entry = changed["cases"][run]["weights"]["encoder"][0]
    entry[2] = "0" * 8
    assert list(golden.compare(recorded, changed)) == [run], "with the same machine hashes count"
    changed["machine"] = {"processor": "another"}
    assert golden.compare(recorded, changed) == {}, "elsewhere they do not"
    entry[3][0] += 20  # millionths
    assert list(golden.compare(recorded, changed)) == [run]

    for path, value in (("scores", 2e-5), ("ids", 1)):
        changed = copy.deepcopy(recorded)
        changed["cases"][run]["queries"][1][path][3] += value
        (lines,) = golden.compare(recorded, changed).values()
        assert len(lines) == 1 and f"queries/1/{path}/3" in lines[0]

    del changed["cases"][run], changed["cases"][other]["exports"]
    assert set(golden.compare(recorded, changed)) == {run, other}
    assert set(golden.compare(recorded, changed, only_new=True)) == {other}


def test_the_order_of_a_networks_tensors_is_of_no_consequence(golden: ModuleType) -> None:
    digest = importlib.import_module("golden_cases").digest
    tensors = [torch.full((3, 4), float(number)).numpy() for number in range(3)] + [torch.ones(2).numpy()]
    assert digest(tensors) == digest(tensors[::-1])
    assert digest(tensors) != digest([tensors[0].T, *tensors[1:]])
