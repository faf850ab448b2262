"""``--representation auto`` on the command line: what is said, recorded and kept."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.benchmarking.auto import AUTO_METHOD, AUTO_METHOD_ON_FEATURES

SHORT = ("--budget=6", "--query-size=3", "--steps=2", "--set=representation.side=32")
BACKBONE = "efficientnet-lite0-spatial"


@pytest.fixture
def photos(here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of twenty small colour images of two classes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 24, 3)).astype(np.uint8)
    for number, image in enumerate(pixels):
        path = here / "photos" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return "photos"


def forbid_choosing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError("the representation is chosen again")

    monkeypatch.setattr("aral.benchmarking.representation_choice.choose_representation", refuse)


def test_a_run_chooses_once_and_records_it(aral, photos: str, here: Path, capsys, monkeypatch) -> None:
    assert aral("run", photos, *SHORT) == 0
    said = capsys.readouterr().err
    assert f"Representation: {BACKBONE} (auto: colour images of 24 pixels; neighbours agree" in said
    assert f"Method: {AUTO_METHOD_ON_FEATURES} (auto: " in said
    (folder,) = (here / "runs").iterdir()
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["representation"]["backbone"] == BACKBONE and settings["chosen"]
    assert settings["representation_chosen"] in said
    assert settings["rounds"]["first_query"] == "centroids"
    assert settings["representation_chosen"] in (folder / "report.html").read_text()
    forbid_choosing(monkeypatch)
    assert aral("run", photos, *SHORT) == 0
    assert settings["representation_chosen"] in capsys.readouterr().err
    assert aral("run", photos, *SHORT, "--representation", BACKBONE, "--folder", str(folder)) == 0
    assert aral("resume", str(folder)) == 0
    assert len(list((here / "runs").iterdir())) == 1


def test_a_comparison_chooses_once_for_all_methods(
    aral, photos: str, here: Path, capsys, monkeypatch
) -> None:
    words = ("compare", photos, *SHORT, "--seeds=1", "--workers=1")
    assert aral(*words, "--dry-run") == 0
    plan = capsys.readouterr()
    grid = tomllib.loads(plan.out)
    assert grid["name"] == f"compare-photos-{BACKBONE}"
    assert f'representation.backbone="{BACKBONE}"' in grid["settings"]
    assert grid["representation_chosen"] and grid["representation_chosen"] in plan.err
    assert f"+random and {AUTO_METHOD_ON_FEATURES} (auto: " in plan.err
    (here / "grid.toml").write_text(plan.out)
    folder = here / "runs" / grid["name"]
    folder.mkdir(parents=True)
    (folder / "grid.json").write_text(
        json.dumps({"grid": {**grid, "representation_chosen": "as on record"}, "differences": []})
    )
    forbid_choosing(monkeypatch)
    assert aral(*words, "--dry-run") == 0
    assert f"{BACKBONE} (auto: as on record)" in capsys.readouterr().err
    assert aral("compare", "--grid", "grid.toml", "--dry-run") == 0
    assert grid["representation_chosen"] in capsys.readouterr().err


def test_a_representation_by_name_wins(aral, photos: str, capsys, monkeypatch) -> None:
    forbid_choosing(monkeypatch)
    for words in (["--representation", "pixels"], ["--set=representation.backbone=pixels"]):
        assert aral("run", photos, "--dry-run", *words) == 0
        said = capsys.readouterr()
        spec = json.loads(said.out)
        assert spec["representation"]["backbone"] == "pixels" and not spec["representation_chosen"]
        assert said.err.startswith(f"Method: {AUTO_METHOD} (auto: ")
        assert aral("compare", photos, "--dry-run", "--seeds=1", *words) == 0
        assert 'name = "compare-photos"' in capsys.readouterr().out
    assert aral("run", "mnist", "--dry-run") == 0  # a data set by name, which is not there
    assert json.loads(capsys.readouterr().out)["representation"]["backbone"] == "pixels"


def test_settings_of_a_folder_show_the_choice(aral, photos: str, capsys) -> None:
    assert aral("settings", photos, "--set=representation.side=32") == 0
    said = capsys.readouterr()
    table = json.loads(said.out)
    assert table["representation"]["backbone"] == BACKBONE and table["representation_chosen"] in said.err
    assert aral("settings", photos, "--representation=auto", "--set=side=24") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["representation"]["backbone"] == "pixels"
    assert "Representation: pixels (auto: side is a setting for pixels). Method: " in said.err


def test_a_folder_without_images_is_refused(aral, here: Path, capsys) -> None:
    (here / "empty" / "cat").mkdir(parents=True)
    for command in ("run", "compare", "settings"):
        assert aral(command, "empty") == 2
        said = capsys.readouterr().err
        assert "empty" in said and "Traceback" not in said
