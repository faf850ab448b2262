"""The representation of a run where it is ``auto``: from the pool alone, once, and never against a setting."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.benchmarking import (
    GridSpec,
    Method,
    Settled,
    auto_text,
    grid_of,
    grid_toml,
    load_data,
    pool_images,
    read_grid,
    resolve,
    settle_representation,
    unequal,
    units,
)
from aral.benchmarking.auto import AUTO_METHOD_ON_FEATURES
from aral.errors import BadInput
from aral.representations import ImageFiles

AUTO = "representation.backbone=auto"
SMALL = "representation.side=32"
METHODS = [Method.parse("auto")]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(path: Path, value: int) -> None:
    """An image whose red channel is ``value``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    pixels[..., 0] = value
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Forty images of two classes, number by number; one has no header, one lies in both classes."""
    folder = tmp_path / "photos"
    for number in range(40):
        write(folder / ("cat" if number % 2 else "dog") / f"{number:02}.png", number)
    (folder / "cat" / "07.png").write_bytes(b"no image")
    (folder / "dog" / "99.png").write_bytes((folder / "cat" / "05.png").read_bytes())
    return folder


def reds(images: ImageFiles) -> list[int]:
    return [int(np.asarray(images.open(each, (1, 1)).image)[0, 0, 0]) for each in range(len(images))]


@pytest.mark.parametrize("settings", [[], ["pool_size=11"]])
def test_only_the_pool_is_looked_at(photos: Path, settings: list[str]) -> None:
    spec = resolve(str(photos), Method.parse("linear"), ["side=20", *settings])
    images, data = pool_images(spec), load_data(spec)
    assert isinstance(images, ImageFiles)
    assert reds(images) == data.pool.pixels[:, 0, 0, 0].tolist()
    assert len(images) == (11 if settings else 30)
    for number in range(50, 56):
        write(photos / "test" / "cat" / f"{number}.png", number)
    for name in ("cat", "dog"):
        (photos / "train").mkdir(exist_ok=True)
        (photos / name).rename(photos / "train" / name)
    assert max(reds(pool_images(spec))) < 50


def test_a_representation_by_name_is_never_looked_at() -> None:
    """MNIST is not there; nothing is read."""
    given = ["representation.backbone=pixels", "representation.backbone=gradients"]
    assert settle_representation("mnist", METHODS, given, default="auto") == Settled(
        tuple(given), "gradients"
    )
    assert settle_representation("mnist", METHODS, [], default="pixels") == Settled((), "pixels")


@pytest.mark.parametrize(
    ("setting", "method", "for_pixels"),
    [
        ("side=48", "auto", True),
        ('learner.networks.scale="conv32"', "aral", True),
        ("learner.networks.scale=features", "aral", False),
        ("learner.pretraining.steps=3", "auto", True),
        ("learner.networks.widths=[4, 6]", "graph-ssl", True),
        ("learner.training.steps=3", "auto", False),
        ("rounds.budget=20", "aral", False),
    ],
)
def test_a_setting_for_pixels_decides_for_pixels(
    photos: Path, setting: str, method: str, for_pixels: bool
) -> None:
    methods = [Method.parse("supervised"), Method.parse(method)]
    found = settle_representation(str(photos), methods, [setting, SMALL], default="auto")
    assert found.backbone == ("pixels" if for_pixels else "efficientnet-lite0-spatial")
    assert (setting.partition("=")[0] in found.reason) == for_pixels
    assert found.settings[:2] == (setting, SMALL) and found.backbone in found.settings[2]


def test_what_a_run_has_on_record_stays(photos: Path) -> None:
    def recorded(settled: Settled) -> str:
        return "as recorded" if settled.backbone == "pixels" else ""

    found = settle_representation(str(photos), METHODS, [AUTO], recorded=recorded)
    assert found == Settled(('representation.backbone="pixels"',), "pixels", "as recorded")


def test_auto_of_a_named_data_set() -> None:
    found = settle_representation("digits", METHODS, [AUTO, SMALL], pool_size=20)
    assert found.backbone == "pixels" and "grey images of 8 pixels" in found.reason
    assert "efficientnet-lite0-spatial" in found.reason and AUTO not in found.settings


def test_errors_are_those_of_the_run(photos: Path, tmp_path: Path) -> None:
    for data, settings, said in (
        ("digitz", [], "digitz"),
        (str(photos), ["rounds.budget=-1"], "rounds.budget"),
        (str(tmp_path / "cache"), [], "cache"),
    ):
        (tmp_path / "cache").mkdir(exist_ok=True)
        with pytest.raises(BadInput, match=said):
            settle_representation(data, METHODS, settings, default="auto")
    with pytest.raises(BadInput, match="has to be chosen before"):
        resolve(str(photos), Method.parse("auto"), [AUTO])


def test_all_methods_of_a_grid_have_one_representation_and_its_reason(photos: Path, tmp_path: Path) -> None:
    settled = settle_representation(str(photos), METHODS, [SMALL], default="auto")
    grid = GridSpec(
        name="grid",
        data=str(photos),
        methods=("auto+random", "auto", "graph-ssl+random", "linear"),
        settings=settled.settings,
        representation_chosen=settled.reason,
        seeds=(0,),
    )
    made = units(grid)
    assert made[1].name == f"{AUTO_METHOD_ON_FEATURES}-seed0"
    assert {unit.spec.representation.backbone for unit in made} == {"efficientnet-lite0-spatial"}
    assert {unit.spec.representation_chosen for unit in made} == {settled.reason} != {""}
    assert {unit.spec.rounds.first_query for unit in made} == {"centroids"}
    assert not any("representation" in line for lines in unequal(made).values() for line in lines)
    text = auto_text(unit.spec for unit in made)
    learner = AUTO_METHOD_ON_FEATURES.partition("+")[0]
    assert text.startswith(f"Representation: efficientnet-lite0-spatial (auto: {settled.reason}).")
    assert f"Methods: {learner}+random and {AUTO_METHOD_ON_FEATURES} (auto: " in text
    assert auto_text([resolve("digits", Method.parse("linear"))]) == ""
    (tmp_path / "grid.toml").write_text(grid_toml(grid))
    assert read_grid(tmp_path / "grid.toml") == grid == grid_of(json.loads(grid.model_dump_json()))


def test_a_setting_that_no_method_of_a_grid_has_on_features_is_refused(photos: Path) -> None:
    settings = ("representation.backbone=efficientnet-lite0-spatial", "learner.networks.widths=[4, 6]")
    with pytest.raises(BadInput, match=r"learner\.networks\.widths"):
        units(GridSpec(name="grid", data=str(photos), methods=("graph-ssl",), settings=settings))
