"""Labels out and in again: every form says the same, nothing in a table is a formula, nothing counts twice."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import example, given, strategies

from aral.errors import BadInput
from aral.labelling import class_names_of, export, import_labels
from aral.labelling.export import folder_names
from aral.labelling.label_rows import RISKY, as_written, csv_bytes, harmless
from aral.labelling.label_studio import answers_of, path_of
from aral.project import Project
from tests.labelling.conftest import CLASSES, MakeProject, save_digits
from tests.labelling.conftest import given as answered

NASTY = '=1+1, "quoted"\nnew/ü.png'


@pytest.fixture
def labelled(make_project: MakeProject) -> Project:
    """Six images with an answer each, two people, a class with a nasty name."""
    project = make_project(12, estimate_share=0.0)
    formula = project.add_class("=cmd|' /C calc'!A0", "Ann")
    project.answers([answered(0, 0), answered(1, 1), answered(2, formula.id), answered(0, 0, "Bob")])
    project.answers([answered(3, "bad image"), answered(4, "none of these"), answered(5, "skip")])
    return project


def standing(project: Project) -> tuple[dict[str, tuple[str, tuple[str, ...]]], tuple[int, ...]]:
    """Class and people by file name, and the counts of other answers."""
    names = {each.id: each.name for each in project.classes()}
    labels = {
        project.image(label.image_id).name: (names[label.class_id], label.annotators)
        for label in project.labels()
    }
    counts = project.answered_count()
    return labels, (counts.bad, counts.none, counts.skipped)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_the_same_labels_come_in_again(labelled: Project, tmp_path: Path, form: str) -> None:
    export(labelled, tmp_path / "out", [form])
    save_digits(tmp_path / "others", 12)
    with Project.create_or_open(tmp_path / "others", class_names=CLASSES) as other:
        other.import_images()
        done = import_labels(other, tmp_path / "out" / f"labels.{form}")
        assert (done.recorded, done.repeated, done.unknown) == (7, 0, ())
        assert done.new_classes == ("=cmd|' /C calc'!A0",)
        before = standing(other)
        assert before == standing(labelled)
        again = import_labels(other, tmp_path / "out" / f"labels.{form}")
        assert (again.recorded, again.repeated, standing(other)) == (0, 7, before)


def test_label_studio_both_ways(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ["label-studio"])
    tasks = json.loads((tmp_path / "out" / "label-studio.json").read_text())
    assert [task["data"]["aral_id"] for task in tasks] == [0, 1, 2, 3, 4, 5]
    assert [task["annotations"][0]["was_cancelled"] for task in tasks] == [False] * 3 + [True] * 3
    numbers = [task["id"] for task in tasks] + [task["annotations"][0]["id"] for task in tasks]
    assert len(set(numbers)) == 12
    save_digits(tmp_path / "others", 12)
    with Project.create_or_open(tmp_path / "others", class_names=CLASSES) as other:
        other.import_images()
        assert import_labels(other, tmp_path / "out" / "label-studio.json", "LS").recorded == 6
        mine, theirs = standing(labelled), standing(other)
        assert {name: label for name, (label, _) in theirs[0].items()} == {
            name: label for name, (label, _) in mine[0].items()
        }
        assert theirs[1] == mine[1] == (1, 1, 1)


def test_image_folder_both_ways(labelled: Project, tmp_path: Path) -> None:
    done = export(labelled, tmp_path / "out", ["imagefolder"])
    folder = tmp_path / "out" / "images"
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert len(found) == 3 and all(path.count("/") == 1 for path in found)
    assert done.left_out == () and done.labels == 3
    original = labelled.photos / labelled.image(0).name
    assert (folder / next(path for path in found if "/000000-" in path)).read_bytes() == original.read_bytes()
    assert import_labels(labelled, folder, "Carol").recorded == 3
    assert standing(labelled)[0][labelled.image(0).name][1] == ("Ann", "Bob", "Carol")


def test_a_linked_image_folder_copies_nothing(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ["imagefolder"], "link")
    export(labelled, tmp_path / "out", ["imagefolder"], "link")
    links = list((tmp_path / "out" / "images").rglob("*.png"))
    assert len(links) == 3 and all(path.is_symlink() and path.is_file() for path in links)


def test_images_that_are_gone_are_named(labelled: Project, tmp_path: Path) -> None:
    name = labelled.image(1).name
    (labelled.photos / name).unlink()
    assert export(labelled, tmp_path / "out", ["imagefolder"]).left_out == (name,)


@given(strategies.text())
@example("=1")
@example("'=1")
@example("''")
def test_no_cell_is_a_formula_and_every_cell_comes_back(cell: str) -> None:
    assert not harmless(cell).startswith(RISKY)
    assert as_written(harmless(cell)) == cell


def test_a_table_keeps_the_bytes_of_names() -> None:
    latin = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    content = csv_bytes(("path", "label"), [(latin, "x"), (NASTY, "y")])
    assert b"caf\xe9.png" in content
    rows = list(csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")))
    assert [as_written(row[0]) for row in rows[1:]] == [latin, NASTY]


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/data/local-files/?d=a/b%20c.png", "a/b c.png"),
        ("/data/upload/3/x.png", "/data/upload/3/x.png"),
        ("https://example.org/a/%C3%BC.png?sig=1", "/a/ü.png"),
        ("plain.png", "plain.png"),
    ],
)
def test_addresses_of_tasks(address: str, path: str) -> None:
    assert path_of(address) == path


@given(
    strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.text(max_size=5),
        lambda inner: (
            strategies.lists(inner, max_size=3)
            | strategies.dictionaries(
                strategies.sampled_from(
                    ["annotations", "result", "value", "choices", "was_cancelled", "data"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
def test_any_task_is_read_or_passed_over(task: object) -> None:
    for action, label in answers_of(task):
        assert (action == "class") == bool(label)


def test_other_peoples_tables(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(6, estimate_share=0.0)
    first, second = project.image(0).name, project.image(1).name
    table = tmp_path / "theirs.csv"
    table.write_text(f"Filename,Class\n/home/x/photos/{first},cat\nelsewhere/{second},dog\nunknown.png,cat\n")
    done = import_labels(project, table, "Zoe")
    assert (done.recorded, done.unknown, done.new_classes) == (2, ("unknown.png",), ("cat", "dog"))
    assert standing(project)[0] == {first: ("cat", ("Zoe",)), second: ("dog", ("Zoe",))}


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("x.csv", "a,b\n1,2\n", "path and label"),
        ("x.csv", "path,label,answer\n000.png,,maybe\n", "maybe"),
        ("x.jsonl", "[1]\n", "no object"),
        ("x.json", "{}", "list of tasks"),
        ("x.json", "[" * 100_000, "cannot be understood"),
        ("x.txt", "", "neither"),
        ("x.csv", "path,label\nnobody.png,cat\n", "None of the 1 images"),
    ],
)
def test_what_cannot_be_taken_in_is_said(
    labelled: Project, tmp_path: Path, name: str, content: str, match: str
) -> None:
    before = standing(labelled)
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=match):
        import_labels(labelled, tmp_path / name)
    assert standing(labelled) == before


def test_a_missing_file_is_said(labelled: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        import_labels(labelled, tmp_path / "missing.csv")


def test_folder_names_are_harmless_and_different() -> None:
    names = folder_names(["a/b", "a:b", "..", "A_B", "cat", "x" * 300])
    assert list(names.values()) == ["a_b", "a_b-2", "_", "A_B-3", "cat", "x" * 100]


def test_classes_from_folders_and_files(tmp_path: Path) -> None:
    for name in ("dog", "cat"):
        save_digits(tmp_path / "photos" / name, 1)
    assert class_names_of(tmp_path / "photos") == ("cat", "dog")
    save_digits(tmp_path / "photos", 1)
    assert class_names_of(tmp_path / "photos") == (), "a file lies beside the folders"
    table = tmp_path / "labels.csv"
    table.write_text("path,label\na.png,owl\nb.png,bat\nc.png,owl\n")
    assert class_names_of(table) == ("owl", "bat")


def test_an_export_never_goes_among_the_photos(labelled: Project, tmp_path: Path) -> None:
    for place in (labelled.photos, labelled.folder / "out"):
        with pytest.raises(BadInput, match="another folder"):
            export(labelled, place)
    with pytest.raises(BadInput, match="jsonl"):
        export(labelled, tmp_path / "out", ["json"])
    done = export(labelled, tmp_path / "out")
    assert done.notes == ("There is no classifier yet: nothing has been trained.",)
