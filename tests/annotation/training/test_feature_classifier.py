"""Classifiers that read images through a backbone: kept with their projection, predicted with, and exported."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from safetensors.torch import save as serialise_tensors

from aral.annotation import (
    Classifier,
    Description,
    Project,
    classify_file,
    examine,
    export,
    find_classifier,
    predict,
)
from aral.annotation.classifier import DESCRIPTION, TENSORS, predictions
from aral.annotation.portable import export_onnx, export_torch
from aral.cli import main
from aral.data.dataset import FeaturesOf
from aral.durable import read_sealed, write_sealed
from aral.errors import BadInput
from aral.networks import FeatureFamily
from aral.representations import (
    Backbone,
    Fit,
    ImageFiles,
    Projection,
    RepresentationSettings,
    features_in_order,
    fit_projection,
    make_backbone,
    project,
)
from aral.testing import DIGIT_CLASSES, noise_image, save_digits
from aral.types import ImageSet

COMPONENTS = 6
SIZES = ((90, 60), (61, 200), (64, 64), (17, 11), (33, 400), (400, 33), (300, 300), (1, 1))
"""Width and height of the photos."""

LARGE = (1000, 700)
GRAPH_TOLERANCE = 0.01
"""Of a probability between ``aral predict`` and a graph: single pixels of a resized photo differ by some levels."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def odd_photos(tmp_path: Path) -> Path:
    """Photos of odd sizes, a large JPEG among them, a file that is no image, and one that is cut short."""
    folder = tmp_path / "odd sizes"
    (folder / "deep").mkdir(parents=True)
    for number, size in enumerate(SIZES):
        noise_image(number, size).save(folder / f"{number:02d}.png")
    noise_image(70, LARGE).resize(LARGE, Image.Resampling.BICUBIC).save(
        folder / "deep" / "large.jpg", quality=95
    )
    noise_image(71, (50, 70)).convert("L").save(folder / "grey.png")
    (folder / "05a.png").write_bytes(b"no image")
    content = (folder / "03.png").read_bytes()
    (folder / "short.png").write_bytes(content[: len(content) // 2])
    return folder


def of_backbone(backbone: Backbone, components: int = COMPONENTS, spread: float = 1.0) -> Classifier:
    """A classifier of three classes to which different images are different things, by random weights."""
    draw = np.random.default_rng(5)
    pool = np.stack([np.asarray(noise_image(number, (40, 40))).transpose(2, 0, 1) for number in range(40)])
    side = backbone.framing.side
    squares = torch.nn.functional.interpolate(torch.from_numpy(pool).float(), side).to(torch.uint8)
    projection = fit_projection(backbone.features(squares).numpy(), components)
    size = projection.matrix.shape[1]
    family = FeatureFamily(discriminator_sizes=(), input_noise=0.0)
    state = family.discriminator((size, 1, 1), 3, 4).state_dict()
    weight = spread * draw.normal(size=(3, size)) * np.sqrt(COMPONENTS / size)
    state |= {"class_layer.weight": torch.from_numpy(weight).float(), "class_layer.bias": torch.zeros(3)}
    made = FeaturesOf(
        backbone.name,
        backbone.licence,
        backbone.source,
        backbone.digest,
        backbone.framing.model_dump_json(),
        components,
    )
    described = Description(family, (size, 1, 1), DIGIT_CLASSES, (0, 1, 2), 4, {"round": 2}, made)
    return Classifier(described, state, projection)


def gradients(**settings: object) -> Backbone:
    return make_backbone(RepresentationSettings(backbone="gradients", **settings))  # type: ignore[arg-type]


@pytest.fixture
def classifier() -> Classifier:
    """On oriented gradients, which need no weights."""
    return of_backbone(gradients())


def raw_features(classifier: Classifier, folder: Path, names: list[str]) -> np.ndarray:
    backbone = classifier.backbone()
    assert backbone is not None
    rows = [
        each
        for each in features_in_order(ImageFiles(folder, names), backbone)
        if isinstance(each, np.ndarray)
    ]
    return np.stack(rows)


def with_features_of(classifier: Classifier, **changes: str) -> Classifier:
    """The same classifier with something else recorded about its backbone."""
    features = classifier.description.features_of
    assert features is not None
    described = replace(classifier.description, features_of=replace(features, **changes))
    return Classifier(described, classifier.network.state_dict(), classifier.projection)


# Kept


def test_a_loaded_classifier_is_the_same(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save(tmp_path / "model")
    again = Classifier.load(tmp_path / "model")
    assert again.description == classifier.description
    features = np.random.default_rng(0).random((5, len(again.projection.mean)), dtype=np.float32)  # type: ignore[union-attr]
    found = again.of_features(features)
    assert np.array_equal(found, classifier.of_features(features)) and found.std(axis=0).min() > 0


def test_features_are_projected_before_they_are_classified(classifier: Classifier) -> None:
    projection = classifier.projection
    assert projection is not None
    features = np.random.default_rng(0).random((5, len(projection.mean)), dtype=np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    layer = classifier.network.state_dict()
    logits = (
        (unit - projection.mean.numpy()) @ projection.matrix.numpy() @ layer["class_layer.weight"].numpy().T
    )
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.of_features(features), expected, atol=1e-5)


def test_a_description_of_before_reads_pixels(trained: Project, tmp_path: Path) -> None:
    """A folder that was written before classifiers had a backbone."""
    folder = trained.folder / trained.models.all()[-1].folder
    files = read_sealed(folder, (TENSORS, DESCRIPTION))
    body = json.loads(files[DESCRIPTION])
    assert body.pop("features_of") is None
    write_sealed(tmp_path / "old", {**files, DESCRIPTION: json.dumps(body).encode()})
    old = Classifier.load(tmp_path / "old")
    assert old.description.features_of is None and old.backbone() is None
    with pytest.raises(BadInput, match="reads pixels"):
        old.of_features(np.zeros((1, 4), np.float32))


@pytest.mark.parametrize("name", [TENSORS, DESCRIPTION])
def test_a_folder_that_is_cut_short_is_refused(classifier: Classifier, tmp_path: Path, name: str) -> None:
    classifier.save(tmp_path / "model")
    path = tmp_path / "model" / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadInput, match=rf"{name} has \d+ bytes instead of \d+"):
        Classifier.load(tmp_path / "model")


@pytest.mark.parametrize("name", ["mean", "matrix"])
def test_a_projection_that_is_not_finite_is_refused(
    classifier: Classifier, tmp_path: Path, name: str
) -> None:
    """Also with a manifest that is correct."""
    classifier.save(tmp_path / "model")
    projection = classifier.projection
    assert projection is not None
    state = projection.state()
    state[name] = state[name].clone()
    state[name].flatten()[3] = torch.nan
    weights = {
        **classifier.network.state_dict(),
        **{f"projection.{key}": value for key, value in state.items()},
    }
    files = read_sealed(tmp_path / "model", (TENSORS, DESCRIPTION))
    write_sealed(tmp_path / "bad", {**files, TENSORS: serialise_tensors(weights)})
    with pytest.raises(BadInput, match=rf"weights 'projection\.{name}' hold NaN"):
        Classifier.load(tmp_path / "bad")


def test_a_projection_that_does_not_fit_is_refused(classifier: Classifier) -> None:
    state, projection = classifier.network.state_dict(), classifier.projection
    assert projection is not None
    narrow = Projection(projection.mean, projection.matrix[:, :-1], projection.parts)
    double = Projection(projection.mean, projection.matrix[:, [*range(COMPONENTS), 0]], projection.parts)
    for wrong in (narrow, double):
        with pytest.raises(BadInput, match="projection of the features does not fit"):
            Classifier(classifier.description, state, wrong)
    with pytest.raises(BadInput, match="a backbone but no projection"):
        Classifier(classifier.description, state)
    with pytest.raises(BadInput, match="a projection but no backbone"):
        Classifier(replace(classifier.description, features_of=None), state, projection)


def test_a_framing_that_no_backbone_has_is_refused(classifier: Classifier, tmp_path: Path) -> None:
    with_features_of(classifier, framing='{"side": 0}').save(tmp_path / "model")
    with pytest.raises(BadInput, match="no usable classifier"):
        Classifier.load(tmp_path / "model")


# Predicted with


def test_predictions_of_a_folder_are_those_of_its_features(classifier: Classifier, odd_photos: Path) -> None:
    rows = list(predictions(classifier, odd_photos))
    good = [row for row in rows if not row.problem]
    assert [row.path for row in rows] == sorted(row.path for row in rows) and len(rows) == len(SIZES) + 4
    assert {row.path: row.problem.partition(":")[0] for row in rows if row.problem} == {
        "05a.png": "not_an_image",
        "short.png": "truncated",
    }
    expected = classifier.of_features(raw_features(classifier, odd_photos, [row.path for row in good]))
    np.testing.assert_array_equal([row.probabilities for row in good], expected)
    assert len({row.probabilities for row in good}) == len(good)
    for row in good[:3]:
        ranked = classify_file(classifier, odd_photos / row.path)
        assert ranked[0][0] == row.label and ranked[0][1] == pytest.approx(row.probability, abs=1e-6)


def test_the_recorded_framing_is_used_and_not_the_present_one_of_the_backbone(
    odd_photos: Path,
) -> None:
    framed = of_backbone(gradients(side=40, fit=Fit.CROP))
    assert framed.backbone() is not None and framed.backbone().framing.side == 40  # type: ignore[union-attr]
    name = "00.png"
    square = framed.backbone().framing.frame(Image.open(odd_photos / name))  # type: ignore[union-attr]
    assert square.shape == (3, 40, 40)
    (row,) = [row for row in predictions(framed, odd_photos) if row.path == name]
    np.testing.assert_allclose(row.probabilities, framed.of_pixels(square[None])[0], atol=1e-6)


Broken = Callable[[Classifier], Classifier]


def another_digest(classifier: Classifier) -> Classifier:
    return with_features_of(classifier, digest="0" * 64)


def missing_package(classifier: Classifier) -> Classifier:
    return with_features_of(classifier, backbone="timm:resnet10t.c3_in1k")


def missing_weights(classifier: Classifier) -> Classifier:
    return with_features_of(classifier, backbone="torchvision:resnet18")


def missing_file(classifier: Classifier) -> Classifier:
    return with_features_of(classifier, backbone="onnx:/nowhere/model.onnx", digest="abc")


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (another_digest, f"SHA-256 {gradients().digest}, not {'0' * 64}"),
        (missing_package, "pip install 'aral[backbones]'"),
        (missing_weights, "--download"),
        (missing_file, "no file /nowhere/model.onnx.\nPut it there; its SHA-256 is abc."),
    ],
)
def test_a_backbone_that_is_missing_or_another_one_is_named(
    classifier: Classifier,
    odd_photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken: Broken,
    problem: str,
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setitem(sys.modules, "timm", None)
    broken(classifier).save(tmp_path / "model")
    target = tmp_path / "out.csv"
    arguments = ["aral", "predict", str(tmp_path / "model"), str(odd_photos), "--target", str(target)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        main()
    said = " ".join(capsys.readouterr().err.split())
    assert stopped.value.code == 2 and " ".join(problem.split()) in said and "Traceback" not in said
    assert not target.exists()


def test_a_backbone_of_another_size_is_refused(classifier: Classifier) -> None:
    framing = gradients(side=32).framing.model_dump_json()
    with pytest.raises(BadInput, match=r"has \d+ features, but the classifier reads"):
        with_features_of(classifier, framing=framing).backbone()


# Exported


@pytest.fixture
def labelled(trained: Project, classifier: Classifier) -> Project:
    """A project whose newest classifier reads features."""
    classifier.save(trained.folder / trained.models.all()[-1].folder)
    return trained


def graph_of(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    if path.suffix == ".pt2":
        program = torch.export.load(path).module()
        return lambda pixels: program(torch.from_numpy(pixels)).detach().numpy()
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda pixels: np.asarray(session.run(None, {"pixels": pixels})[0])


def check_graph(classifier: Classifier, path: Path, odd_photos: Path) -> None:
    """A graph gives each photo the probabilities of ``aral predict``; those that need no resize to 1e-4."""
    graph = graph_of(path)
    rows = [
        row
        for row in predictions(classifier, odd_photos)
        if not row.problem and not row.path.startswith("deep")
    ]
    side = classifier.preprocessing.shape[1]
    for row in rows:
        with Image.open(odd_photos / row.path) as image:
            pixels = np.asarray(image.convert("RGB"))[None].copy()
        most = 1e-4 if pixels.shape[1:3] == (side, side) else GRAPH_TOLERANCE
        np.testing.assert_allclose(graph(pixels)[0], row.probabilities, rtol=0, atol=most, err_msg=row.path)
    several = np.concatenate([pixels, pixels[:, ::-1], pixels])
    np.testing.assert_allclose(graph(several)[::2], np.concatenate([graph(pixels)] * 2), atol=1e-5)


def test_graphs_of_gradients_predict_the_same(
    classifier: Classifier, odd_photos: Path, tmp_path: Path
) -> None:
    export_torch(classifier, tmp_path / "model.pt2", {})
    check_graph(classifier, tmp_path / "model.pt2", odd_photos)
    export_onnx(classifier, tmp_path / "model.onnx", {})
    check_graph(classifier, tmp_path / "model.onnx", odd_photos)


@pytest.mark.parametrize("components", [COMPONENTS, 0])
def test_the_graph_of_the_embedded_backbone_predicts_the_same(
    odd_photos: Path, tmp_path: Path, components: int
) -> None:
    """With unit length and components, and standardised; the file has the weights of the backbone and not those of its
    own classifier."""
    embedded = make_backbone(RepresentationSettings(backbone="efficientnet-lite0-spatial", side=64))
    classifier = of_backbone(embedded, components, 0.3)
    path = tmp_path / ("model.onnx" if components else "model.pt2")
    (export_onnx if components else export_torch)(classifier, path, {})
    weights = sum(value.numel() for value in embedded.trunk.parameters())
    assert 4 * weights < path.stat().st_size < 4 * weights + 4_000_000 + 4 * 2048 * 2048 * (not components)
    check_graph(classifier, path, odd_photos)


def test_an_export_names_the_backbone_and_its_files_classify_photos(
    labelled: Project, odd_photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = export(labelled, out, ["onnx", "model"])
    card = (out / "README.md").read_text()
    backbone = gradients()
    lines = card.partition("## Backbone")[2].partition("\n## ")[0]
    for fact in (
        "Name: gradients",
        "Licence of its weights: MIT",
        "Source: computed, no weights",
        f"SHA-256 of its weights: {backbone.digest}",
        "Input: 64×64; the whole photo is resized, whatever its aspect ratio",
        f"Features: {backbone.feature_size}, divided by their length; the leading {COMPONENTS} principal components",
    ):
        assert fact in lines
    assert "holds the weights of the backbone gradients, licence MIT" in card.partition("## Licence")[2]
    assert "trained from random weights" not in card and not done.notes
    described = json.loads((out / "classifier.json").read_text())
    assert (
        described["backbone"]["sha256"] == backbone.digest and described["preprocessing"]["fit"] == "stretch"
    )
    assert "backbone gradients: MIT" in described["licence"]
    # What is exported is the same classifier, and reads large JPEG files as predictions do.
    predict(find_classifier(labelled.folder), odd_photos, tmp_path / "expected.csv")
    predict(find_classifier(out), odd_photos, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
    rows = {row["path"]: row for row in csv.DictReader((tmp_path / "expected.csv").read_text().splitlines())}
    names = {"enough": described["preprocessing"]["enough"]}
    source = (out / "classify_onnx.py").read_text()
    exec(source[: source.index("model = ")], names)
    large = np.asarray(names["read"](odd_photos / "deep" / "large.jpg"))[None]  # type: ignore[operator]
    assert large.shape == (1, 175, 250, 3), "decoded at a quarter"
    found = graph_of(out / "model.onnx")(large)[0]
    expected = [float(rows["deep/large.jpg"][f"p({name})"]) for name in DIGIT_CLASSES]
    np.testing.assert_allclose(found, expected, rtol=0, atol=GRAPH_TOLERANCE)


def test_a_missing_backbone_fails_the_export_of_graphs_only(labelled: Project, tmp_path: Path) -> None:
    folder = labelled.folder / labelled.models.all()[-1].folder
    another_digest(Classifier.load(folder)).save(folder)
    with pytest.raises(BadInput, match="SHA-256"):
        export(labelled, tmp_path / "out", ["csv", "torch-export"])
    assert not (tmp_path / "out").exists()
    assert "model/" in export(labelled, tmp_path / "out", ["csv", "model"]).files
    checks = {check.name: check for check in examine(labelled.photos)}
    assert checks["classifier"].verdict == "good" and checks["backbone"].verdict == "bad"


def test_a_backbone_that_cannot_be_part_of_a_graph_is_a_note(trained: Project, tmp_path: Path) -> None:
    """A model of onnxruntime is used for predictions; the other files of the export are written."""
    path = tmp_path / "mean.onnx"
    nodes = [helper.make_node("GlobalAveragePool", ["pixels"], ["features"])]
    given = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, 16, 16])
    made = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3, 1, 1])
    model = helper.make_model(
        helper.make_graph(nodes, "mean", [given], [made]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.save(model, path)
    classifier = of_backbone(make_backbone(RepresentationSettings(backbone=f"onnx:{path}")), 2)
    classifier.save(trained.folder / trained.models.all()[-1].folder)
    out = tmp_path / "out"
    done = export(trained, out, ["model", "torch-export", "onnx", "trunk"])
    *graphs, trunk = done.notes
    assert len(graphs) == 2 and all(f"backbone 'onnx:{path}' cannot be part" in note for note in graphs)
    assert f"reads features of 'onnx:{path}'" in trunk and not (out / "trunk.onnx").exists()
    assert not (out / "model.onnx").exists() and not (out / "classify_torch.py").exists()
    save_digits(tmp_path / "new", 3)
    assert predict(find_classifier(out), tmp_path / "new", tmp_path / "out.csv").images == 3


def test_projecting_again_is_what_the_training_reads(classifier: Classifier, odd_photos: Path) -> None:
    """Training reads what :func:`aral.representations.project` makes of the pool."""
    projection = classifier.projection
    assert projection is not None
    features = raw_features(classifier, odd_photos, ["00.png", "01.png"])
    pool = ImageSet.of(project(projection, features))
    assert np.array_equal(classifier.probabilities(pool), classifier.of_features(features))
