"""Exported forms of the classifier predict the same, for any number and size of photos, and without this package."""

from __future__ import annotations

import csv
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import aral
from aral.annotation import Classifier, Project, export, find_classifier, predict
from aral.annotation.portable import EXTRA_FILE, ONNX_PACKAGES, TOLERANCE, _compare, export_onnx, export_torch
from aral.annotation.snippets import ONNX_SNIPPET, TORCH_SNIPPET
from aral.durable import Json
from aral.errors import BadInput, RunFailed
from aral.representations import RepresentationSettings, make_backbone
from aral.testing import DIGIT_CLASSES

Graph = Callable[[np.ndarray], np.ndarray]
COUNTS = (1, 2, 3, 17)
"""Batches; the graphs are made with two images."""


def of_project(project: Project) -> Classifier:
    return Classifier.load(project.folder / project.models.all()[-1].folder)


def images() -> np.ndarray:
    """Black, white, stripes and noise of rising strength, in this order."""
    draw = np.random.default_rng(3)
    pixels = np.zeros((max(COUNTS), 1, 28, 28))
    pixels[1], pixels[2, :, ::2], pixels[3, :, :, ::3] = 255, 255, 255
    for place in range(4, len(pixels)):
        pixels[place] = draw.integers(0, 15 * place, pixels[place].shape)
    return pixels.astype(np.uint8)


@pytest.fixture
def confident(trained: Project) -> Classifier:
    """The project's networks under a class layer to which every image is another thing: after the few steps of a
    test, the trained one gives all of them about a third."""
    classifier = of_project(trained)
    features = classifier.network.features(torch.from_numpy(images()) / 255.0)
    state = classifier.network.state_dict()
    weight = torch.randn(state["class_layer.weight"].shape, generator=torch.Generator().manual_seed(1))
    weight = 0.3 * weight / features.std(dim=0).clamp(min=1e-3)
    layer = {"class_layer.weight": weight, "class_layer.bias": -weight @ features.mean(dim=0)}
    return Classifier(classifier.description, state | layer)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder with nothing in it."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


METADATA: Mapping[str, Json] = {"classes": ["a", "b"], "licence": "mine"}


def as_photos(pixels: np.ndarray) -> np.ndarray:
    """Grey images N×1×H×W as photos N×H×W×3."""
    return pixels.transpose(0, 2, 3, 1).repeat(3, axis=3)


def check_parity(graph: Graph, classifier: Classifier) -> None:
    """Every image in every batch to :data:`TOLERANCE`, and each image in its own row."""
    pixels = images()
    expected = classifier.of_pixels(pixels)
    apart = np.abs(expected[:, None] - expected[None]).max(axis=2) + np.eye(len(pixels))
    assert apart.min() > 10 * TOLERANCE, "no two images are alike"
    for count in COUNTS:
        found_probabilities = graph(as_photos(pixels[:count]))
        assert (
            found_probabilities.shape == (count, len(DIGIT_CLASSES))
            and found_probabilities.dtype == np.float32
        )
        np.testing.assert_allclose(found_probabilities, expected[:count], rtol=0, atol=TOLERANCE)
    turned = np.ascontiguousarray(pixels[::-1])
    np.testing.assert_allclose(graph(as_photos(turned)), expected[::-1], rtol=0, atol=TOLERANCE)
    for height, width in ((1, 1), (1, 90), (61, 28), (300, 200)):
        photos = np.random.default_rng(width).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
        with torch.no_grad():
            resized = classifier.of_photos()(torch.from_numpy(photos)).numpy()
        # A sum that is rounded differently may fall on the next level.
        np.testing.assert_allclose(graph(photos), resized, rtol=0, atol=SNIPPET_TOLERANCE)


SNIPPET_TOLERANCE = 0.002
"""Of a probability, where a photo is resized: pixels may differ by one level of 255 from those of Pillow."""


def onnx_graph(path: Path) -> Graph:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape[3]) == ("pixels", "tensor(uint8)", 3)
    assert [each.name for each in session.get_outputs()] == ["probabilities"]
    return lambda pixels: np.asarray(session.run(["probabilities"], {"pixels": pixels})[0])


def torch_graph(path: Path) -> Graph:
    program = torch.export.load(path).module()
    return lambda pixels: program(torch.from_numpy(pixels)).detach().numpy()


