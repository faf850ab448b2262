"""Tables that a spreadsheet has opened and saved: they come back unchanged, or what it changed is named."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from aral.annotation import Project, export, import_labels
from aral.annotation.label_files import read_labels
from aral.annotation.label_formats.spreadsheets import is_spreadsheet_date, unaltered
from aral.errors import BadInput
from aral.testing import answer_event
from tests.annotation.exchange.conftest import FORMULA, MakeProject, event_count, label_map, label_state

Table = list[list[str]]


def saved(
    table: Table, delimiter: str = ",", encoding: str = "utf-8", end: str = "\r\n", quote_all: bool = False
) -> bytes:
    file = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(table)
    return file.getvalue().encode(encoding)


SPREADSHEETS: dict[str, Callable[[Table], bytes]] = {
    "LibreOffice, all quoted": lambda table: saved(table, quote_all=True, end="\n"),
    "Excel, CSV UTF-8": lambda table: saved(table, encoding="utf-8-sig"),
    "Excel, German CSV": lambda table: saved(table, ";", "cp1252"),
    "Excel, CSV with sep=": lambda table: b"sep=;\r\n" + saved(table, ";", "cp1252"),
    "Excel, Unicode text": lambda table: saved(table, "\t", "utf-16"),
    "pipes": lambda table: saved(table, "|"),
    "old Macs": lambda table: saved(table, end="\r"),
}


def opened(path: Path) -> Table:
    return list(csv.reader(io.StringIO(path.read_text(), newline="")))


@pytest.fixture
def named(make_project: MakeProject) -> Project:
    """Labels whose names are hard for spreadsheets."""
    classes = ("café", "00012", "1", "1-2", "true", "a;b|c", FORMULA, "'s-Hertogenbosch")
    names = ["é 1.png", *(f"{number}.png" for number in range(1, 8))]
    project = make_project(names, classes=classes)
    numbers = {each.name: each.id for each in project.images.all()}
    project.annotations.append_many(
        [answer_event(numbers[name], number) for number, name in enumerate(names)]
    )
    project.annotations.append(answer_event(numbers["1.png"], 1, "Bob; Jr"))
    return project


@pytest.mark.parametrize("name", SPREADSHEETS)
def test_an_export_comes_back_from_a_spreadsheet(
    named: Project, make_project: MakeProject, tmp_path: Path, name: str
) -> None:
    export(named, tmp_path / "out", ["csv"])
    table = opened(tmp_path / "out" / "labels.csv")
    header = table[0]
    for row in table[1:]:  # what every spreadsheet does to numbers and times
        row[header.index("agreement")] = row[header.index("agreement")].removesuffix("000")
        row[header.index("time")] = row[header.index("time")].replace("T", " ")
    back = tmp_path / "labels.csv"
    back.write_bytes(SPREADSHEETS[name](table))
    before, events = label_state(named), event_count(named)
    done = import_labels(named, back)
    assert (done.recorded, done.repeated, done.rejected, done.new_classes) == (0, 9, (), ())
    assert (label_state(named), event_count(named)) == (before, events)
    other = make_project(["é 1.png", *(f"{number}.png" for number in range(1, 8))], "others", ("true", "1-2"))
    assert import_labels(other, back).recorded == 9
    assert label_state(other) == before


HARM = [
    ("00012", "12"),
    ("1", "1.0"),
    ("1", "1,00"),
    ("1-2", "01. Feb"),
    ("1-2", "2-Jan"),
    ("true", "TRUE"),
    ("true", "WAHR"),
]


@pytest.mark.parametrize(("before", "after"), HARM)
def test_a_label_that_a_spreadsheet_changed_is_refused_by_name(
    named: Project, tmp_path: Path, before: str, after: str
) -> None:
    export(named, tmp_path / "out", ["csv"])
    table = opened(tmp_path / "out" / "labels.csv")
    label = table[0].index("label")
    for row in table[1:]:
        row[label] = after if row[label] == before else row[label]
    back = tmp_path / "labels.csv"
    back.write_bytes(saved(table))
    state = label_state(named)
    done = import_labels(named, back)
    assert label_state(named) == state and (done.recorded, done.new_classes) == (0, ())
    assert set(done.reasons) == {f"its label looks like the class {before!r}, changed by a spreadsheet"}
    assert after in done.rejected[0].detail
    # The same without anything that only an export has.
    (tmp_path / "plain.csv").write_text(f'path,label\n1.png,"{after}"\n')
    with pytest.raises(BadInput, match="changed by a spreadsheet"):
        import_labels(named, tmp_path / "plain.csv")


def test_an_exported_label_that_became_another_class_is_refused(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(["a.png", "b.png"], classes=("012", "12"))
    project.annotations.append_many([answer_event(0, 0), answer_event(1, 1)])
    export(project, tmp_path / "out", ["csv"])
    back = tmp_path / "out" / "labels.csv"
    back.write_text(back.read_text().replace("a.png,012", "a.png,12"))
    done = import_labels(project, back)
    assert label_map(project) == {"a.png": "012", "b.png": "12"} and [
        each.path for each in done.rejected
    ] == ["a.png"]


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        (("1", "1.0", "cat"), "cat"),  # one number, spelled differently
        (("01.Feb", "2-Jan", "cat"), "cat"),
        (("Mrz 05", "5. Mai", "cat"), "cat"),
    ],
)
def test_new_labels_that_look_changed_are_refused(
    make_project: MakeProject, tmp_path: Path, labels: Sequence[str], kept: str
) -> None:
    project = make_project(["0.png", "1.png", "2.png"])
    table = tmp_path / "x.csv"
    table.write_text("path,label\n" + "".join(f'{n}.png,"{label}"\n' for n, label in enumerate(labels)))
    done = import_labels(project, table)
    assert set(label_map(project).values()) == {kept} and len(done.rejected) == 2


def test_a_date_is_a_class_where_the_project_has_it(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["0.png"], classes=("01-Feb",))
    (tmp_path / "x.csv").write_text("path,label\n0.png,01-Feb\n")
    import_labels(project, tmp_path / "x.csv")
    assert label_map(project) == {"0.png": "01-Feb"}


def test_ordinary_names_are_no_dates() -> None:
    names = ("cat", "may", "March", "2023", "1-2", "type 1", "dec", "mar-a-lago", "A1", "1.5", "jan van eyck")
    assert [name for name in names if is_spreadsheet_date(name)] == []
    assert unaltered("cat", ("CAT", "cats")) is None and unaltered("2", ("1", "3")) is None
    assert unaltered("1-Mar", ("MAR1",)) == "MAR1" and unaltered("1E+05", ("1e5",)) == "1e5"


# Encodings


def test_windows_1252_is_read_and_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("path,label\na.png,café\nb.png,“dog” – Ö\nc.png,cat\n".encode("cp1252"))
    found = read_labels(path)
    assert [each.label for each in found.labels] == ["café", "“dog” – Ö", "cat"]
    assert found.notes == (
        f"{path} is not UTF-8: 2 rows are read as Windows-1252, such as 'café'. "
        "If names look wrong, save it as UTF-8.",
    )


def test_mixed_encodings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"path,label\na.png,caf\xe9\nb.png,caf\xc3\xa9\nc.png,x\x81\n")
    found = read_labels(path)
    assert [each.label for each in found.labels] == ["café", "café"]
    assert [each.reason for each in found.rejected] == [
        "its label has bytes that are neither UTF-8 nor Windows-1252"
    ]
    assert "1 other row is UTF-8: the file mixes encodings." in found.notes[0]


def test_a_path_in_windows_1252_is_found_by_its_bytes_or_its_text(
    make_project: MakeProject, tmp_path: Path
) -> None:
    raw = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    project = make_project([raw, "café 2.png"])
    path = tmp_path / "x.csv"
    path.write_bytes(b"path,label\ncaf\xe9.png,cat\ncaf\xe9 2.png,dog\n")
    assert import_labels(project, path).rejected == ()
    assert label_map(project) == {raw: "cat", "café 2.png": "dog"}
