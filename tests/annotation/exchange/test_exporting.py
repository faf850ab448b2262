"""Exports: the content of every format, names that are safe everywhere, and rows of one snapshot."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
import tempfile
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, strategies

from aral.annotation import BROWSING, Project, Provenance, export, import_labels
from aral.annotation.classes import Classes
from aral.annotation.formats import (
    SPREADSHEET_FORMULA,
    class_folder_names,
    csv_bytes,
    escape_cell,
    join_names,
    label_rows,
    split_names,
    unescape_cell,
)
from aral.errors import BadInput, RunFailed
from aral.testing import answer_event, save_noise
from tests.annotation.exchange.conftest import CLASSES, FORMULA, MakeProject, label_map


def rows_of(path: Path) -> list[dict[str, str]]:
    return [
        {name: unescape_cell(cell) for name, cell in row.items()}
        for row in csv.DictReader(path.read_text().splitlines())
    ]


# Cells and names


@given(strategies.text())
@example("=1")
@example("'=1")
@example("''")
@example("＝1")
@example("\ufeff=1")
@example(" ＠x")
def test_no_cell_is_a_formula_and_escaping_is_undone(cell: str) -> None:
    assert not escape_cell(cell).startswith(SPREADSHEET_FORMULA)
    assert unescape_cell(escape_cell(cell)) == cell


@given(strategies.lists(strategies.text(min_size=1), min_size=1, max_size=4))
@example(["a; b", "c"])
@example(["[", '["x"]'])
def test_names_in_a_cell_come_apart_again(names: list[str]) -> None:
    assert split_names(join_names(names)) == names


def test_a_table_keeps_the_bytes_of_names() -> None:
    latin = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    nasty = '=1+1, "quoted"\nnew/ü.png'
    content = csv_bytes(("path", "label"), [(latin, "x"), (nasty, "y")])
    assert b"caf\xe9.png" in content
    rows = list(csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")))
    assert [unescape_cell(row[0]) for row in rows[1:]] == [latin, nasty]


@pytest.mark.parametrize(
    "cell", ["＝1+1", "＋1", "－1", "＠SUM(A1)", "\t=1", "\r=1", "\n=1", "\u200b=1", "\ufeff＝1", "\xa0-1"]
)
def test_other_signs_and_hidden_characters_are_formulas_too(cell: str) -> None:
    assert escape_cell(cell) == f"'{cell}"


def test_names_like_formulas_come_back_from_every_table(make_project: MakeProject, tmp_path: Path) -> None:
    names = ("＝1+1", "＋a", "－a", "＠a", "=1", "'quoted")
    photos = [f"{number}.png" for number in range(len(names))]
    project = make_project(photos, classes=names)
    project.annotations.append_many([answer_event(each, each, "＠Ann") for each in range(len(names))])
    export(project, tmp_path / "out", ["csv"])
    with (tmp_path / "out" / "labels.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(SPREADSHEET_FORMULA)]
    other = make_project(photos, "others", CLASSES)
    import_labels(other, tmp_path / "out" / "labels.csv")
    assert label_map(other) == dict(zip(photos, names, strict=True))
    assert [person.name for person in other.annotators.all()] == ["＠Ann"]


def test_class_folders_are_safe_and_different() -> None:
    names = class_folder_names(
        ["a/b", "a:b", "..", "A_B", "cat", "x" * 300, "CON", "nul.txt", "com¹", "é", "e\u0301"]
    )
    assert list(names.values()) == [
        "a_b-2", "a_b-3", "_", "A_B", "cat", "x" * 100, "_CON", "_nul.txt", "_com¹", "é", "e\u0301-2",
    ]  # fmt: skip
    assert class_folder_names(["classes.json", "aral-labels.jsonl"]) == {
        "classes.json": "classes.json-2",
        "aral-labels.jsonl": "aral-labels.jsonl-2",
    }


@given(strategies.lists(strategies.text(min_size=1, max_size=12), unique=True, max_size=6))
@example(["a-2", "a/", "a_-2", "a_", "A_", "ａ_"])
@example(["ß/", "SS_", "ss_"])
def test_no_two_classes_share_a_folder(names: list[str]) -> None:
    folders = list(class_folder_names(names).values())
    assert len({unicodedata.normalize("NFC", folder.lower()) for folder in folders}) == len(names)
    assert len({unicodedata.normalize("NFD", folder.upper()) for folder in folders}) == len(names)
    for folder in folders:
        assert not set(folder) & set('/\\:*?"<>|') and folder.strip(". ") == folder != ""


# Labels


def test_every_label_file_has_every_answer(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ["csv", "jsonl", "label-studio"])
    table = rows_of(tmp_path / "out" / "labels.csv")
    expected = [
        ("0.png", "cat", "class"),
        ("1.png", "dog", "class"),
        ("2.png", FORMULA, "class"),
        ("3.png", "", "bad image"),
        ("4.png", "", "none of these"),
        ("5.png", "", "skip"),
        ("6.png", "owl", "class"),
    ]
    assert [(row["path"], row["label"], row["answer"]) for row in table] == expected
    assert split_names(table[0]["annotator"]) == ["Ann", "Bob; Jr"]
    lines = [json.loads(line) for line in (tmp_path / "out" / "labels.jsonl").read_text().splitlines()]
    assert [(row["path"], row["label"], row["answer"]) for row in lines] == expected
    tasks = json.loads((tmp_path / "out" / "label-studio.json").read_text())
    assert [task["data"]["aral_id"] for task in tasks] == list(range(7))
    cancelled = [task["annotations"][0]["was_cancelled"] for task in tasks]
    assert cancelled == [False] * 3 + [True] * 3 + [False]
    numbers = [task["id"] for task in tasks] + [task["annotations"][0]["id"] for task in tasks]
    assert len(set(numbers)) == 14


@pytest.fixture
def queried(make_project: MakeProject) -> Project:
    """Labels of a query, of its reserve, drawn at random, picked by the annotator, and a skip."""
    project = make_project([f"{number:02d}.png" for number in range(12)], classes=CLASSES)
    project.queue.replace(
        3, np.array([4, 7]), np.array([-0.125, -1 / 3]), ["", ""], "aral-typical", np.array([9]), np.zeros(1)
    )
    cards = project.queue.next_cards("Ann", 4)
    project.annotations.append_many([answer_event(card.image_id, 1) for card in cards])
    browsed = next(each for each in range(12) if each not in {card.image_id for card in cards})
    project.annotations.append(replace(answer_event(browsed, 0), provenance=Provenance(None, BROWSING, None)))
    project.annotations.append(answer_event(7, "skip", "Bob"))
    return project


def provenance_by_name(project: Project) -> dict[str, Provenance]:
    return {project.images.get(image_id).name: each for image_id, each in project.labels.provenance().items()}


def test_every_label_has_its_provenance(queried: Project, tmp_path: Path) -> None:
    project = queried
    export(project, tmp_path / "out", ["csv", "jsonl", "label-studio"])
    expected = provenance_by_name(project)
    assert {name: expected[name] for name in ("04.png", "07.png", "09.png")} == {
        "04.png": Provenance(3, "aral-typical", -0.125),
        "07.png": Provenance(3, "aral-typical", -1 / 3),
        "09.png": Provenance(3, "aral-typical", 0.0),
    }
    table = {row["path"]: row for row in rows_of(tmp_path / "out" / "labels.csv")}
    assert {
        name: Provenance(
            int(row["round"]) if row["round"] else None,
            row["strategy"],
            float(row["score"]) if row["score"] else None,
        )
        for name, row in table.items()
    } == expected
    assert sorted(each.strategy for each in expected.values() if each.round is None) == [
        "browsing",
        "by chance",
    ]
    lines = [json.loads(line) for line in (tmp_path / "out" / "labels.jsonl").read_text().splitlines()]
    assert {row["path"]: Provenance(row["round"], row["strategy"], row["score"]) for row in lines} == expected
    tasks = json.loads((tmp_path / "out" / "label-studio.json").read_text())
    assert {
        project.images.get(task["data"]["aral_id"]).name: Provenance(**task["meta"]) for task in tasks
    } == expected


@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl", "label-studio.json"])
def test_provenance_is_imported(
    queried: Project, make_project: MakeProject, tmp_path: Path, name: str
) -> None:
    project = queried
    export(project, tmp_path / "out", ["csv", "jsonl", "label-studio"])
    other = make_project([f"{number:02d}.png" for number in range(12)], "others", CLASSES)
    import_labels(other, tmp_path / "out" / name)
    assert provenance_by_name(other) == provenance_by_name(project)
    import_labels(project, tmp_path / "out" / name, "Ann")
    assert provenance_by_name(project)["04.png"] == Provenance(3, "aral-typical", -0.125)


def test_an_exact_copy_has_the_provenance_of_the_first(make_project: MakeProject) -> None:
    project = make_project([f"{number}.png" for number in range(6)], classes=CLASSES)
    (project.photos / "copy.png").write_bytes((project.photos / "0.png").read_bytes())
    project.images.sync()
    project.queue.replace(1, np.array([0]), np.array([0.5]), [""], "margin", np.empty(0, np.int64))
    project.annotations.append(answer_event(0, 1))
    assert [(row.round, row.strategy, row.score, row.inherited) for row in label_rows(project)] == [
        (1, "margin", 0.5, False),
        (1, "margin", 0.5, True),
    ]


def test_rows_are_of_one_snapshot_while_others_label(
    labelled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the export begins a query, another process has labelled in between."""
    project = labelled
    before = label_rows(project)
    with Project.open(project.photos) as other:
        real = Classes.all

        def classes(self: Classes) -> Any:
            found = real(self)
            if self is project.classes:
                added = other.classes.add(f"new {len(real(other.classes))}", "Bob")
                other.annotations.append_many(
                    [answer_event(7, added.id, "Bob"), answer_event(1, added.id, "Bob")]
                )
                other.annotations.append(answer_event(0, "undo"))
            return found

        monkeypatch.setattr(Classes, "all", classes)
        assert label_rows(project) == before
        monkeypatch.undo()
        assert label_rows(project) != before


