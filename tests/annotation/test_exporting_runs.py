"""A run folder in the place of a project: `aral predict` and `aral export`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.annotation import FORMATS, LoadedRun, export_run, find_classifier, load_run, predict
from aral.benchmarking import Hardware, Method, load_data, resolve, run
from aral.errors import BadInput, Stopped
from aral.types import ClassAnswer

TOY = ("rounds.query_size=6", "rounds.budget=12", 'rounds.first_query="random"', "learner.training.steps=2")
NETWORK = "learner.networks.discriminator_sizes=[8]"


def made(folder: Path, *settings: str, stopping: Callable[[], bool] = lambda: False) -> LoadedRun:
    method, plain = Method.parse("supervised+random"), Hardware("float32", 1, 1)
    spec = resolve("digits", method, [*TOY, NETWORK, *settings], plain, pool_size=40, test_size=30)
    return load_run(run(spec, load_data(spec), folder, stopping=stopping))


@pytest.fixture(scope="module")
def on_pixels(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    return made(tmp_path_factory.mktemp("runs") / "pixels")


@pytest.fixture(scope="module")
def on_features(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        backbone = "representation.backbone=efficientnet-lite0-spatial"
        return made(
            tmp_path_factory.mktemp("runs") / "features",
            backbone,
            "representation.side=32",
            "representation.components=6",
        )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    for row, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{row}.png")
    return folder


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["on_pixels", "on_features"])
def test_an_export_of_a_run_predicts_as_the_run_does(
    name: str, request: pytest.FixtureRequest, photos: Path, tmp_path: Path
) -> None:
    loaded = request.getfixturevalue(name)
    done = export_run(loaded, tmp_path / "out", further=lambda into: ["more.txt"])
    assert set(done.files) == {
        "README.md",
        "classifier.json",
        "model/",
        "load_model.py",
        "model.pt2",
        "classify_torch.py",
        "more.txt",
    }
    assert any("no annotators" in note for note in done.notes)
    for source, target in ((loaded.folder, "run.csv"), (tmp_path / "out", "out.csv")):
        assert predict(find_classifier(source), photos, tmp_path / target).images == 3
    rows = table_of(tmp_path / "run.csv")
    assert rows == table_of(tmp_path / "out.csv")
    expected = loaded.predict(photos)
    assert [row["class"] for row in rows] == [row.label for row in expected]
    assert [float(row["probability"]) for row in rows] == pytest.approx(
        [row.probability for row in expected], abs=1e-4
    )


def test_metadata_and_card_have_the_figures_of_the_last_round(on_pixels: LoadedRun, tmp_path: Path) -> None:
    export_run(on_pixels, tmp_path / "out", ["model", "csv"], licence="CC0-1.0")
    about = json.loads((tmp_path / "out" / "classifier.json").read_text())
    last = on_pixels.rounds[-1]
    assert about["classes"] == list("0123456789") and about["licence"] == "CC0-1.0" and about["round"] == 1
    assert about["accuracy"]["estimate"] == pytest.approx(last.accuracy)
    assert about["accuracy"]["low"] < about["accuracy"]["estimate"] < about["accuracy"]["high"]
    answers = [each for row in on_pixels.rounds for each in row.answers.values()]
    labels = [sum(isinstance(a, ClassAnswer) and a.class_index == k for a in answers) for k in range(10)]
    assert list(about["labels"]["training"].values()) == labels and about["labels"]["trained_on"] == 12
    assert last.confusion is not None and "estimate_set" not in about["labels"]
    assert list(about["labels"]["test_set"].values()) == last.confusion.sum(1).tolist()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "supervised+random on digits" in card and "on 30 test images" in card
    assert f"Balanced accuracy {100 * last.numbers['balanced accuracy']:.1f} %. Macro F1" in card
    assert "no annotators" in card and "Annotators:" not in card


def test_formats_that_only_projects_have_are_named(on_pixels: LoadedRun, tmp_path: Path) -> None:
    notes = export_run(on_pixels, tmp_path / "out", ["csv", "imagefolder", "model"]).notes
    assert any("csv, imagefolder" in note for note in notes)
    with pytest.raises(BadInput, match=r"no labels of annotators: csv cannot"):
        export_run(on_pixels, tmp_path / "none", ["csv"])
    assert not (tmp_path / "none").exists()
    with pytest.raises(BadInput, match="in the folder of the run"):
        export_run(on_pixels, on_pixels.folder / "out")
    with pytest.raises(BadInput, match="Unknown format"):
        export_run(on_pixels, tmp_path / "none", ["tiff"])


def test_every_format_of_a_classifier_is_written(on_pixels: LoadedRun, tmp_path: Path) -> None:
    done = export_run(on_pixels, tmp_path / "out", FORMATS)
    assert {"model.onnx", "classify_onnx.py", "trunk.onnx", "trunk.onnx.json"} <= set(done.files)
    assert all((tmp_path / "out" / name).exists() for name in done.files)


def test_a_run_that_has_trained_nothing_has_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        made(tmp_path / "run", stopping=lambda: True)
    with pytest.raises(BadInput, match="no trained round -1: it has trained no round"):
        find_classifier(tmp_path / "run")
    with pytest.raises(BadInput, match="no trained round"):
        export_run(load_run(tmp_path / "run"), tmp_path / "out")
