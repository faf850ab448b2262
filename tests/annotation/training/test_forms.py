"""Labels out and in again: every form says the same, nothing in a table is a formula, nothing counts twice."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, strategies

from aral.annotation import BROWSING, Asking, Project, class_names_of, export, import_labels
from aral.annotation.class_names import ClassNames
from aral.annotation.exporting import folder_names
from aral.annotation.label_rows import RISKY, as_written, csv_bytes, harmless, label_rows
from aral.annotation.label_studio import answers_of, path_of
from aral.errors import BadInput
from tests.annotation.training.conftest import CLASSES, MakeProject, save_digits
from tests.annotation.training.conftest import given as answered

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
        assert (done.recorded, done.repeated, done.not_taken) == (7, 0, ())
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
        assert import_labels(other, tmp_path / "out" / "label-studio.json", "LS").recorded == 7
        assert standing(other) == standing(labelled)


def test_image_folder_both_ways(labelled: Project, tmp_path: Path) -> None:
    done = export(labelled, tmp_path / "out", ["imagefolder"])
    folder = tmp_path / "out" / "images"
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert len(found) == 3 and all(path.count("/") == 1 for path in found)
    assert done.left_out == () and done.labels == 3
    original = labelled.photos / labelled.image(0).name
    assert (folder / next(path for path in found if "/000000-" in path)).read_bytes() == original.read_bytes()
    assert import_labels(labelled, folder, "Carol").recorded == 0, "the export tells who gave them"
    for name in ("aral-labels.jsonl", "../unreadable.csv"):
        (folder / name).unlink()
    assert import_labels(labelled, folder).recorded == 1, "the name of a folder cannot be that of the class"
    assert import_labels(labelled, folder, "Carol").recorded == 3, "any other folder is somebody's own labels"
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


def test_a_file_that_was_replaced_is_not_exported_under_the_old_label(
    labelled: Project, tmp_path: Path
) -> None:
    name, other = labelled.image(1).name, labelled.image(0).name
    (labelled.photos / name).write_bytes((labelled.photos / other).read_bytes())
    assert export(labelled, tmp_path / "out", ["imagefolder"]).left_out == (name,)
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 2


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


def asked_by_name(project: Project) -> dict[str, Asking]:
    return {project.image(image_id).name: asked for image_id, asked in project.askings().items()}


@pytest.fixture
def asked(make_project: MakeProject) -> Project:
    """Labels of a query, of its reserve, by chance, of the person's own choice, and a skip."""
    project = make_project(12, estimate_share=0.0)
    project.set_queue(
        3, np.array([4, 7]), np.array([-0.125, -1 / 3]), ["", ""], "aral-typical", np.array([9]), np.zeros(1)
    )
    cards = project.next_cards("Ann", 4)
    project.answers([answered(card.image_id, 1) for card in cards])
    browsed = next(each for each in range(12) if each not in {card.image_id for card in cards})
    project.answer(replace(answered(browsed, 0), asked=Asking(None, BROWSING, None)))
    project.answer(answered(7, "skip", "Bob"))
    return project


def test_every_label_says_what_asked_for_it(asked: Project, tmp_path: Path) -> None:
    export(asked, tmp_path / "out", ["csv", "jsonl", "label-studio"])
    table = list(csv.DictReader((tmp_path / "out" / "labels.csv").read_text().splitlines()))
    said = {row["path"]: (row["round"], row["strategy"], row["score"]) for row in table}
    expected = asked_by_name(asked)
    assert {asked.image(each).name: expected[asked.image(each).name] for each in (4, 7, 9)} == {
        asked.image(4).name: Asking(3, "aral-typical", -0.125),
        asked.image(7).name: Asking(3, "aral-typical", -1 / 3),
        asked.image(9).name: Asking(3, "aral-typical", 0.0),
    }
    assert said[asked.image(4).name] == ("3", "aral-typical", "-0.125")
    assert [float(said[asked.image(each).name][2]) for each in (7, 9)] == [-1 / 3, 0.0]
    assert sorted(asking for asking in said.values() if not asking[0]) == [
        ("", "browsing", ""),
        ("", "by chance", ""),
    ]
    lines = [json.loads(line) for line in (tmp_path / "out" / "labels.jsonl").read_text().splitlines()]
    assert {row["path"]: Asking(row["round"], row["strategy"], row["score"]) for row in lines} == expected
    tasks = json.loads((tmp_path / "out" / "label-studio.json").read_text())
    assert {asked.image(task["data"]["aral_id"]).name: Asking(**task["meta"]) for task in tasks} == expected


def test_an_exact_copy_was_asked_for_as_the_first_was(make_project: MakeProject, photos: Path) -> None:
    project = make_project(6, estimate_share=0.0)
    (photos / "copy.png").write_bytes((photos / project.image(0).name).read_bytes())
    project.import_images()
    project.set_queue(1, np.array([0]), np.array([0.5]), [""], "margin", np.empty(0, np.int64))
    project.answer(answered(0, 1))
    assert [(row.round, row.strategy, row.score, row.inherited) for row in label_rows(project)] == [
        (1, "margin", 0.5, False),
        (1, "margin", 0.5, True),
    ]


@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl", "label-studio.json"])
def test_what_asked_comes_in_again(asked: Project, tmp_path: Path, name: str) -> None:
    export(asked, tmp_path / "out", ["csv", "jsonl", "label-studio"])
    save_digits(tmp_path / "others", 12)
    with Project.create_or_open(tmp_path / "others", class_names=CLASSES) as other:
        other.import_images()
        import_labels(other, tmp_path / "out" / name)
        assert asked_by_name(other) == asked_by_name(asked)
    import_labels(asked, tmp_path / "out" / name, "Ann")
    assert asked_by_name(asked)[asked.image(4).name] == Asking(3, "aral-typical", -0.125)