# Class folders


def test_class_folders_have_the_original_files(labelled: Project, tmp_path: Path) -> None:
    done = export(labelled, tmp_path / "out", ["imagefolder"])
    folder = tmp_path / "out" / "images"
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert len(found) == 4 and all(path.count("/") == 1 for path in found)
    assert done.left_out == () and done.labels == 4
    assert json.loads((folder / "classes.json").read_text()) == {
        "classes": [
            {"folder": class_folder_names([FORMULA])[FORMULA], "name": FORMULA},
            *({"folder": name, "name": name} for name in CLASSES),
        ]
    }
    assert (folder / "cat" / "000000-0.png").read_bytes() == (labelled.photos / "0.png").read_bytes()


def test_links_copy_nothing(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ["imagefolder"], "link")
    export(labelled, tmp_path / "out", ["imagefolder"], "link")
    links = list((tmp_path / "out" / "images").rglob("*.png"))
    assert len(links) == 4 and all(path.is_symlink() and path.is_file() for path in links)


def test_missing_and_replaced_files_are_left_out_and_named(labelled: Project, tmp_path: Path) -> None:
    (labelled.photos / "1.png").unlink()
    save_noise(labelled.photos / "0.png", 99)
    assert export(labelled, tmp_path / "out", ["imagefolder"]).left_out == ("0.png", "1.png")
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 2


