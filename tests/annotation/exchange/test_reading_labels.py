"""Reading labels from files and folders: every common form is read in full, what cannot be read is named."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest
from hypothesis import given, strategies

from aral.annotation import Provenance, class_names_of
from aral.annotation.label_files import ClassNames, FileLabel, ReadLabels, ReadOptions, read_labels
from aral.annotation.label_studio import answers_of
from aral.annotation.matching import spellings
from aral.errors import BadInput
from aral.testing import save_noise

TABLE = "path,label\na.png,cat\nü.png,zebra é\n"
ROWS = [("a.png", "cat"), ("ü.png", "zebra é")]


def read(tmp_path: Path, name: str, content: str | bytes) -> ReadLabels:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_labels(path)


def pairs(read_labels: ReadLabels) -> list[tuple[str, str]]:
    return [(label.path, label.label) for label in read_labels.labels]


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode(),
        codecs.BOM_UTF8 + TABLE.encode(),
        TABLE.encode("utf-16"),
        codecs.BOM_UTF16_BE + TABLE.encode("utf-16-be"),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode("utf-16"),
        b"sep=;\r\n" + TABLE.replace(",", ";").encode(),
        TABLE.replace(",", " , ").encode(),
    ],
    ids=["plain", "BOM", "UTF-16", "UTF-16 BE", "CRLF", "semicolons", "tabs, UTF-16", "sep=", "blanks"],
)
def test_tables_as_spreadsheets_write_them(tmp_path: Path, content: bytes) -> None:
    found = read(tmp_path, "x.csv", content)
    assert [(path.strip(), label) for path, label in pairs(found)] == ROWS
    assert found.rejected == () and found.notes == ()


def test_utf_16_without_a_byte_order_mark_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"UTF-16.*UTF-8"):
        read(tmp_path, "x.csv", TABLE.encode("utf-16-le"))


def test_rows_with_too_many_or_too_few_cells_are_rejected(tmp_path: Path) -> None:
    """A comma in an unquoted path would move the label by a cell."""
    found = read(tmp_path, "x.csv", 'path,label\na, b.png,cat\nc.png\n\n"d, e.png",dog\n')
    assert pairs(found) == [("d, e.png", "dog")]
    assert [(each.path, each.reason) for each in found.rejected] == [
        ("a", "its row has 3 cells, the header 2"),
        ("c.png", "its row has 1 cell, the header 2"),
    ]


def test_what_is_ignored_is_noted(tmp_path: Path) -> None:
    table = "id,path,label,class_id,answer\na,a.png,cat,dog,\nb,b.png,,,\nc,c.png,,,conflict\n"
    found = read(tmp_path, "x.csv", table)
    assert pairs(found) == [("a.png", "cat")] and found.ignored == 2
    assert found.notes == (
        "The column path is read; ignored: id.",
        "The column label is read; ignored: class_id.",
        "Ignored: 1 row without a label.",
        "Ignored: 1 image on which the annotators disagree.",
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", 'path,label\na.png,"{""choices"": [""cat"", ""dog""]}"\nb.png,cat\n'),
        ("x.csv", 'path,label\na.png,"[{""x"": 1, ""rectanglelabels"": [""cat""]}]"\nb.png,cat\n'),
        ("x.jsonl", '{"path": "a.png", "label": ["cat"]}\n{"path": "b.png", "label": "cat"}\n'),
        ("x.jsonl", '{"path": "a.png", "label": {"name": "cat"}}\n{"path": "b.png", "label": "cat"}\n'),
        ("x.jsonl", '{"path": ["a.png"], "label": "cat"}\n{"path": "b.png", "label": "cat"}\n'),
        ("x.csv", 'path,label\nb.png,cat\na.png,"cat\nc.png,dog\n'),
    ],
)
def test_json_and_several_lines_never_become_a_class_or_path(tmp_path: Path, name: str, content: str) -> None:
    found = read(tmp_path, name, content)
    assert pairs(found) == [("b.png", "cat")] and len(found.rejected) == 1


def test_line_separators_within_json_lines_end_no_line(tmp_path: Path) -> None:
    rows = [("a\u2028b.png", "c\u2029d"), ("e\x85f.png", "g\x1ch"), ("i.png", "3")]
    lines = [json.dumps({"path": path, "label": label}, ensure_ascii=False) for path, label in rows]
    assert pairs(read(tmp_path, "x.jsonl", "\r\n".join(lines))) == rows


def test_numbers_are_names_of_classes(tmp_path: Path) -> None:
    assert pairs(read(tmp_path, "x.jsonl", '{"path": "a.png", "label": 7}\n')) == [("a.png", "7")]
    assert pairs(read(tmp_path, "x.csv", "path,label\na.png,07\n")) == [("a.png", "07")]


def annotation(label: str | list[str] | None, **fields: object) -> dict[str, object]:
    choices = [label] if isinstance(label, str) else label
    result = [] if choices is None else [{"type": "choices", "value": {"choices": choices}}]
    return {"result": result, **fields}


def test_label_studio_annotations_keep_their_annotators(tmp_path: Path) -> None:
    tasks = [
        {
            "data": {"image": "a.png"},
            "annotations": [
                annotation("cat", completed_by=3),
                annotation("dog", completed_by={"id": 7, "email": "x@y.z"}),
                annotation(None, completed_by=9, was_cancelled=True),
                annotation("owl"),
            ],
        }
    ]
    found = read(tmp_path, "x.json", json.dumps(tasks))
    assert [(each.annotator, each.action, each.label) for each in found.labels] == [
        ("Label Studio 3", "class", "cat"),
        ("Label Studio 7", "class", "dog"),
        ("Label Studio 9", "skip", ""),
        ("", "class", "owl"),
    ]


def test_label_studio_annotations_that_are_no_single_class_are_rejected(tmp_path: Path) -> None:
    tasks = [
        {"data": {"image": "a.png"}, "annotations": [annotation(["cat", "dog"]), annotation("cat")]},
        {"data": {"image": "b.png"}, "annotations": [annotation(None)]},
        {"data": {"image": "c.png"}, "annotations": []},
    ]
    found = read(tmp_path, "x.json", json.dumps(tasks))
    assert pairs(found) == [("a.png", "cat")]
    assert [each.path for each in found.rejected] == ["a.png", "b.png"]
    assert found.notes == ("Ignored: 1 task without an annotation.",)


def test_the_short_form_of_label_studio_is_read(tmp_path: Path) -> None:
    rows = [{"image": "a.png", "choice": "cat", "annotator": 3}, {"image": "b.png", "choice": "dog"}]
    found = read(tmp_path, "x.json", json.dumps(rows))
    assert [(each.path, each.label, each.annotator) for each in found.labels] == [
        ("a.png", "cat", "3"),
        ("b.png", "dog", ""),
    ]


@pytest.mark.parametrize(
    ("address", "paths"),
    [
        ("/data/local-files/?d=a/b%20c.png", ("a/b c.png",)),
        ("http://host:8080/data/local-files/?d=a%5Cb.png", ("a\\b.png",)),
        ("/data/upload/3/x.png", ("/data/upload/3/x.png",)),
        ("/storage-data/uploaded/?filepath=upload/3/0badcafe-x.png", ("upload/3/0badcafe-x.png",)),
        ("/tasks/7/presign/?fileuri=czM6Ly9idWNrZXQvYS94LnBuZw==", ("/a/x.png",)),
        ("https://example.org/a/%C3%BC.png?sig=1#x", ("/a/%C3%BC.png", "/a/ü.png")),
        ("https://example.org/a.png?d=b.png", ("/a.png",)),
        ("s3://bucket/a/x.jpg", ("/a/x.jpg",)),
        ("gs://bucket/x.jpg", ("/x.jpg",)),
        ("file:///home/me/x%20y.jpg", ("/home/me/x%20y.jpg", "/home/me/x y.jpg")),
        ("plain.png", ("plain.png",)),
        ("a#1?.png", ("a#1?.png", "a")),
        ("x.jpg?token=1", ("x.jpg?token=1", "x.jpg")),
        ("sub%5Cx.jpg", ("sub%5Cx.jpg", "sub\\x.jpg")),
        ("caf\udce9.jpg", ("caf\udce9.jpg", "café.jpg")),
        ("http://[x/y.jpg", ("http://[x/y.jpg",)),
        ("C:\\a\\x.jpg", ("C:\\a\\x.jpg",)),
    ],
)
def test_paths_that_an_address_may_mean(address: str, paths: tuple[str, ...]) -> None:
    assert spellings(address) == paths


_values = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.text(max_size=5),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(
            strategies.sampled_from(["annotations", "result", "value", "choices", "was_cancelled", "data"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(strategies.dictionaries(strategies.sampled_from(["annotations", "data"]), _values, max_size=2))
def test_any_task_is_read_or_has_a_problem(task: dict[str, object]) -> None:
    for answer in answers_of(task):
        assert bool(answer.action) != bool(answer.problem)
        assert (answer.action == "class") == bool(answer.label)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("x.csv", "a,b\n1,2\n", "columns a, b; none is known as the one that names the image"),
        ("x.csv", "path,x,y\n1,2,3\n", r"--label-column NAME, or call it label"),
        ("x.csv", "path,class,probability,p(cat),problem\n1.jpg,cat,0.5,0.5,\n", "table of predictions"),
        ("x.jsonl", "[1]\n", "line 1 is no object"),
        ("x.jsonl", '{"path": "a", "label": "b"}\n{', "line 2"),
        ("x.json", "{}", "of no form that is known"),
        ("x.json", '[{"x": 1}]', "is the label"),
        ("x.json", '["x"]', "of no form that is known"),
        ("x.xml", "<a/>", "not CVAT's"),
        ("x.xml", "<a>", "cannot be understood"),
        ("x.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "DOCTYPE"),
        ("x.zip", "PK", "Unpack it"),
        ("x.xlsx", "PK", "Save the table as CSV"),
        ("x.json", "[" * 100_000, "cannot be understood"),
        ("x.pdf", "", "neither"),
        ("x.txt", "", "columns none"),
    ],
)
def test_a_file_of_another_format_is_refused(tmp_path: Path, name: str, content: str, match: str) -> None:
    with pytest.raises(BadInput, match=match):
        read(tmp_path, name, content)
    with pytest.raises(BadInput, match="cannot be read"):
        read_labels(tmp_path / "missing.csv")


@pytest.mark.parametrize(
    ("columns", "cells", "expected"),
    [
        ("", "", Provenance(None, "import", None)),
        (",round,score", ",3,0.5", Provenance(None, "import", None)),
        (",strategy", ",margin", Provenance(None, "margin", None)),
        (",strategy,round,score", ",margin,first,nan", Provenance(None, "margin", None)),
        (",strategy,round,score", ",margin,²,high", Provenance(None, "margin", None)),
        (",strategy,round,score", ",margin,12,-1e-9", Provenance(12, "margin", -1e-9)),
    ],
)
def test_provenance_in_a_table(tmp_path: Path, columns: str, cells: str, expected: Provenance) -> None:
    found = read(tmp_path, "x.csv", f"path,label{columns}\na.png,cat{cells}\n")
    assert found.labels == (FileLabel("a.png", "class", "cat", provenance=expected),)


def test_classes_from_folders_and_files(tmp_path: Path) -> None:
    for number, name in enumerate(("dog", "cat")):
        save_noise(tmp_path / "photos" / name / "x.png", number)
    assert class_names_of(tmp_path / "photos").names == ("cat", "dog")
    (tmp_path / "photos" / "labels.csv").write_text("no image")
    (tmp_path / "photos" / "notes").mkdir()
    (tmp_path / "photos" / "notes" / "read me.txt").write_text("no image")
    assert class_names_of(tmp_path / "photos") == ClassNames(("cat", "dog"))
    save_noise(tmp_path / "photos" / "y.png", 3)
    found = class_names_of(tmp_path / "photos")
    assert found.names == () and "beside the folders" in found.reason
    assert "1 class folder has images" in class_names_of(tmp_path).reason
    table = tmp_path / "labels.csv"
    table.write_text("path,label\na.png,owl\nb.png,bat\nc.png,owl\n")
    assert class_names_of(table).names == ("owl", "bat")


def test_splits_and_dates_are_no_classes(tmp_path: Path) -> None:
    names = [f"{split}/{name}/{split}-{name}.jpg" for split in ("Train", "test_set") for name in "ab"]
    for number, name in enumerate([*names, "2023/05/x.jpg"]):
        save_noise(tmp_path / name, number)
    found = class_names_of(tmp_path)
    assert found.names == ("a", "b")
    assert "Train, test_set" in " ".join(found.notes) and "1 file in 2023" in " ".join(found.notes)
    labels = read_labels(tmp_path)
    assert sorted(pairs(labels)) == sorted((name, name.split("/")[1]) for name in names)
    assert any("1 file in 2023" in note for note in labels.notes)


def test_photos_by_date_have_no_classes_unless_they_are_named(tmp_path: Path) -> None:
    for number, name in enumerate(["2023/05/01/a.jpg", "2023/06/02/b.jpg", "2024/01/03/c.jpg"]):
        save_noise(tmp_path / name, number)
    found = class_names_of(tmp_path)
    assert found.names == () and "named like a date" in " ".join(found.notes)
    with pytest.raises(BadInput, match=r"no class folders.*named like a date"):
        read_labels(tmp_path)
    labels = read_labels(tmp_path, ReadOptions(("2023",)))
    assert pairs(labels) == [("2023/05/01/a.jpg", "2023"), ("2023/06/02/b.jpg", "2023")]
    assert any("1 file in 2024" in note for note in labels.notes)
