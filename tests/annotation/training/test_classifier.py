"""The exported classifier: saved and loaded bit for bit, its predictions, model card, status and doctor."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from aral.annotation import Classifier, Project, examine, export, find_classifier, model_card, predict, status
from aral.errors import BadInput
from aral.testing import DIGIT_CLASSES, save_digits


def of_project(project: Project) -> Classifier:
    return Classifier.load(project.folder / project.models.all()[-1].folder)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 1, 28, 28), dtype=np.uint8)


def test_a_loaded_classifier_predicts_the_same(trained: Project, tmp_path: Path) -> None:
    classifier = of_project(trained)
    assert classifier.description.class_names == DIGIT_CLASSES
    assert classifier.description.facts["trained_on"] == trained.models.all()[0].trained_on
    classifier.save(tmp_path / "model")
    again = Classifier.load(tmp_path / "model")
    assert np.array_equal(again.of_pixels(noise(4)), classifier.of_pixels(noise(4)))
    assert np.allclose(classifier.of_pixels(noise(4)).sum(axis=1), 1, atol=1e-6)
    images = classifier.of_pixels(noise(4))
    assert not np.allclose(images[0], images[1]), "predictions depend on the image"


@pytest.mark.parametrize("name", ["classifier.safetensors", "model.json"])
def test_a_changed_byte_is_detected(trained: Project, tmp_path: Path, name: str) -> None:
    of_project(trained).save(tmp_path / "model")
    path = tmp_path / "model" / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BadInput, match=name):
        Classifier.load(tmp_path / "model")


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
        probabilities = {name: float(row[f"p({name})"]) for name in DIGIT_CLASSES}
        assert row["class"] == max(probabilities, key=lambda name: probabilities[name])
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-3)
        assert float(row["probability"]) == max(probabilities.values())


def test_predictions_of_the_photos_equal_the_suggestions(trained: Project, tmp_path: Path) -> None:
    predict(find_classifier(trained.folder), trained.photos, tmp_path / "out.csv")
    by_path = {row["path"]: row for row in csv.DictReader((tmp_path / "out.csv").read_text().splitlines())}
    names = {each.id: each.name for each in trained.classes.all()}
    for image_id in trained.images.labelable_ids().tolist():
        suggestion = trained.predictions.get(image_id)
        assert suggestion is not None
        row = by_path[trained.images.get(image_id).name]
        assert row["class"] == names[suggestion.class_id]
        assert float(row["probability"]) == pytest.approx(suggestion.probability, abs=2e-3)


def test_nothing_to_predict_with_or_on(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no classifier yet"):
        find_classifier(project.photos)
    with pytest.raises(BadInput, match="no project"):
        find_classifier(tmp_path)


def test_an_export_is_complete_and_can_be_repeated(trained: Project, tmp_path: Path) -> None:
    done = export(trained, tmp_path / "out")
    assert set(done.files) == {
        "labels.csv",
        "labels.jsonl",
        "label-studio.json",
        "label-studio.xml",
        "unreadable.csv",
        "README.md",
        "model/",
        "load_model.py",
        "model.pt2",
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} == {name.strip("/") for name in done.files}
    assert find_classifier(tmp_path / "out").description.class_names == DIGIT_CLASSES
    export(trained, tmp_path / "out", ["csv", "model"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(trained: Project, tmp_path: Path, value: float) -> None:
    classifier = of_project(trained)
    classifier.network.state_dict()["class_layer.bias"][1] = value  # shares the network's memory
    classifier.save(tmp_path / "model")
    with pytest.raises(BadInput, match=r"weights 'class_layer\.bias' hold NaN or an infinity"):
        Classifier.load(tmp_path / "model")


def test_the_model_card_has_the_estimate_and_the_confusion_matrix(trained: Project) -> None:
    trained.classes.add("<script>|x", "Ann")
    card = model_card(trained)
    estimate = trained.models.all()[-1].estimate
    assert estimate is not None
    assert f"on {estimate.count} images drawn at random" in card
    assert f"95 % confidence interval {100 * estimate.low:.1f} to {100 * estimate.high:.1f} %" in card
    assert "not a random sample" in card and "<script>" not in card.split("---")[2]
    for figure in trained.models.all()[-1].per_class:
        assert f"| {DIGIT_CLASSES[figure.class_id]} | {figure.labels} |" in card


def test_status_in_facts_and_sentences(trained: Project) -> None:
    found = status(trained)
    assert found.facts["counts"]["labelled"] == trained.labels.counts().labelled
    assert sum(found.facts["classes"].values()) == trained.labels.counts().labelled
    assert found.facts["models"] == 1 and found.facts["session"] == "session-1"
    text = "\n".join(found.sentences)
    assert f"{trained.labels.counts().labelled} of 40 labels" in text
    assert "95 % confidence interval" in text and "after 3 rounds" in text


def test_doctor_finds_damage(trained: Project, tmp_path: Path) -> None:
    good = {check.name: check for check in examine(trained.photos)}
    assert not [check for check in good.values() if check.verdict == "bad"]
    assert good["classifier"].verdict == good["database"].verdict == good["pixels"].verdict == "good"
    weights = trained.folder / trained.models.all()[-1].folder / "classifier.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    trained.folder.chmod(0o755)
    trained.images.pixels().path.write_bytes(b"")
    wrong = {check.name: check for check in examine(trained.photos)}
    assert [wrong[name].verdict for name in ("classifier", "permissions", "pixels")] == ["bad", "note", "bad"]
    assert all(wrong[name].hint for name in ("classifier", "permissions", "pixels"))
    (nothing,) = [check for check in examine(tmp_path) if check.verdict == "bad"]
    assert nothing.name == "project"