def test_a_second_export_leaves_no_image_in_its_former_class(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ["imagefolder"])
    images = tmp_path / "out" / "images"
    (images / "dog" / "mine.png").write_bytes(b"mine")
    labelled.annotations.append(answer_event(1, 2))
    export(labelled, tmp_path / "out", ["imagefolder"])
    assert [path.parent.name for path in images.rglob("000001-*")] == ["owl"]
    assert (images / "dog" / "mine.png").exists(), "a file that is not of the export stays"
    assert import_labels(labelled, images).recorded == 0


def test_a_class_without_images_leaves_no_folder(labelled: Project, tmp_path: Path) -> None:
    """Loaders of class folders refuse empty ones."""
    images = tmp_path / "out" / "images"
    export(labelled, tmp_path / "out", ["imagefolder"])
    labelled.annotations.append(answer_event(1, 2))
    export(labelled, tmp_path / "out", ["imagefolder"])
    assert not (images / "dog").exists()
    named = [each["name"] for each in json.loads((images / "classes.json").read_text())["classes"]]
    assert sorted(named) == sorted([FORMULA, "cat", "owl"])


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("place", ["write", "copyfile"])
def test_a_full_disk_changes_nothing(
    labelled: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    out = tmp_path / "out"
    export(labelled, out, ["csv", "imagefolder"])
    before = files_in(out)
    labelled.annotations.append(answer_event(1, 2))

    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if place == "write" else (shutil, "copyfile")), full)
    for target in (out, tmp_path / "further" / "out"):
        with pytest.raises(RunFailed, match="No space left"):
            export(labelled, target, ["csv", "imagefolder"])
    assert files_in(out) == before and not (tmp_path / "further").exists()
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_target_that_cannot_be_used_is_bad_input(
    labelled: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for target in (file, file / "out"):
        with pytest.raises(BadInput, match="cannot be written"):
            export(labelled, target)
    (tmp_path / "out" / "labels.csv").mkdir(parents=True)
    (tmp_path / "out" / "images").write_text("mine")
    with pytest.raises(BadInput, match=r"In the way .*labels.csv, .*images"):
        export(labelled, tmp_path / "out")

    def refused(*arguments: Any, **more: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    with pytest.raises(BadInput, match="cannot be written: Read-only file system"):
        export(labelled, tmp_path / "further" / "out")
    assert not (tmp_path / "further").exists()


def test_an_export_never_goes_among_the_photos(labelled: Project, tmp_path: Path) -> None:
    for place in (labelled.photos, labelled.folder / "out"):
        with pytest.raises(BadInput, match="another folder"):
            export(labelled, place)
    with pytest.raises(BadInput, match="imported as further photos"):
        export(labelled, labelled.photos / "out", ["imagefolder"])
    with pytest.raises(BadInput, match="jsonl"):
        export(labelled, tmp_path / "out", ["json"])
    done = export(labelled, tmp_path / "out")
    assert done.notes == ("There is no classifier yet: nothing has been trained.",)
