"""The exported classifier: saved and loaded bit for bit, its predictions, model card, status and doctor."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aral.annotation import (
    Classifier,
    Project,
    examine,
    export,
    find_classifier,
    import_labels,
    model_card,
    predict,
    status,
)
from aral.errors import BadInput
from aral.testing import DIGIT_CLASSES, answer_event, save_digits


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
        "classifier.json",
        "model/",
        "load_model.py",
        "model.pt2",
        "classify_torch.py",
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} == {name.strip("/") for name in done.files}
    assert find_classifier(tmp_path / "out").description.class_names == DIGIT_CLASSES
    (tmp_path / "out" / "mine.txt").write_text("mine")
    again = export(trained, tmp_path / "out", ["csv", "model"])
    (note,) = again.notes
    assert "label-studio.json" in note and "model.pt2" in note and "labels.csv" not in note
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    assert find_classifier(tmp_path / "out").description.class_names == DIGIT_CLASSES


def test_an_exported_classifier_has_the_present_names_and_figures(trained: Project, tmp_path: Path) -> None:
    trained.classes.rename(1, "uno", "Ann")
    model = trained.models.all()[-1]
    assert model.estimate is not None
    trained.models.record(replace(model, estimate=replace(model.estimate, accuracy=0.75)))
    export(trained, tmp_path / "out", ["model"])
    description = find_classifier(tmp_path / "out").description
    assert description.class_names == ("zero", "uno", "two") and description.facts["accuracy"] == 0.75
    assert "| uno |" in (tmp_path / "out" / "README.md").read_text()


def test_a_damaged_classifier_leaves_the_earlier_export(trained: Project, tmp_path: Path) -> None:
    export(trained, tmp_path / "out", ["csv", "model"])
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    (trained.folder / trained.models.all()[-1].folder / "model.json").write_text("{}")
    trained.annotations.append(answer_event(int(trained.images.labelable_ids()[0]), 1))
    with pytest.raises(BadInput):
        export(trained, tmp_path / "out")
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    with pytest.raises(BadInput):
        export(trained, tmp_path / "further" / "out")
    assert not (tmp_path / "further").exists()


def test_a_table_that_cannot_be_written_is_refused_first(trained: Project, tmp_path: Path) -> None:
    classifier = find_classifier(trained.folder)
    for target in (tmp_path / "missing" / "table.csv", tmp_path):
        with pytest.raises(BadInput, match="cannot be written"):
            predict(classifier, trained.photos, target)


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


def test_a_card_without_a_model_promises_none(project: Project) -> None:
    card = model_card(project)
    for words in ("classifier for", "pipeline_tag", "acquisition", "predicts", "ccuracy", "queried"):
        assert words not in card, words


def test_a_card_says_where_the_labels_come_from(trained: Project, tmp_path: Path) -> None:
    """A model may be trained on imported labels only: then nothing was queried."""
    assert "queried by an acquisition function: their class" in model_card(trained)
    strategies = {each.strategy for each in trained.labels.provenance().values() if each.round is not None}
    (strategy,) = strategies
    count = trained.labels.counts().for_training
    assert f"Labels for training: {count} queried by the acquisition function {strategy}" in model_card(
        trained
    )
    save_digits(tmp_path / "others", 30)
    with Project.create_or_open(tmp_path / "others", class_names=DIGIT_CLASSES) as other:
        other.images.sync()
        labels = tmp_path / "labels.csv"
        names = sorted(path.name for path in (tmp_path / "others").glob("*.png"))[:20]
        labels.write_text("path,label\n" + "".join(f"{name},{name.partition('-')[0]}\n" for name in names))
        import_labels(other, labels)
        other.models.record(replace(trained.models.all()[-1], estimate=None))
        card = model_card(other)
        assert f"Labels for training: {other.labels.counts().for_training} imported." in card
        assert "No training image was queried" in card and "Queried images" not in card
        assert "The accuracy is unknown" in card and "accuracy holds" not in card


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