def test_uploads_of_label_studio_are_found_by_their_own_name(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(6, estimate_share=0.0)
    result = [{"type": "choices", "value": {"choices": ["one"]}}]
    tasks = [
        {
            "data": {"image": f"{folder}/0badcafe-{project.image(image_id).name}"},
            "annotations": [{"result": result}],
        }
        for folder, image_id in (("/data/upload/7", 2), ("/data/elsewhere", 3))
    ]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    done = import_labels(project, tmp_path / "tasks.json")
    assert done.recorded == 1 and len(done.not_taken) == 1
    assert [label.image_id for label in project.labels()] == [2]


@pytest.mark.parametrize(
    ("columns", "cells", "expected"),
    [
        ("", "", Asking(None, "import", None)),
        (",round,score", ",3,0.5", Asking(None, "import", None)),
        (",strategy", ",margin", Asking(None, "margin", None)),
        (",strategy,round,score", ",margin,first,nan", Asking(None, "margin", None)),
        (",strategy,round,score", ",margin,²,high", Asking(None, "margin", None)),
        (",strategy,round,score", ",margin,12,-1e-9", Asking(12, "margin", -1e-9)),
    ],
)
def test_what_a_table_says_of_the_asking(
    make_project: MakeProject, tmp_path: Path, columns: str, cells: str, expected: Asking
) -> None:
    project = make_project(6, estimate_share=0.0)
    table = tmp_path / "theirs.csv"
    table.write_text(f"path,label{columns}\n{project.image(2).name},one{cells}\n")
    import_labels(project, table)
    assert project.askings() == {2: expected}


def test_other_peoples_tables(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(6, estimate_share=0.0)
    first, second = project.image(0).name, project.image(1).name
    table = tmp_path / "theirs.csv"
    table.write_text(f"Filename,Class\n/home/x/photos/{first},cat\nelsewhere/{second},dog\nunknown.png,cat\n")
    done = import_labels(project, table, "Zoe")
    assert (done.recorded, done.new_classes) == (2, ("cat", "dog"))
    assert [each.path for each in done.not_taken] == ["unknown.png"]
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
        ("x.csv", "path,label\nnobody.png,cat\n", "is not in the project: 'nobody.png'"),
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
    assert class_names_of(tmp_path / "photos").names == ("cat", "dog")
    (tmp_path / "photos" / "labels.csv").write_text("no image")
    (tmp_path / "photos" / "notes").mkdir()
    (tmp_path / "photos" / "notes" / "read me.txt").write_text("no image")
    assert class_names_of(tmp_path / "photos") == ClassNames(("cat", "dog"))
    save_digits(tmp_path / "photos", 1)
    found = class_names_of(tmp_path / "photos")
    assert found.names == () and "beside the folders" in found.reason
    assert "1 class folder has images" in class_names_of(tmp_path / "photos" / "..").reason
    table = tmp_path / "labels.csv"
    table.write_text("path,label\na.png,owl\nb.png,bat\nc.png,owl\n")
    assert class_names_of(table).names == ("owl", "bat")


def test_an_export_never_goes_among_the_photos(labelled: Project, tmp_path: Path) -> None:
    for place in (labelled.photos, labelled.folder / "out"):
        with pytest.raises(BadInput, match="another folder"):
            export(labelled, place)
    with pytest.raises(BadInput, match="jsonl"):
        export(labelled, tmp_path / "out", ["json"])
    done = export(labelled, tmp_path / "out")
    assert done.notes == ("There is no classifier yet: nothing has been trained.",)


def test_of_several_answers_of_a_person_the_last_line_counts(
    make_project: MakeProject, tmp_path: Path
) -> None:
    """One, two, and one again: only the last line is taken, and the lines that say something else are counted."""
    project = make_project(6, estimate_share=0.0)
    first, second = project.image(2).name, project.image(3).name
    said = [(first, "one"), (second, "one"), (first, "two"), (second, "two"), (second, "two"), (first, "one")]
    table = tmp_path / "theirs.csv"
    table.write_text("path,label\n" + "".join(f"{name},{label}\n" for name, label in said))
    done = import_labels(project, table, "Zoe")
    assert (done.recorded, done.repeated, done.replaced) == (2, 0, 2)
    assert standing(project)[0] == {first: ("one", ("Zoe",)), second: ("two", ("Zoe",))}
    assert import_labels(project, table, "Zoe").recorded == 0
    assert standing(project)[0] == {first: ("one", ("Zoe",)), second: ("two", ("Zoe",))}


def test_rows_are_of_one_moment_while_people_answer(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two questions another process answers, adds a class and takes an answer back."""
    project = make_project(20, estimate_share=0.0)
    project.answers([answered(image_id, 0) for image_id in range(5)])
    with Project.open(project.photos) as other:
        fresh = iter(range(5, 20))

        def meddle(name: str) -> None:
            asked = getattr(project, name)

            def asking(*arguments: Any) -> Any:
                answer = asked(*arguments)
                image_id = next(fresh)
                other.answer(answered(image_id, other.add_class(f"new {image_id}", "Bob").id, "Bob"))
                other.answer(answered(0, "undo" if name == "labels" else "skip"))
                return answer

            monkeypatch.setattr(project, name, asking)

        for name in ("classes", "annotators", "labels", "askings", "class_changes"):
            meddle(name)
        rows = label_rows(project)
        assert [(row.image_id, row.label) for row in rows] == [(image_id, "zero") for image_id in range(5)]
        assert len(label_rows(Project.open(project.photos))) > 5