def test_onnx_predicts_the_same(confident: Classifier, empty: Path) -> None:
    """The file is one that stands alone, passes ONNX's own checks, and is run by another program."""
    import onnx

    written = export_onnx(confident, empty / "model.onnx", METADATA)
    assert [path.name for path in empty.iterdir()] == ["model.onnx"], "no weights beside it"
    model = onnx.load(empty / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    check_parity(onnx_graph(empty / "model.onnx"), confident)
    assert {each.key: each.value for each in model.metadata_props} == {
        "classes": '["a", "b"]',
        "licence": "mine",
        "versions": json.dumps(dict(written.versions)),
    }
    assert written.versions["opset"] == str(model.opset_import[0].version)


def test_torch_export_predicts_the_same(confident: Classifier, empty: Path) -> None:
    written = export_torch(confident, empty / "model.pt2", METADATA)
    assert [path.name for path in empty.iterdir()] == ["model.pt2"]
    check_parity(torch_graph(empty / "model.pt2"), confident)
    files = {EXTRA_FILE: ""}
    torch.export.load(empty / "model.pt2", extra_files=files)
    assert json.loads(files[EXTRA_FILE]) == {**METADATA, "versions": dict(written.versions)}


def test_safetensors_predict_the_same_bit_for_bit(confident: Classifier, empty: Path) -> None:
    confident.save(empty / "model")
    again = Classifier.load(empty / "model")
    assert np.array_equal(again.of_pixels(images()), confident.of_pixels(images()))


def test_the_comparison_detects_a_wrong_graph(confident: Classifier) -> None:
    def right(photos: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return confident.of_photos()(torch.from_numpy(photos)).numpy()

    def swapped(photos: np.ndarray) -> np.ndarray:
        found = right(photos).copy()
        found[-2:] = found[-2:][::-1]
        return found

    check_parity(right, confident)
    _compare(confident, right, "right")
    with pytest.raises(AssertionError):
        check_parity(swapped, confident)
    for wrong in (
        lambda photos: right(255 - photos),
        lambda photos: right(photos[:, :28, :28]),  # another part of a larger photo
        lambda photos: right(photos[:, ::2, ::2] if photos.shape[2] > 28 else photos),  # without antialiasing
    ):
        with pytest.raises(RunFailed, match="differs"):
            _compare(confident, wrong, "wrong")


# The Python files of an export

WITHOUT_ARAL = """
import importlib.util, runpy, sys
sys.modules["aral"] = None  # as Python itself marks a module that cannot be imported
try:
    import aral
except ImportError:
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    sys.exit("aral can be imported")
"""


def run_snippet(script: Path, *photos: Path, without_aral: bool = True) -> subprocess.CompletedProcess[str]:
    start = ["-I", "-c", WITHOUT_ARAL] if without_aral else []
    return subprocess.run([sys.executable, *start, script, *photos], capture_output=True, text=True)


def save_photos(folder: Path) -> None:
    """Photos of many sizes and modes, every one of them another picture, and one that is cut short."""
    folder.mkdir()

    def photo(number: int, size: tuple[int, int] = (90, 60)) -> Image.Image:
        draw = np.random.default_rng(number)
        return Image.fromarray(draw.integers(0, 256, (5, 4, 3), dtype=np.uint8)).resize(size, 3)

    def alpha(size: tuple[int, int]) -> Image.Image:
        return Image.linear_gradient("L").resize(size)

    photo(0).save(folder / "colours.png")
    photo(1, (40, 130)).convert("L").save(folder / "grey.jpg")
    photo(2, (28, 28)).convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "palette.png")
    photo(3).convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "transparent.gif", transparency=3)
    photo(4, (333, 222)).convert("CMYK").save(folder / "four inks.jpg")
    for name, mode in (("rgba.png", "RGBA"), ("la.png", "LA")):
        image = photo(5 + len(mode)).convert("RGB" if mode == "RGBA" else "L")
        image.putalpha(alpha(image.size))
        image.save(folder / name)
    wide = np.asarray(photo(8).convert("L")).astype(np.uint16) * 257
    Image.fromarray(wide).save(folder / "sixteen bits.png")
    Image.fromarray(np.asarray(photo(30).convert("L")).astype(np.float32) / 300).save(folder / "floats.tif")
    photo(9).convert("1").save(folder / "one bit.tif")
    for orientation in (3, 6, 7):
        exif = Image.Exif()
        exif[0x0112] = orientation
        photo(10 + orientation).save(folder / f"turned-{orientation}.jpg", exif=exif)
    photo(20, (17, 11)).save(folder / "small.webp", lossless=True)
    content = (folder / "four inks.jpg").read_bytes()
    (folder / "cut short.jpg").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("format", "name", "snippet"),
    [
        ("onnx", "classify_onnx.py", ONNX_SNIPPET),
        ("torch-export", "classify_torch.py", TORCH_SNIPPET),
        ("model", "load_model.py", ""),
    ],
)
def test_the_files_of_an_export_classify_photos(
    trained: Project, confident: Classifier, tmp_path: Path, format: str, name: str, snippet: str
) -> None:
    """As they are written, in a Python of their own, where this package cannot be imported unless they need it."""
    confident.save(trained.folder / trained.models.all()[-1].folder)
    out, folder = tmp_path / "out", tmp_path / "new"
    export(trained, out, [format])
    assert (snippet or f"python {name} PHOTO") in (out / "README.md").read_text()
    save_photos(folder)
    predict(find_classifier(trained.folder), folder, tmp_path / "expected.csv")
    expected = {
        row["path"]: row for row in csv.DictReader((tmp_path / "expected.csv").read_text().splitlines())
    }
    photos = sorted(folder.iterdir())
    ran = run_snippet(out / name, *photos, without_aral=bool(snippet))
    assert ran.returncode == 1 and f"{folder / 'cut short.jpg'} cannot be classified" in ran.stderr
    lines = dict(
        zip([path for path in photos if path.stem != "cut short"], ran.stdout.splitlines(), strict=True)
    )
    for path, line in lines.items():
        assert line.startswith(f"{path} ")
        found = {label: float(value) for label, value in re.findall(r" (zero|one|two) (\d\.\d{4})", line)}
        row = expected[path.name]
        difference = max(abs(found[label] - float(row[f"p({label})"])) for label in DIGIT_CLASSES)
        assert difference <= SNIPPET_TOLERANCE, (path.name, found, row)
    assert len({line.partition(" ")[2] for line in lines.values()}) == len(lines)
    if format == "onnx":  # the quickest
        good = run_snippet(out / name, *[path for path in photos if path.stem != "cut short"][:2])
        assert good.returncode == 0 and not good.stderr


