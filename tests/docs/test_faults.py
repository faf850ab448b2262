"""The table of faults: complete, and every test it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"
ROWS = {
    row[0]: row[1:]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if len(row := [cell.strip() for cell in line.strip("|").split("|")]) == 4
    and re.match(r"[A-Z]\d+$", row[0])
}
COUNTS = {"I": 23, "H": 6, "L": 9, "C": 15, "D": 3, "N": 4, "S": 16, "U": 7, "P": 9, "X": 5}


def test_every_fault_has_its_row() -> None:
    assert list(ROWS) == [
        f"{kind}{number}" for kind, count in COUNTS.items() for number in range(1, count + 1)
    ]


@pytest.mark.parametrize("row", ROWS)
def test_the_tests_of_a_row_exist(row: str) -> None:
    _, deed, tests = ROWS[row]
    assert deed
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
    assert named and len(named) == tests.count("::")
    for path, name in named:
        tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{path} has no {name}"


def test_programs_that_are_named_exist() -> None:
    for path in re.findall(r"`(benchmarks/\w+\.py)`", PAGE.read_text(encoding="utf-8")):
        assert (TESTS.parent / path).is_file(), path
