"""Which folders are splits, which are classes, and which are neither."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from aral.data import folder_dataset
from aral.data.folder_layout import Ignored, is_date, read_layout, split_of
from aral.errors import BadInput
from aral.randomness import Stream


@pytest.mark.parametrize(
    ("names", "split"),
    [
        ("train Train TRAINING train_set train-set trainset train_data train-images training_images "
         "train2017 images_train", "train"),
        ("val valid Validation dev eval evaluation val2014 validation_set dev-set valid_data", "validation"),
        ("test TESTING holdout hold-out hold_out Hold Out test_set test-images test_data".replace("Hold Out ", ""),
         "test"),
    ],
)  # fmt: skip
def test_names_of_splits(names: str, split: str) -> None:
    assert {name: split_of(name) for name in names.split()} == dict.fromkeys(names.split(), split)
    assert split_of("Hold Out") == "test"


@pytest.mark.parametrize(
    "name", ["trains", "trainer", "tester", "contest", "devil", "cat", "value", "testa", "7"]
)
def test_names_of_no_split(name: str) -> None:
    assert split_of(name) is None


@pytest.mark.parametrize(
    "name",
    ["1999", "2023", "2023-05", "202305", "2023-05-01", "20230501", "2023_05_01", "2023.05.01", "01.05.2023",
     "2023-05-01_12-30", "May", "january", "Jan 2023", "2023-May", "2023-W05"],
)  # fmt: skip
def test_names_of_dates(name: str) -> None:
    assert is_date(name)


@pytest.mark.parametrize(
    "name", ["0", "7", "05", "1234", "2345", "00042", "n01440764", "20231399", "marble", "cat"]
)
def test_names_of_no_date(name: str) -> None:
    assert not is_date(name)


def test_two_digits_are_a_month_within_a_year_only() -> None:
    assert is_date("05", "2023") and not is_date("05", "photos")


def layout(*folders: str, within: str = "", classes: tuple[str, ...] = ()):
    return read_layout(
        [f"{folder}/{number}.jpg" for folder in folders for number in (1, 2)], within=within, classes=classes
    )


@pytest.mark.parametrize(
    ("folders", "classes", "splits"),
    [
        (("cat", "dog"), ("cat", "dog"), ()),
        (("dogs/deep/er", "cats"), ("cats", "dogs"), ()),
        (("train/cat", "train/dog", "validation/cat", "test/dog"), ("cat", "dog"), ("test", "train", "validation")),
        (("photos/Train/cat", "photos/Test/dog"), ("cat", "dog"), ("Test", "Train")),
        (("a/train/cat", "b/train/dog"), ("cat", "dog"), ("train",)),
        (("cat/train", "cat/val", "dog/train"), ("cat", "dog"), ("train", "val")),
        (("train/cat", "train/dog", "unlabelled"), ("cat", "dog"), ("train",)),
        (("car", "plane", "train"), ("car", "plane"), ()),  # a class of trains needs an explicit yes
        (("car/x", "plane/y", "train/steam"), ("car", "plane"), ()),
        (("train", "test"), (), ()),
        (("2023/05/01", "2024/05/01"), (), ()),
        (("train/2023", "train/cat"), ("cat",), ("train",)),
        (("train/cat", "train/test"), ("cat",), ("train",)),
        ((), (), ()),
    ],
)  # fmt: skip
def test_layouts(folders, classes, splits) -> None:
    found = layout(*folders)
    assert (found.classes, found.splits) == (classes, splits)


def test_what_is_ignored_is_counted_and_named() -> None:
    found = layout("train/cat", "train/dog", "test/cat", "train/2023", "train", "extra")
    assert found.ignored == (
        Ignored("extra", 2, "which is outside the splits"),
        Ignored("train", 2, "which is no class folder"),
        Ignored("train/2023", 2, "which is named like a date"),
    )
    said = " ".join(found.sentences())
    assert "Splits, not classes: test, train." in said and "Classes: cat, dog." in said
    assert "Ignored: 2 files in extra" in said
    assert found.class_of("train/cat/x.jpg") == "cat" and found.class_of("extra/x.jpg") is None
    assert found.split_of("test/cat/x.jpg") == "test" and found.class_of("train/2023/x.jpg") is None


def test_an_explicit_yes_names_classes() -> None:
    assert layout("car", "plane", "train", classes=("car", "train")).classes == ("car", "train")
    assert layout("2023/a", "2024/b", classes=("2023", "2024")).classes == ("2023", "2024")
    found = layout("train/cat", "train/test", classes=("cat", "test"))
    assert (found.classes, found.splits) == (("cat", "test"), ("train",))
    assert layout("01", "02", within="2023").classes == ()
    assert layout("01", "02", within="signs").classes == ("01", "02")


def grey(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (value,) * 3).save(path)


def two_classes(root: Path, first: int) -> None:
    for index in range(4):
        grey(root / "cats" / f"{index}.png", first + index)
        grey(root / "dogs" / f"{index}.png", 100 + first + index)


@pytest.mark.parametrize(
    ("train", "test"), [("Training", "Validation_set"), ("train_images", "hold-out"), ("TRAIN", "dev")]
)
def test_a_run_takes_splits_in_any_spelling(tmp_path: Path, train: str, test: str) -> None:
    two_classes(tmp_path / train, 0)
    two_classes(tmp_path / test, 20)
    grey(tmp_path / "extra" / "cats" / "x.png", 250)
    data = folder_dataset(tmp_path, 8, 0.5, Stream.root(0))
    assert (len(data.pool), len(data.test), data.class_names) == (8, 8, ("cats", "dogs"))
    assert int(data.test.images.pixels.min()) == 20 and data.note == "1 file left out"


def test_a_third_split_is_left_out_and_counted(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val", "test")):
        two_classes(tmp_path / split, 20 * number)
    data = folder_dataset(tmp_path, 8, 0.5, Stream.root(0))
    assert (len(data.pool), int(data.test.images.pixels.min()), data.note) == (8, 40, "8 files left out")


def test_a_run_takes_no_dates_and_no_lone_splits_for_classes(tmp_path: Path) -> None:
    for number, folder in enumerate(("2023", "2024")):
        for index in range(4):
            grey(tmp_path / "dates" / folder / f"{index}.png", 10 * number + index)
    with pytest.raises(BadInput, match=r"named like a date.*\n.*renamed"):
        folder_dataset(tmp_path / "dates", 8, 0.5, Stream.root(0))
    named = folder_dataset(tmp_path / "dates", 8, 0.5, Stream.root(0), classes=("2023", "2024"))
    assert named.class_names == ("2023", "2024")
    two_classes(tmp_path / "lone" / "train", 0)
    data = folder_dataset(tmp_path / "lone", 8, 0.25, Stream.root(0))
    assert (len(data.pool), len(data.test), data.class_names) == (6, 2, ("cats", "dogs"))


def test_a_split_may_be_a_link_to_another_place(tmp_path: Path) -> None:
    two_classes(tmp_path / "elsewhere", 0)
    two_classes(tmp_path / "data" / "test", 20)
    (tmp_path / "data" / "train").symlink_to(tmp_path / "elsewhere")
    data = folder_dataset(tmp_path / "data", 8, 0.5, Stream.root(0))
    assert (len(data.pool), len(data.test), data.note) == (8, 8, "")
