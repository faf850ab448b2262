"""Labels that contradict each other: a disagreement if annotators tell them apart, otherwise none is imported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from aral.annotation import Project, import_labels, status
from aral.annotation.imported_labels import NO_ANNOTATOR, SAME_ANNOTATOR
from aral.errors import BadInput
from aral.testing import answer_event
from tests.annotation.exchange.conftest import MakeProject, label_map, label_state, write_labels

Rows = list[tuple[str, str, str]]
"""Path, label and annotator."""


def write(folder: Path, form: str, rows: Rows) -> Path:
    """The same rows in each form that can name annotators."""
    target = folder / f"x.{form.partition(' ')[0]}"
    if form == "csv":
        target.write_text("path,label,annotator\n" + "".join(f"{','.join(row)}\n" for row in rows))
    elif form == "jsonl":
        objects = [{"path": path, "label": label, "annotator": who} for path, label, who in rows]
        target.write_text("".join(json.dumps(each) + "\n" for each in objects))
    elif form == "jsonl of Prodigy":
        objects = [
            {"image": path, "label": label, "answer": "accept", "_annotator_id": who}
            for path, label, who in rows
        ]
        target.write_text("".join(json.dumps(each) + "\n" for each in objects))
    else:
        tasks: dict[str, list[Any]] = {}
        for path, label, who in rows:
            result = [{"from_name": "c", "type": "choices", "value": {"choices": [label]}}]
            tasks.setdefault(path, []).append({"result": result, **({"completed_by": who} if who else {})})
        target.write_text(json.dumps([{"data": {"image": k}, "annotations": v} for k, v in tasks.items()]))
    return target


FORMS = ("csv", "jsonl", "jsonl of Prodigy", "json")


@pytest.mark.parametrize("form", FORMS)
def test_statements_of_two_annotators_are_a_disagreement(
    make_project: MakeProject, tmp_path: Path, form: str
) -> None:
    project = make_project(["1.jpg", "2.jpg"], classes=("cat", "dog"))
    rows = [("1.jpg", "cat", "3"), ("1.jpg", "dog", "7"), ("2.jpg", "dog", "3")]
    source = write(tmp_path, form, rows)
    for recorded in (3, 0):
        done = import_labels(project, source)
        assert (done.recorded, done.disagreements, done.rejected) == (recorded, ("1.jpg",), ())
    assert label_map(project) == {"2.jpg": "dog"} and status(project).facts["counts"]["conflicts"] == 1
    (disagreement,) = project.labels.disagreements()
    names = [name.removeprefix("Label Studio ") for name, _, _ in disagreement.votes]
    assert names == ["3", "7"] and [class_id for _, _, class_id in disagreement.votes] == [0, 1]


@pytest.mark.parametrize("annotator", ["", "Zoe"])
@pytest.mark.parametrize("form", FORMS)
def test_statements_that_nothing_tells_apart_are_listed(
    make_project: MakeProject, tmp_path: Path, form: str, annotator: str
) -> None:
    project = make_project(["1.jpg", "2.jpg"])
    rows = [("1.jpg", "cat", ""), ("2.jpg", "dog", ""), ("1.jpg", "dog", ""), ("1.jpg", "cat", "")]
    done = import_labels(project, write(tmp_path, form, rows), annotator)
    assert label_map(project) == {"2.jpg": "dog"} and done.new_classes == ("dog",)
    assert done.reasons == {SAME_ANNOTATOR if annotator else NO_ANNOTATOR: 3}
    assert {each.path for each in done.rejected} == {"1.jpg"}
    assert sorted(each.detail.removeprefix("Zoe: ") for each in done.rejected) == ["cat", "cat", "dog"]


def test_one_annotator_who_contradicts_themself_is_listed(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["1.jpg"])
    rows = [("1.jpg", "cat", "Ann"), ("1.jpg", "dog", "Ann"), ("1.jpg", "owl", "Bob")]
    done = import_labels(project, write(tmp_path, "csv", rows))
    assert label_state(project)[0] == {"1.jpg": ("owl", ("Bob",))}
    assert [each.detail for each in done.rejected] == ["Ann: cat", "Ann: dog"]


def test_equal_statements_count_once(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["1.jpg"])
    done = import_labels(project, write(tmp_path, "csv", [("1.jpg", "cat", ""), ("./1.jpg", " cat ", "")]))
    assert (done.recorded, done.rejected) == (1, ())


def test_a_class_under_two_of_its_names_is_no_contradiction(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(["1.jpg"], classes=("cat", "dog"))
    project.classes.rename(1, "hound", "Ann")
    done = import_labels(project, write(tmp_path, "csv", [("1.jpg", "dog", ""), ("1.jpg", "hound", "")]))
    assert (done.recorded, done.rejected) == (1, ())


@pytest.mark.parametrize("annotator", ["", "Zoe"])
def test_one_picture_in_the_folders_of_two_classes_is_listed(
    make_project: MakeProject, tmp_path: Path, annotator: str
) -> None:
    project = make_project(["1.jpg", "2.jpg"])
    for name in ("cat/1.jpg", "dog/other name.jpg"):
        (tmp_path / "theirs" / name).parent.mkdir(parents=True)
        shutil.copy(tmp_path / "photos" / "1.jpg", tmp_path / "theirs" / name)
    shutil.copy(tmp_path / "photos" / "2.jpg", tmp_path / "theirs" / "dog")
    done = import_labels(project, tmp_path / "theirs", annotator)
    assert label_map(project) == {"2.jpg": "dog"}
    assert [each.path for each in done.rejected] == ["cat/1.jpg", "dog/other name.jpg"]


def test_copies_of_one_picture_in_the_project_are_one_image(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(["cat/1.jpg", "dog/2.jpg"])
    shutil.copy(tmp_path / "photos" / "cat" / "1.jpg", tmp_path / "photos" / "dog" / "1.jpg")
    project.images.sync()
    for source in (
        tmp_path / "photos",
        write(tmp_path, "csv", [("cat/1.jpg", "cat", ""), ("dog/1.jpg", "dog", "")]),
    ):
        try:
            rejected = import_labels(project, source).rejected
        except BadInput as problem:
            assert "different labels" in str(problem)
        else:
            assert [each.path for each in rejected] == ["cat/1.jpg", "dog/1.jpg"]
    assert label_map(project) == {"dog/2.jpg": "dog"}


def test_an_import_that_contradicts_the_project_is_a_disagreement(labelled: Project, tmp_path: Path) -> None:
    done = import_labels(labelled, write_labels(tmp_path, [("1.png", "owl"), ("6.png", "owl")]))
    assert (done.recorded, done.repeated, done.disagreements) == (1, 1, ("1.png",))


def test_a_label_that_replaces_an_earlier_one_is_counted(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["1.jpg", "2.jpg"], classes=("cat", "dog"))
    project.annotations.append(answer_event(1, "skip", "Zoe"))
    import_labels(project, write_labels(tmp_path / "a", [("1.jpg", "cat")]), "Zoe")
    done = import_labels(project, write_labels(tmp_path / "b", [("1.jpg", "dog"), ("2.jpg", "dog")]), "Zoe")
    assert (done.recorded, done.replaced) == (2, 1)


def test_a_skip_beside_a_class_is_ignored_and_counted(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["1.jpg", "2.jpg"])
    table = tmp_path / "x.csv"
    table.write_text("path,label,answer\n1.jpg,cat,\n1.jpg,,skip\n2.jpg,,skip\n2.jpg,,unsure\n")
    done = import_labels(project, table)
    assert label_map(project) == {"1.jpg": "cat"} and project.labels.counts().unsure == 1
    assert done.recorded == 2 and any("2 skips or unsures" in note for note in done.notes)
