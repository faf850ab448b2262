"""The three exported forms of the classifier predict the same: for any number of images, in their order."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from aral.annotation import Classifier, Project, export, find_classifier, model_card
from aral.annotation.portable import ONNX_PACKAGES, TOLERANCE, _compare, export_onnx, export_torch
from aral.errors import BadInput, RunFailed
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


def check_parity(graph: Graph, classifier: Classifier) -> None:
    """Every image in every batch to :data:`TOLERANCE`, and each image in its own row."""
    pixels = images()
    expected = classifier.of_pixels(pixels)
    apart = np.abs(expected[:, None] - expected[None]).max(axis=2) + np.eye(len(pixels))
    assert apart.min() > 10 * TOLERANCE, "no two images are alike"
    for count in COUNTS:
        found_probabilities = graph(pixels[:count])
        assert (
            found_probabilities.shape == (count, len(DIGIT_CLASSES))
            and found_probabilities.dtype == np.float32
        )
        np.testing.assert_allclose(found_probabilities, expected[:count], rtol=0, atol=TOLERANCE)
    turned = np.ascontiguousarray(pixels[::-1])
    np.testing.assert_allclose(graph(turned), expected[::-1], rtol=0, atol=TOLERANCE)


def onnx_graph(path: Path) -> Graph:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type) == ("pixels", "tensor(uint8)")
    assert [each.name for each in session.get_outputs()] == ["probabilities"]
    return lambda pixels: np.asarray(session.run(["probabilities"], {"pixels": pixels})[0])


def torch_graph(path: Path) -> Graph:
    program = torch.export.load(path).module()
    return lambda pixels: program(torch.from_numpy(pixels)).detach().numpy()


def test_onnx_predicts_the_same(confident: Classifier, empty: Path) -> None:
    """The file is one that stands alone, passes ONNX's own checks, and is run by another program."""
    import onnx

    export_onnx(confident, empty / "model.onnx")
    assert [path.name for path in empty.iterdir()] == ["model.onnx"], "no weights beside it"
    onnx.checker.check_model(onnx.load(empty / "model.onnx"), full_check=True)
    check_parity(onnx_graph(empty / "model.onnx"), confident)


def test_torch_export_predicts_the_same(confident: Classifier, empty: Path) -> None:
    export_torch(confident, empty / "model.pt2")
    assert [path.name for path in empty.iterdir()] == ["model.pt2"]
    check_parity(torch_graph(empty / "model.pt2"), confident)


def test_safetensors_predict_the_same_bit_for_bit(confident: Classifier, empty: Path) -> None:
    confident.save(empty / "model")
    again = Classifier.load(empty / "model")
    check_parity(again.of_pixels, confident)
    assert np.array_equal(again.of_pixels(images()), confident.of_pixels(images()))


def test_the_comparison_detects_a_wrong_graph(confident: Classifier) -> None:
    def swapped(pixels: np.ndarray) -> np.ndarray:
        found = confident.of_pixels(pixels).copy()
        found[-2:] = found[-2:][::-1]
        return found

    with pytest.raises(AssertionError):
        check_parity(swapped, confident)
    with pytest.raises(RunFailed, match="differs"):
        _compare(confident, lambda pixels: confident.of_pixels(255 - pixels), "wrong")


def test_load_model_py_predicts_the_same(trained: Project, tmp_path: Path) -> None:
    """``load_model.py`` as it is written, in a Python of its own, on three photos in a known order."""
    export(trained, tmp_path / "out", ["model"])
    script = tmp_path / "out" / "load_model.py"
    assert len(script.read_text().splitlines()) <= 10
    ids = trained.images.labelable_ids()[[4, 1, 7]]
    photos = [trained.photos / trained.images.get(int(image_id)).name for image_id in ids]
    ran = subprocess.run([sys.executable, script, *photos], capture_output=True, text=True, check=True)
    expected = find_classifier(tmp_path / "out").of_pixels(trained.images.pixels().rows(ids))
    for line, photo, row in zip(ran.stdout.splitlines(), photos, expected, strict=True):
        ranked = np.argsort(-row, kind="stable")
        found_probabilities = " ".join(f"{DIGIT_CLASSES[place]} {row[place]:.1%}" for place in ranked)
        assert line == f"{photo} {found_probabilities}"


def test_the_code_of_the_model_card_runs(
    trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The indented Python of the card, without this package, on pixels of its own."""
    export(trained, tmp_path / "out", ["torch-export"])
    assert (tmp_path / "out" / "README.md").read_text() == model_card(trained)
    lines = re.findall(r"^    ((?:program|probabilities) = .*)$", model_card(trained), re.MULTILINE)
    assert len(lines) == 2
    monkeypatch.chdir(tmp_path / "out")
    space: dict[str, object] = {"torch": torch, "pixels": torch.from_numpy(images()[:6])}
    exec("\n".join(lines), space)
    found_probabilities = space["probabilities"]
    assert isinstance(found_probabilities, torch.Tensor)
    expected = of_project(trained).of_pixels(images()[:6])
    np.testing.assert_allclose(found_probabilities.detach(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("missing", ONNX_PACKAGES)
def test_onnx_is_refused_without_its_packages(
    trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """None in ``sys.modules`` is how Python itself marks a module that cannot be imported."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError):
        importlib.import_module(missing)
    with pytest.raises(BadInput, match=f"ONNX needs {missing}, which") as refused:
        export(trained, tmp_path / "out", ["onnx"])
    assert refused.value.hint == "Install them: pip install 'aral[onnx]'"
    assert not (tmp_path / "out" / "model.onnx").exists()


@pytest.mark.parametrize("save", [export_torch, export_onnx])
def test_a_graph_is_there_as_a_whole_or_not_at_all(
    confident: Classifier,
    empty: Path,
    monkeypatch: pytest.MonkeyPatch,
    save: Callable[[Classifier, Path], None],
) -> None:
    target = empty / "model"
    target.write_bytes(b"the one before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailed, match=rf"{target} was not written: .*No space left.* \d+ bytes are needed"):
        save(confident, target)
    assert target.read_bytes() == b"the one before" and [path.name for path in empty.iterdir()] == ["model"]
