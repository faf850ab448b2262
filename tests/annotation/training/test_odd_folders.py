"""Folders with few images, with files that change during training, and with unusual file names."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from aral.annotation import Project, Trainer, export, import_labels, model_card, predict, status
from aral.annotation.classifier import newest_classifier
from aral.errors import BadInput
from aral.testing import DIGIT_CLASSES, TINY_TRAINING, answer_cards, answer_event, run_trainer, save_digits

NAMES = (
    b"\xf0\x9f\x90\x88 cat.png",
    "مرحبا.png".encode(),
    unicodedata.normalize("NFC", "é.png").encode(),
    unicodedata.normalize("NFD", "é.png").encode(),
    b"two\nlines\r\tand a tab.png",
    b"\"quotes', semicolons; & <img onerror=alert(1)>.png",
    b"=1+1.png",
    b"-rf",
    b"'apostrophe",
    b"x" * 255,
    b"caf\xe9\xff.png",
    b"deep/er/and \\ er/cat.png",
)


def filled(folder: Path) -> Path:
    """The digits 0 to 11 under the names above."""
    save_digits(folder, len(NAMES))
    for path, name in zip(sorted(folder.iterdir()), NAMES, strict=True):
        target = folder / os.fsdecode(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    return folder


@pytest.mark.parametrize("file", ["labels.csv", "labels.jsonl", "label-studio.json"])
def test_any_file_name_is_exported_and_imported_byte_for_byte(
    photos: Path, tmp_path: Path, file: str
) -> None:
    with Project.create_or_open(filled(photos), class_names=DIGIT_CLASSES) as project:
        project.images.sync()
        project.annotations.append_many(
            [answer_event(image_id, image_id % 3) for image_id in range(len(NAMES))]
        )
        wanted = {os.fsencode(project.images.get(each).name): each % 3 for each in range(len(NAMES))}
        assert set(wanted) == set(NAMES)
        export(project, tmp_path / "out", ["csv", "jsonl", "label-studio"])
    for line in (tmp_path / "out" / "labels.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert wanted[os.fsencode(row["path"])] == DIGIT_CLASSES.index(row["label"])
    # Other files of the same names and other content: the labels are not theirs, unless only names are given.
    twin = filled(tmp_path / "twin")
    for number, name in enumerate(NAMES):
        (twin / os.fsdecode(name)).write_bytes((twin / os.fsdecode(name)).read_bytes() + bytes([number]))
    with Project.create_or_open(twin, class_names=DIGIT_CLASSES) as other:
        other.images.sync()
        with pytest.raises(BadInput, match="another content"):
            import_labels(other, tmp_path / "out" / file)
        labels = tmp_path / "out" / file
        labels.write_bytes(labels.read_bytes().replace(b"sha256", b"hash"))
        done = import_labels(other, labels)
        assert (done.recorded, done.rejected) == (len(NAMES), ())
        found = {
            os.fsencode(other.images.get(label.image_id).name): label.class_id for label in other.labels.all()
        }
    assert found == wanted


def test_predictions_keep_any_file_name(trained: Project, tmp_path: Path) -> None:
    predict(newest_classifier(trained), filled(tmp_path / "new"), tmp_path / "predictions.csv")
    content = (tmp_path / "predictions.csv").read_bytes()
    assert all(name in content or name.replace(b'"', b'""') in content for name in NAMES)
    assert b"\n=1+1" not in content and b"\n'=1+1" in content


@pytest.mark.parametrize(
    ("images", "copies", "trains"), [(1, 0, False), (1, 5, False), (2, 0, False), (3, 0, True), (4, 3, True)]
)
def test_a_few_images_are_trained_on_once_two_classes_are_labelled(
    photos: Path, images: int, copies: int, trains: bool
) -> None:
    """Of two images one is in the estimate set: a classifier needs labels of two classes besides."""
    save_digits(photos, images)
    first = min(photos.iterdir())
    for number in range(copies):
        (photos / f"copy-{number}.png").write_bytes(first.read_bytes())
    with Project.create_or_open(photos, class_names=DIGIT_CLASSES) as project:
        project.images.sync()
        assert project.images.count() == images
        trainer = Trainer(project, TINY_TRAINING)
        run_trainer(trainer)
        cards = project.queue.next_cards("Ann", 50)
        assert len(cards) == images
        project.annotations.append_many(
            [answer_event(card.image_id, place % 2) for place, card in enumerate(cards)]
        )
        run_trainer(trainer)
        state = project.models.training_state()
        assert state.phase == "idle" and len(project.models.all()) == trains
        assert ("two classes" in state.message) != trains
        trainer.close()
        export(project, photos.parent / "out", ["csv"])


def test_disagreements_are_left_out_and_one_label_per_class_is_enough(project: Project) -> None:
    trainer = Trainer(project, TINY_TRAINING)
    run_trainer(trainer)
    measured = set(project.estimate.image_ids().tolist())
    free = [each for each in project.images.labelable_ids().tolist() if each not in measured][:8]
    project.annotations.append_many([answer_event(each, place % 3) for place, each in enumerate(free)])
    project.annotations.append_many(
        [answer_event(each, (place + 1) % 3, "Bob") for place, each in enumerate(free[5:], 5)]
    )
    run_trainer(trainer)
    trainer.close()
    (model,) = project.models.all()
    assert model.trained_on == 5, "disagreements are not trained on"
    assert [figure.labels for figure in model.per_class] == [2, 2, 1]
    assert len(project.labels.disagreements()) == 3


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    save_digits(path.parent / "other", 1, first=90)
    next((path.parent / "other").iterdir()).replace(path)
    (path.parent / "other").rmdir()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("harm", "missing", "changed"),
    [(delete, 3, 0), (replace, 0, 3), (cut, 0, 3)],
    ids=["delete", "replace", "cut"],
)
def test_files_that_are_deleted_or_changed_before_training_are_counted(
    project: Project, tmp_path: Path, harm: Callable[[Path], None], missing: int, changed: int
) -> None:
    trainer = Trainer(project, TINY_TRAINING)
    run_trainer(trainer)
    while project.queue.remaining():
        answer_cards(project, 2)
    labelled = [label.image_id for label in project.labels.all() if label.use == "training"]
    for image_id in labelled[:3]:
        harm(project.photos / project.images.get(image_id).name)
    run_trainer(trainer)
    assert project.models.all()[0].trained_on == len(labelled), "their pixels were stored by the sync"
    project.images.sync()
    counts = project.images.status_counts()
    assert (counts.get("missing", 0), counts.get("changed", 0)) == (missing, changed)
    counts_sentence = f"{missing} are missing and {changed} have changed since they were read"
    assert counts_sentence in status(project).sentences[0] and counts_sentence in model_card(project)
    while project.queue.remaining():
        answer_cards(project, 2)
    run_trainer(trainer)
    trainer.close()
    assert len(project.models.all()) == 2 and project.models.training_state().phase == "off"
    left_out = export(project, tmp_path / "out", ["imagefolder"]).left_out
    assert len(left_out) == 3


def test_an_imagefolder_keeps_the_longest_names_apart(photos: Path, tmp_path: Path) -> None:
    """85 signs of three bytes are the 255 bytes of a name; so are class names of 100 of them cut to fit."""
    save_digits(photos, 4)
    sign = "写"
    names = (sign * 85, sign * 84 + "xyz", "x" * 255, os.fsdecode(b"\xff" * 255))
    for path, name in zip(sorted(photos.iterdir()), names, strict=True):
        path.rename(photos / name)
    with Project.create_or_open(photos, class_names=(sign * 100, "two")) as project:
        project.images.sync()
        images = {project.images.get(each).name: each for each in range(4)}
        project.annotations.append_many([answer_event(each, int(each > 1)) for each in range(4)])
        assert export(project, tmp_path / "out", ["imagefolder"]).left_out == ()
    written = sorted((tmp_path / "out" / "images").glob("*/*"))
    assert len(written) == 4 and len({path.parent for path in written}) == 2
    for path in written:
        number, _, end = path.name.partition("-")
        original = next(name for name, each in images.items() if each == int(number))
        assert original.endswith(end) and 237 < len(os.fsencode(end)) <= 240
        assert path.read_bytes() == (photos / original).read_bytes()
    assert {path.name[7:] for path in written} >= {sign * 80, sign * 79 + "xyz"}
    assert {path.parent.name for path in written} == {sign * 66, "two"}


def test_every_file_that_cannot_be_read_is_listed_with_its_reason(photos: Path, tmp_path: Path) -> None:
    save_digits(photos, 2)
    names = [os.fsdecode(b"=caf\xe9.png"), *(f"{number:03d}.png" for number in range(250))]
    for name in names:
        (photos / name).write_text("no image")
    (photos / "gone.png").symlink_to("nowhere")
    with Project.create_or_open(photos, class_names=DIGIT_CLASSES) as project:
        project.images.sync()
        found = status(project)
        files = export(project, tmp_path / "out", ["csv"]).files
    assert "unreadable.csv" in files
    listed = json.loads(found.as_json())["unreadable files"]
    assert found.facts["unreadable"] == len(listed) == 252
    assert {each["path"]: each["reason"] for each in listed} == {
        **dict.fromkeys(names, "not_an_image"),
        "gone.png": "broken_link",
    }
    header, *lines = (tmp_path / "out" / "unreadable.csv").read_bytes().splitlines()
    assert header == b"path,reason,detail" and len(lines) == 252
    assert any(line.startswith(b"'=caf\xe9.png,not_an_image,") for line in lines)
    assert any("unreadable.csv" in sentence for sentence in found.sentences)
