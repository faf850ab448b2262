"""Data sets from a folder of images and a table of their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.data import DataSet, Limits, labelled_folder_dataset
from aral.errors import BadInput
from aral.randomness import Stream

NAMES = [f"{folder}{number}.png" for folder in ("", "sub/") for number in range(6)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve images, each of a grey of its own, half of them in a sub-folder with the same names but for a letter."""
    for index, name in enumerate(NAMES):
        path = tmp_path / "photos" / name.replace("sub/", "sub/b")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 9, 3), 20 * index, np.uint8)).save(path)
    return tmp_path / "photos"


ROWS = [f"{name.replace('sub/', 'sub/b')},{('cat', 'dog')[index % 2]}" for index, name in enumerate(NAMES)]


def read(photos: Path, text: str, share: float | None = None, limits: Limits | None = None) -> DataSet:
    table = photos.parent / "labels.csv"
    table.write_text(text, encoding="utf-8")
    return labelled_folder_dataset(photos, table, 8, share, limits or Limits(None, None, Stream.root(0)))


def labelled(data: DataSet) -> dict[int, str]:
    """Label by the grey of the image, of the pool and of the test set."""
    parts = ((data.pool.pixels, data.pool_classes), (data.test.images.pixels, data.test.classes))
    return {
        int(image.max()) // 20: data.class_names[number]
        for pixels, classes in parts
        for image, number in zip(pixels, classes.tolist(), strict=True)
    }


TRUTH = {index: ("cat", "dog")[index % 2] for index in range(12)}


def test_every_image_gets_its_label_and_a_share_is_the_test_set(photos: Path) -> None:
    data = read(photos, "\n".join(["file,label", *ROWS]), 0.34)
    assert labelled(data) == TRUTH
    assert (len(data.pool), len(data.test), data.name) == (8, 4, "photos")
    assert data.note == "test set: 34% of the images of each class"
    assert len(data.pool_files) == 8
    for name, image in zip(data.pool_files, data.pool.pixels, strict=True):
        grey = NAMES.index(name.replace("/b", "/"))
        assert int(image.max()) == 20 * grey, "files are in the order of the images"
    small = read(photos, "\n".join(["file,label", *ROWS]), 0.34, Limits(3, 2, Stream.root(0)))
    assert (len(small.pool), len(small.test), len(small.pool_files)) == (3, 2, 3)


@pytest.mark.parametrize(
    ("named", "header"),
    [
        (lambda name: f"photos/{name}", "image;category"),
        (lambda name: f"./{name}", "Filename\tClass"),
        (lambda name: name.rpartition("/")[2], "image_id,breed,label"),
        (lambda name: name.removesuffix(".png"), "id,label"),
        (lambda name: name.replace("/", "\\"), "path,target"),
    ],
)
def test_files_may_be_named_in_several_ways(photos: Path, named: object, header: str) -> None:
    assert callable(named)
    delimiter = next(each for each in ";\t," if each in header)
    rows = [row.split(",") for row in ROWS]
    extra = ["x"] if "breed" in header else []
    lines = [delimiter.join([named(name), *extra, label]) for name, label in rows]
    assert labelled(read(photos, "\n".join([header, *lines]))) == TRUTH


def test_splits_are_pool_and_test_set(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    splits = ["train"] * 6 + ["Test"] * 4 + ["val"] * 2
    lines = [f"{row},{split}" for row, split in zip(ROWS, splits, strict=True)]
    data = read(photos, "\n".join(["file,label,split", *lines]))
    assert (len(data.pool), len(data.test)) == (6, 4)
    assert data.note == "2 files left out" and "2 files of the split validation (sub/b4.png" in caplog.text
    data = read(photos, "\n".join(["file,label,split", *lines]).replace("Test", "train"))
    assert (len(data.pool), len(data.test), data.note) == (10, 2, "test set: split validation")


def test_everything_left_out_is_counted_and_named(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    (photos / "bad.png").write_bytes((photos / "0.png").read_bytes()[:60])
    (photos / "other").mkdir()
    (photos / "other" / "b5.png").write_bytes((photos / "sub" / "b5.png").read_bytes())
    lines = [
        "file,label",
        *ROWS[:7],
        "3.png,dog",  # again, the same
        "2.png,dog",  # contradicts
        "missing.png,cat",
        "sub/b2.png,",
        "sub/b3.png,cat,more",
        "b5.png,cat",  # of two files
        "bad.png,cat",
        "sub/b4.png,cat",
    ]
    data = read(photos, "\n".join(lines), 0.2)
    assert sorted(labelled(data)) == [0, 1, 3, 4, 5, 6, 10]
    said = caplog.text
    for each in (
        "1 row with another number of cells than the first line (line 13)",
        "1 row without a label (sub/b2.png)",
        "1 row without a file (missing.png)",
        "1 row that may name several files (b5.png)",
        "1 file with contradicting rows (2.png)",
        "5 files without a row (other/b5.png, sub/b1.png, sub/b2.png, …)",
        "1 file that cannot be read (bad.png)",
    ):
        assert each in said
    assert data.note.startswith("4 rows and 7 files left out")


def test_equal_pictures_with_two_labels_are_left_out(photos: Path) -> None:
    (photos / "copy.png").write_bytes((photos / "0.png").read_bytes())
    data = read(photos, "\n".join(["file,label", *ROWS, "copy.png,dog"]))
    assert 0 not in labelled(data) and data.note.startswith("2 files left out")


@pytest.mark.parametrize(
    ("text", "share", "said"),
    [
        ("", None, "names no column file"),
        ("file,colour\n0.png,red", None, "names no column label"),
        ("file,path,label\n0.png,0.png,cat", None, "columns file, path can be the file"),
        ("file,label\nx.png,cat\ny.png,dog", None, "labels no image .* 2 rows without a file"),
        ("file,label\n0.png,cat\n1.png,cat", None, "nothing to learn"),
        ("file,label\n0.png,cat\n1.png,dog", None, "single image"),
        ("file,label,split\n0.png,cat,blue", None, "line 2: 'blue' is no split"),
        ("file,label,split\n0.png,cat,test\n1.png,dog,test", None, "No row .* of the split train"),
        (
            "file,label,split\n0.png,cat,train\n1.png,dog,train\n2.png,cat,test",
            0.2,
            "test set of its own: the split test",
        ),
        (
            "file,label,split\n0.png,cat,train\n1.png,dog,train\n2.png,owl,test",
            None,
            "1 class in the split test that the split train lacks: owl",
        ),
    ],
)
def test_what_does_not_fit_is_named(photos: Path, text: str, share: float | None, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read(photos, text, share)


def test_classes_are_in_the_order_of_their_numbers(photos: Path) -> None:
    rows = [f"{row.split(',')[0]},{(10, 9)[index % 2]}" for index, row in enumerate(ROWS)]
    assert read(photos, "\n".join(["file,label", *rows])).class_names == ("9", "10")