def test_metadata_are_in_every_graph_and_beside_them(trained: Project, tmp_path: Path) -> None:
    import onnxruntime

    out = tmp_path / "out"
    trained.classes.rename(0, "null", "Ann")
    done = export(trained, out, ["torch-export", "onnx"], licence="CC BY 4.0")
    beside = json.loads((out / "classifier.json").read_text())
    assert "classifier.json" in done.files
    model = trained.models.all()[-1]
    assert model.estimate is not None
    names = ["null", *DIGIT_CLASSES[1:]]
    assert (
        beside["classes"] == names and beside["licence"] == "CC BY 4.0" and beside["aral"] == aral.__version__
    )
    assert beside["accuracy"] == {
        "estimate": model.estimate.accuracy,
        "low": model.estimate.low,
        "high": model.estimate.high,
        "confidence": 0.95,
        "images": model.estimate.count,
        "joined_late": model.estimate.late,
    }
    assert beside["labels"]["training"] == dict(
        zip(names, (each.labels for each in model.per_class), strict=True)
    )
    preprocessing = beside["preprocessing"]
    assert (preprocessing["height"], preprocessing["width"]) == (28, 28)
    assert (preprocessing["resampling"], preprocessing["channels"]) == ("bilinear", "grey")
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    props = session.get_modelmeta().custom_metadata_map
    files = {EXTRA_FILE: ""}
    torch.export.load(out / "model.pt2", extra_files=files)
    extra = json.loads(files[EXTRA_FILE])
    for key in beside.keys() - {"versions"}:
        assert extra[key] == beside[key]
        assert props[key] == (beside[key] if isinstance(beside[key], str) else json.dumps(beside[key]))
    versions = beside["versions"]["model.onnx"]
    card = (out / "README.md").read_text()
    assert f"ONNX opset {versions['opset']}, IR version {versions['ir']}" in card
    assert f"onnxruntime {onnxruntime.__version__}" in card and "CC BY 4.0" in card


@pytest.mark.parametrize("missing", ONNX_PACKAGES)
def test_onnx_is_refused_without_its_packages(
    trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """None in ``sys.modules`` is how Python itself marks a module that cannot be imported."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError):
        importlib.import_module(missing)
    with pytest.raises(BadInput, match=f"ONNX needs {missing}, which") as refused:
        export(trained, tmp_path / "out", ["csv", "onnx"])
    assert refused.value.hint == "Install them: pip install 'aral[onnx]'"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("save", [export_torch, export_onnx])
def test_a_graph_is_there_as_a_whole_or_not_at_all(
    confident: Classifier,
    empty: Path,
    monkeypatch: pytest.MonkeyPatch,
    save: Callable[[Classifier, Path, Mapping[str, Json]], object],
) -> None:
    target = empty / "model"
    target.write_bytes(b"the one before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailed, match=rf"{target} was not written: .*No space left.* \d+ bytes are needed"):
        save(confident, target, METADATA)
    assert target.read_bytes() == b"the one before" and [path.name for path in empty.iterdir()] == ["model"]


def test_the_trunk_is_a_backbone_of_ones_own(trained: Project, tmp_path: Path) -> None:
    done = export(trained, tmp_path, ["trunk"], licence="CC BY 4.0")
    assert {"trunk.onnx", "trunk.onnx.json"} <= set(done.files)
    name = f"onnx:{tmp_path / 'trunk.onnx'}"
    backbone = make_backbone(RepresentationSettings(backbone=name))
    classifier = of_project(trained)
    assert backbone.licence == "CC BY 4.0" and backbone.framing.side == classifier.preprocessing.shape[1]
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28), dtype=np.uint8)
    framed = np.stack([backbone.framing.frame(Image.fromarray(each[0])) for each in pixels])
    features = backbone.features(torch.from_numpy(framed))
    with torch.no_grad():
        found = torch.softmax(classifier.network.classify(features), 1).numpy()
    assert np.allclose(found, classifier.of_pixels(pixels), atol=2e-6) and np.ptp(found[:, 0]) > 2e-5
