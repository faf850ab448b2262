"""The classifier that leaves a project: bit for bit the one that was measured, in every form."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from aral.errors import BadInput, RunFailed
from aral.labelling import Classifier, examine, export, find_classifier, model_card, predict, status
from aral.labelling.portable import ONNX_PACKAGES, _compare, export_onnx, export_torch
from aral.project import Project
from tests.labelling.conftest import CLASSES, save_digits


def of_project(project: Project) -> Classifier:
    return Classifier.load(project.folder / project.models()[-1].folder)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 1, 28, 28), dtype=np.uint8)


def test_saved_and_loaded_it_says_the_same(trained: Project, tmp_path: Path) -> None:
    classifier = of_project(trained)
    assert classifier.description.class_names == CLASSES
    assert classifier.description.facts["trained_on"] == trained.models()[0].trained_on
    classifier.save(tmp_path / "model")
    again = Classifier.load(tmp_path / "model")
    assert np.array_equal(again.of_pixels(noise(4)), classifier.of_pixels(noise(4)))
    assert np.allclose(classifier.of_pixels(noise(4)).sum(axis=1), 1, atol=1e-6)
    images = classifier.of_pixels(noise(4))
    assert not np.allclose(images[0], images[1]), "it looks at the image"


@pytest.mark.parametrize("name", ["classifier.safetensors", "model.json"])
def test_a_changed_byte_is_noticed(trained: Project, tmp_path: Path, name: str) -> None:
    of_project(trained).save(tmp_path / "model")
    path = tmp_path / "model" / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BadInput, match=name):
        Classifier.load(tmp_path / "model")


def test_torch_export_says_the_same_for_any_count(trained: Project, tmp_path: Path) -> None:
    classifier = of_project(trained)
    export_torch(classifier, tmp_path / "model.pt2")
    graph = torch.export.load(tmp_path / "model.pt2").module()
    for count in (1, 7):
        pixels = noise(count)
        said = graph(torch.from_numpy(pixels)).detach().numpy()
        assert np.abs(said - classifier.of_pixels(pixels)).max() < 1e-5


def test_a_graph_that_differs_is_refused(trained: Project) -> None:
    classifier = of_project(trained)
    with pytest.raises(RunFailed, match="differs"):
        _compare(classifier, lambda pixels: classifier.of_pixels(255 - pixels), "wrong")


def test_onnx_is_refused_without_its_packages(
    trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ONNX_PACKAGES else object())
    with pytest.raises(BadInput) as refused:
        export_onnx(of_project(trained), tmp_path / "model.onnx")
    assert refused.value.hint == "Install them: pip install 'aral[onnx]'"
    assert not (tmp_path / "model.onnx").exists()


def test_onnx_says_the_same_where_it_is_installed(trained: Project, tmp_path: Path) -> None:
    installed = all(importlib.util.find_spec(name) for name in ONNX_PACKAGES)
    done = True
    try:
        # The export compares both on other images than it was made with, and raises where they differ.
        export_onnx(of_project(trained), tmp_path / "model.onnx")
    except BadInput:
        done = False
    assert done == installed == (tmp_path / "model.onnx").exists()


def test_predicting_a_folder(trained: Project, tmp_path: Path) -> None:
    save_digits(tmp_path / "new" / "deep", 8, first=100)
    (tmp_path / "new" / "broken.png").write_bytes(b"no image")
    target = tmp_path / "out.csv"
    done = predict(find_classifier(trained.photos), tmp_path / "new", target)
    assert (done.images, done.unreadable) == (8, 1)
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert len(rows) == 9
    (broken,) = [row for row in rows if row["problem"]]
    assert broken["path"] == "broken.png" and broken["class"] == "" and "image" in broken["problem"]
    for row in rows:
        if row["problem"]:
            continue
        probabilities = {name: float(row[f"p({name})"]) for name in CLASSES}
        assert row["class"] == max(probabilities, key=lambda name: probabilities[name])
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-3)
        assert float(row["probability"]) == max(probabilities.values())


def test_photos_of_the_project_are_predicted_as_suggested(trained: Project, tmp_path: Path) -> None:
    predict(find_classifier(trained.folder), trained.photos, tmp_path / "out.csv")
    said = {row["path"]: row for row in csv.DictReader((tmp_path / "out.csv").read_text().splitlines())}
    names = {each.id: each.name for each in trained.classes()}
    for image_id in trained.labelable_ids().tolist():
        suggestion = trained.prediction(image_id)
        assert suggestion is not None
        row = said[trained.image(image_id).name]
        assert row["class"] == names[suggestion.class_id]
        assert float(row["probability"]) == pytest.approx(suggestion.probability, abs=2e-3)


def test_nothing_to_predict_with_or_on(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no classifier yet"):
        find_classifier(project.photos)
    with pytest.raises(BadInput, match="no project"):
        find_classifier(tmp_path)


def test_an_export_is_complete_and_its_snippet_runs(trained: Project, tmp_path: Path) -> None:
    done = export(trained, tmp_path / "out")
    assert set(done.files) == {
        "labels.csv",
        "labels.jsonl",
        "label-studio.json",
        "label-studio.xml",
        "README.md",
        "model/",
        "load_model.py",
        "model.pt2",
    }
    script = (tmp_path / "out" / "load_model.py").read_text()
    assert len(script.splitlines()) <= 10
    photo = trained.photos / trained.image(0).name
    said = subprocess.run(
        [sys.executable, tmp_path / "out" / "load_model.py", photo],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    best = of_project(trained).of_pixels(trained.pixels().rows(np.array([0])))[0]
    assert said.split()[1:3] == [CLASSES[best.argmax()], f"{best.max():.1%}"]
    assert find_classifier(tmp_path / "out").description.class_names == CLASSES
    export(trained, tmp_path / "out")


def test_the_model_card_says_how_good_it_is_and_how_that_is_known(trained: Project) -> None:
    trained.add_class("<script>|x", "Ann")
    card = model_card(trained)
    estimate = trained.models()[-1].estimate
    assert estimate is not None
    assert f"on {estimate.count} images drawn at random" in card
    assert f"95 % interval {100 * estimate.low:.1f} to {100 * estimate.high:.1f} %" in card
    assert "not a fair sample" in card and "<script>" not in card.split("---")[2]
    for figure in trained.models()[-1].per_class:
        assert f"| {CLASSES[figure.class_id]} | {figure.labels} |" in card


def test_status_in_facts_and_sentences(trained: Project) -> None:
    found = status(trained)
    assert found.facts["counts"]["labelled"] == trained.answered_count().labelled
    assert sum(found.facts["classes"].values()) == trained.answered_count().labelled
    assert found.facts["models"] == 1 and found.facts["session"] == "session-1"
    text = "\n".join(found.sentences)
    assert f"{trained.answered_count().labelled} of 40 labels" in text
    assert "95 % interval" in text and "after 3 measured rounds" in text


def test_the_doctor_finds_what_is_wrong(trained: Project, tmp_path: Path) -> None:
    good = {check.name: check for check in examine(trained.photos)}
    assert not [check for check in good.values() if check.verdict == "bad"]
    assert good["classifier"].verdict == good["answers"].verdict == good["pixels"].verdict == "good"
    weights = trained.folder / trained.models()[-1].folder / "classifier.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    trained.folder.chmod(0o755)
    trained.pixels().path.write_bytes(b"")
    wrong = {check.name: check for check in examine(trained.photos)}
    assert [wrong[name].verdict for name in ("classifier", "rights", "pixels")] == ["bad", "note", "bad"]
    assert all(wrong[name].hint for name in ("classifier", "rights", "pixels"))
    (nothing,) = [check for check in examine(tmp_path) if check.verdict == "bad"]
    assert nothing.name == "project"
