"""Data sets of one's own in an .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aral.data import npz_dataset, resized
from aral.errors import BadInput

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 6), dtype=np.uint8)
LABELS = np.arange(20) % 4


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_without_a_test_set_a_share_of_each_class_is_drawn(tmp_path: Path) -> None:
    path = save(tmp_path / "toy.npz", images=IMAGES, labels=LABELS + 3)
    data = npz_dataset(path, 0.4)
    assert (data.name, data.class_names) == ("toy", ("3", "4", "5", "6"))
    assert np.bincount(data.pool_classes).tolist() == [3] * 4
    assert np.bincount(data.test.classes).tolist() == [2] * 4
    assert data.note == "test set: 40% of the images of each class"
    of_both = [*data.pool.pixels[:, 0].numpy(), *data.test.images.pixels[:, 0].numpy()]
    classes = [*data.pool_classes, *data.test.classes]
    for image, number in zip(of_both, classes, strict=True):
        (row,) = np.flatnonzero((IMAGES == image).all(axis=(1, 2)))
        assert LABELS[row] == number, "images keep their labels"
    again = npz_dataset(path, 0.4)
    assert again.pool.pixels.equal(data.pool.pixels), "the same every time"


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("x_train", "y_train", "x_test", "y_test"),
        ("X", "Y", "X_test", "y_test"),
        ("images", "labels", "val_images", "val_labels"),
    ],
)
def test_the_usual_names_are_read(tmp_path: Path, names: tuple[str, ...]) -> None:
    """MedMNIST has labels of shape N×1, Keras grey images without an axis of channels."""
    arrays = (IMAGES[:12], LABELS[:12, None], IMAGES[12:], LABELS[12:])
    data = npz_dataset(save(tmp_path / "toy.npz", **dict(zip(names, arrays, strict=True))))
    assert (len(data.pool), len(data.test)) == (12, 8)
    assert data.pool.shape == (1, 8, 6)
    assert data.pool_classes.tolist() == LABELS[:12].tolist()
    assert data.note == ("test set: val_images" if names[2] == "val_images" else "")


def test_a_validation_set_beside_a_test_set_is_named_as_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sets = {f"{part}_images": IMAGES for part in ("train", "val", "test")}
    labels = {f"{part}_labels": LABELS for part in ("train", "val", "test")}
    data = npz_dataset(save(tmp_path / "toy.npz", **sets, **labels, extra=LABELS))
    assert data.note == "extra, val_images, val_labels not used"
    assert "extra, val_images, val_labels" in caplog.text


def test_labels_may_be_text_and_classes_may_be_named(tmp_path: Path) -> None:
    words = np.array(["owl", "cat", "dog", "ape"])[LABELS]
    data = npz_dataset(save(tmp_path / "a.npz", images=IMAGES, labels=words))
    assert data.class_names == ("ape", "cat", "dog", "owl")
    counts = np.bincount(data.test.classes)
    assert counts.tolist() == [1, 1, 1, 1]
    named = save(tmp_path / "b.npz", images=IMAGES, labels=LABELS, class_names=["k", "l", "m", "n", "o"])
    assert npz_dataset(named).class_names == ("k", "l", "m", "n", "o")


def test_images_become_squares_of_one_side(tmp_path: Path) -> None:
    data = npz_dataset(save(tmp_path / "toy.npz", images=IMAGES, labels=LABELS))
    square = resized(data, 8)
    assert square.pool.shape == square.test.images.shape == (1, 8, 8)
    assert "images of 6×8 as squares of 8 pixels" in square.note
    assert resized(square, 8) is square
    colour = np.repeat(IMAGES[:, :6, :, None], 3, axis=3)
    colour[..., 1] = 0
    data = npz_dataset(save(tmp_path / "colour.npz", images=colour, labels=LABELS))
    assert resized(data, 6).pool.pixels.equal(data.pool.pixels)
    assert not resized(data, 12).pool.pixels[:, 1].any(), "channels stay where they are"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": None}, "lacks train_images; it holds labels"),
        ({"labels": None}, "lacks train_labels"),
        ({"x_train": IMAGES}, "images and x_train, and each can be the train_images"),
        ({"test_images": IMAGES}, "holds test_images, but lacks test_labels"),
        ({"labels": LABELS[:5]}, "5 labels, but 20 images"),
        ({"labels": LABELS - 1}, "5 labels are negative or no whole number, such as -1 at position 0"),
        ({"labels": LABELS + 0.5}, "20 labels are negative or no whole number"),
        ({"labels": np.eye(4)[LABELS]}, "one value an image"),
        ({"labels": LABELS * 0}, "nothing to learn"),
        (
            {"labels": np.array(["a", "", "b", "c"])[LABELS]},
            "5 labels are empty, at position 1, 5, 9, 13, 17",
        ),
        ({"class_names": ["a", "b"]}, "outside the 2 classes of class_names: 2, 3"),
        ({"test_images": IMAGES, "test_labels": LABELS + 1}, "1 class that labels lacks: 4"),
        ({"images": np.zeros((20, 3, 8, 3), np.uint8)}, "read as NHWC and as NCHW"),
        ({"images": IMAGES.astype(np.int32)}, "uint8"),
        ({"labels": np.arange(20)}, "single image"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    arrays = {"images": IMAGES, "labels": LABELS} | changes
    path = save(tmp_path / "toy.npz", **{name: each for name, each in arrays.items() if each is not None})
    with pytest.raises(BadInput, match=said):
        npz_dataset(path)


def test_an_ambiguous_shape_is_settled_in_the_file(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (20, 3, 8, 3), dtype=np.uint8)
    path = save(tmp_path / "toy.npz", images=images, labels=LABELS, layout="NCHW")
    assert npz_dataset(path).pool.shape == (3, 8, 3)


def test_a_test_share_beside_a_test_set_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "toy.npz", images=IMAGES, labels=LABELS, test_images=IMAGES, test_labels=LABELS)
    with pytest.raises(BadInput, match="test set of its own: test_images"):
        npz_dataset(path, 0.2)
