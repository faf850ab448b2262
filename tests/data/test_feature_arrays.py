"""Features of one's own: which labels belong to which rows, the test set, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aral.data import DataSet, FeatureArrays, read_feature_arrays
from aral.errors import BadInput

FEATURES = np.random.default_rng(0).normal(size=(8, 3))
CLASSES = ["cat", "dog", "cat", "dog", "cat", "dog", "cat", "cat"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("features.npy", FEATURES)


def read(text: str, **more: object) -> DataSet:
    """The data set of the eight rows above with the text of a CSV file."""
    Path("labels.csv").write_text(text, encoding="utf-8")
    return read_feature_arrays(
        FeatureArrays.model_validate({"features": "features.npy", "labels": "labels.csv"} | more)
    )


def rows_and_classes(data: DataSet) -> list[tuple[float, str]]:
    """The first feature and the class of every row, in the order of the file."""
    found = []
    for images, classes in ((data.pool, data.pool_classes), (data.test.images, data.test.classes)):
        values = images.pixels[:, 0, 0, 0].tolist()
        found += [(value, data.class_names[index]) for value, index in zip(values, classes, strict=True)]
    return sorted(found)


EXPECTED = sorted(zip(np.float32(FEATURES[:, 0]).tolist(), CLASSES, strict=True))
LINES = "\n".join(CLASSES)


@pytest.mark.parametrize(
    "text",
    [
        LINES,
        f"label\n{LINES}\n\n\n",
        f"Species\n{LINES}",
        "\ufefflabel\r\n" + "\r\n".join(CLASSES),
        "row,label\n" + "\n".join(f"{row},{name}" for row, name in enumerate(CLASSES)),
        "index;class\n" + "\n".join(f"{row};{name}" for row, name in reversed(list(enumerate(CLASSES)))),
        ",label\n" + "\n".join(f"{row}, {name}" for row, name in enumerate(CLASSES)),
        "label,row\n" + "\n".join(f'"{name}",{row}' for row, name in enumerate(CLASSES)),
        "\n".join(f"{row},{name}" for row, name in enumerate(CLASSES)),
    ],
    ids=["names", "header", "other header", "windows", "row", "semicolons", "pandas", "swapped", "no header"],
)
def test_every_form_of_labels_names_the_same_rows(text: str) -> None:
    data = read(text)
    assert rows_and_classes(data) == EXPECTED
    assert data.class_names == ("cat", "dog") and data.pool.shape == (3, 1, 1)


def test_numbers_are_ordered_by_value_and_a_class_may_have_the_name_of_a_header() -> None:
    assert read("10\n9\n10\n9\n9\n9\n10\n9").class_names == ("9", "10")
    assert read("label\nother\nlabel\nother\nlabel\nlabel\nother\nother").class_names == ("label", "other")


@pytest.mark.parametrize(("share", "cats", "dogs"), [(0.25, 1, 1), (0.5, 2, 2), (0.9, 4, 2)])
def test_the_test_set_is_a_share_of_each_class(share: float, cats: int, dogs: int) -> None:
    """Of five cats and three dogs; at least one row, and not all."""
    data = read(LINES, test_share=share)
    assert np.bincount(data.test.classes).tolist() == [cats, dogs]
    assert len(data.pool) == 8 - cats - dogs and rows_and_classes(data) == EXPECTED
    assert f"test set: {share:.0%} of the rows of each class" in data.note
    again = read(LINES, test_share=share)
    assert (again.test.images.pixels == data.test.images.pixels).all()


def test_a_class_of_one_row_stays_in_the_pool_and_the_note_says_so() -> None:
    data = read("a\nb\na\na\na\na\na\na")
    assert 1 in data.pool_classes and 1 not in data.test.classes
    assert "without 1 class of a single row" in data.note
    with pytest.raises(BadInput, match="single row"):
        read("a\nb\nc\nd\ne\nf\ng\nh")


def test_a_test_set_of_its_own_is_taken_whole() -> None:
    np.save("test.npy", FEATURES[:2] + 1)
    Path("test.csv").write_text("dog\ncat\n")
    data = read(LINES, test_features="test.npy", test_labels="test.csv")
    assert len(data.pool) == 8 and data.test.classes.tolist() == [1, 0] and data.note == ""
    Path("test.csv").write_text("dog\nbird\n")
    with pytest.raises(BadInput, match=r"test.csv has 1 class that labels.csv lacks: 'bird'"):
        read(LINES, test_features="test.npy", test_labels="test.csv")
    np.save("test.npy", FEATURES[:2, :2])
    with pytest.raises(BadInput, match=r"3 columns, test.npy 2"):
        read(LINES, test_features="test.npy", test_labels="test.csv")


def test_the_digest_is_that_of_the_arrays_not_of_the_files() -> None:
    Path("labels.csv").write_text(LINES)
    files = FeatureArrays(features="features.npy", labels="labels.csv").with_digest()
    Path("labels.csv").write_text(f"label\n{LINES}\n")
    np.save("features.npy", FEATURES.astype(np.float32))
    assert files.with_digest() == files
    assert read_feature_arrays(files).features_of is not None
    changed = FEATURES.copy()
    changed[3, 1] += 1
    np.save("features.npy", changed)
    assert files.with_digest().digest != files.digest
    with pytest.raises(BadInput, match="other arrays than when this was started"):
        read_feature_arrays(files)
    np.save("features.npy", FEATURES)
    Path("labels.csv").write_text(LINES.replace("dog", "cow"))
    with pytest.raises(BadInput, match="other arrays"):
        read_feature_arrays(files)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("cat\ndog\n\ndog\ncat\n\ncat\ndog", r"empty label for 2 rows: 2 \(line 3\), 5 \(line 6\)"),
        ('label\ncat\ndog\n""\ndog\ncat\ndog\ncat\ncat', r"empty label for 1 row: 2 \(line 4\)"),
        ("row,label\n0,a\n1,\n2,a\n3,b\n4,a\n5,b\n6,a\n7,", r"empty label for 2 rows: 1 \(line 3\), 7"),
        ("cat\ndog\ncat", "3 labels, but features.npy 8 rows"),
        ("label\n" + "\n".join(CLASSES[:7]), "7 labels, but features.npy 8 rows"),
        ("5\n" + "\n".join("12121212"), "9 labels, but features.npy 8 rows"),
        ("cat\n" * 8, "Every row of labels.csv has class 'cat'"),
        ("row,label\n0,a\n1,b", "no label for 6 rows: 2, 3, 4, 5, 6, …"),
        ("row,label\n0,a\n1,b\n0,b", "lines 2 and 4: row 0 occurs twice"),
        ("row,label\n1,a\n8,b", "line 3: '8,b' is no row from 0 to 7"),
        ("row,label\n0,a,b", "3 columns"),
        ("path,label\nx.png,a", "names no columns row and label"),
        ("", "holds no label"),
    ],
)
def test_labels_that_do_not_fit_are_named(labels: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read(labels)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (FEATURES[0], r"shape \(3,\)"),
        (FEATURES[:, :, None], r"shape \(8, 3, 1\)"),
        (np.empty((0, 3)), r"shape \(0, 3\)"),
        (FEATURES.astype(complex), "complex128"),
        (FEATURES.astype(str), "type <U"),
        (FEATURES.astype(object), "as numbers and not as objects"),
        (np.where(np.arange(8)[:, None] == 5, np.nan, FEATURES), "in 1 row: 5"),
        (np.where(np.arange(8)[:, None] > 5, 1e300, FEATURES), "too large numbers in 2 rows: 6, 7"),
        (np.ones((8, 3)), "8 rows of features.npy are all the same"),
    ],
    ids=["vector", "three axes", "empty", "complex", "text", "objects", "NaN", "too large", "equal"],
)
def test_features_that_cannot_be_used_are_named(array: np.ndarray, said: str) -> None:
    np.save("features.npy", array, allow_pickle=True)
    with pytest.raises(BadInput) as caught:
        read(LINES)
    assert said.replace("\\", "") in f"{caught.value.problem} {caught.value.hint}"


def test_objects_are_never_unpickled() -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path("unpickled"),)  # type: ignore[return-value]

    np.save("features.npy", np.array([[Trap()]], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match="not a readable"):
        read(LINES)
    assert not Path("unpickled").exists()


@pytest.mark.parametrize("kept", [0, 20, 90, 130])
def test_a_damaged_file_is_named(kept: int) -> None:
    whole = Path("features.npy").read_bytes()
    Path("features.npy").write_bytes(whole[:kept])
    with pytest.raises(BadInput, match=r"not a readable \.npy file"):
        read(LINES)


def test_a_header_that_states_any_size_takes_no_memory() -> None:
    whole = Path("features.npy").read_bytes()
    larger = whole.replace(b"(8, 3), }" + b" " * 8, b"(80000000000, 3)}")
    assert len(larger) == len(whole) and larger != whole
    Path("features.npy").write_bytes(larger)
    with pytest.raises(BadInput, match=r"not a readable \.npy file"):
        read(LINES)


def test_other_files_are_named() -> None:
    with pytest.raises(BadInput, match="no file"):
        read(LINES, features="absent.npy")
    np.savez("several.npz", a=FEATURES, b=FEATURES)
    with pytest.raises(BadInput, match="several arrays"):
        read(LINES, features="several.npz")
    Path("binary.csv").write_bytes(b"\xff\xfe\x00\x00")
    with pytest.raises(BadInput, match="cannot be read"):
        read(LINES, labels="binary.csv")
    with pytest.raises(BadInput, match="cannot be read"):
        read(LINES, labels="absent.csv")
