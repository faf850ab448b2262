"""What rows of figures record of the command that made them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(
    ("argument", "kept"),
    [
        ("/home/ann/data/photos/trash", "photos/trash"),
        ("--classes=/mnt/list.txt", "--classes=mnt/list.txt"),
        ("data/photos/trash", "data/photos/trash"),
        ("--pace", "--pace"),
        ("learner.name=aral", "learner.name=aral"),
    ],
)
def test_folders_of_a_machine_are_not_recorded(
    monkeypatch: pytest.MonkeyPatch, argument: str, kept: str
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    assert importlib.import_module("curves").without_root(argument) == kept


def test_no_kept_row_names_a_folder_of_a_machine() -> None:
    files = sorted((BENCHMARKS / "results").glob("*.json"))
    assert files
    for file in files:
        assert not [word for word in ("/work/", "/tmp/", "/home/", "/root/") if word in file.read_text()], (
            file
        )
