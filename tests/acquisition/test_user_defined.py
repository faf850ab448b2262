"""Acquisitions by the place of their code: found, checked, and never imported because a folder says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from aral.acquisition import is_user_defined, make_acquisition
from aral.benchmarking import GridSpec, Method, State, Unit, check_pairings, read_result, read_spec, resolve
from aral.errors import BadInput

CODE = """
from pathlib import Path
from aral import Need, TopScores
Path("imported").touch()
MINE = TopScores("mine", frozenset({Need.PROBABILITIES}), lambda pool, stream: None)
class Made:
    name, needs = "made", frozenset()
    def __call__(self, pool, n, stream): ...
class Wants:
    def __init__(self, something): ...
NUMBER = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "of_mine", raising=False)
    (tmp_path / "of_mine.py").write_text(CODE)
    return tmp_path


def test_an_object_or_a_class_is_found(module: Path) -> None:
    assert make_acquisition("of_mine:MINE", user_defined=True).name == "mine"
    assert make_acquisition("of_mine:Made", user_defined=True).name == "made"
    method = Method.parse("supervised+of_mine:MINE")
    assert str(method) == "supervised+of_mine:MINE" and is_user_defined(method.acquisition)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("absent_module:X", "No module named 'absent_module'"),
        ("of_mine:ABSENT", "ABSENT"),
        ("of_mine:", "cannot be imported"),
        (":MINE", "cannot be imported"),
        ("of_mine:NUMBER", "is no acquisition"),
        ("of_mine:Wants", "missing 1 required positional argument"),
    ],
)
def test_what_is_no_acquisition_is_refused(module: Path, place: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        check_pairings([Unit("one", resolve("digits", Method.parse(f"supervised+{place}")))])


def test_a_folder_cannot_have_code_imported(module: Path) -> None:
    for ask in (lambda: make_acquisition("of_mine:MINE"), lambda: read_spec(module / "run")):
        spec = json.loads(resolve("digits", Method.parse("supervised+random")).model_dump_json())
        (module / "run").mkdir(exist_ok=True)
        (module / "run" / "settings.json").write_text(json.dumps(spec | {"acquisition": "of_mine:MINE"}))
        with pytest.raises(BadInput, match="user code"):
            ask()
    settings = (r'rounds.first_query="of_mine\u003aMINE"',)
    grid = GridSpec(name="g", data="digits", methods=("supervised+of_mine:MINE",), settings=settings)
    (module / "grid.json").write_text(json.dumps({"grid": grid.model_dump(), "differences": []}))
    assert {unit.state for unit in read_result(module).units} == {State.WAITING}
    assert not (module / "imported").exists()
