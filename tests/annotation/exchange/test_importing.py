"""Imports as units: each label is added once, a failure leaves nothing, and an import can be undone."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
import warnings
from pathlib import Path

import pytest

from aral.annotation import AnswerEvent, ImportedLabel, Project, export, import_labels
from aral.annotation.provenance import Provenance
from aral.errors import BadInput, RunFailed
from aral.testing import answer_event
from tests.annotation.exchange.conftest import (
    FORMULA,
    MakeProject,
    event_count,
    label_map,
    label_state,
    write_labels,
)

EXPORTED = ("labels.csv", "labels.jsonl", "label-studio.json", "images", "")
"""What can be imported of an export: each label file, the class folders, the whole folder."""

ALL = ("csv", "jsonl", "label-studio", "imagefolder")


# Once


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.parametrize("placing", ["copy", "link"])
def test_the_own_export_adds_nothing(labelled: Project, tmp_path: Path, name: str, placing) -> None:
    export(labelled, tmp_path / "out", ALL, placing)
    before = event_count(labelled)
    done = import_labels(labelled, tmp_path / "out" / name)
    assert (done.recorded, done.rejected, done.new_classes, done.number) == (0, (), (), None)
    assert done.repeated > 3 and event_count(labelled) == before


@pytest.mark.parametrize("first", EXPORTED)
def test_every_format_after_every_other_adds_nothing(
    labelled: Project, other: Project, tmp_path: Path, first: str
) -> None:
    export(labelled, tmp_path / "out", ALL)
    import_labels(other, tmp_path / "out" / first)
    import_labels(other, tmp_path / "out" / "labels.csv")  # images have no answers without a class
    before, state = event_count(other), label_state(other)
    assert state == label_state(labelled) and before == 8
    assert other.classes.all()[-1].name == FORMULA
    for name in (*EXPORTED, *EXPORTED):
        assert import_labels(other, tmp_path / "out" / name).recorded == 0, name
    assert (event_count(other), label_state(other)) == (before, state)
    # What was imported is exported under the same identity.
    export(other, tmp_path / "back", ALL)
    for name in EXPORTED:
        assert import_labels(labelled, tmp_path / "back" / name).recorded == 0, name


@pytest.mark.parametrize("name", EXPORTED)
def test_an_export_without_event_ids_adds_nothing_either(
    labelled: Project, tmp_path: Path, name: str
) -> None:
    """As earlier releases wrote it."""
    out = tmp_path / "out"
    export(labelled, out, ALL)
    (out / "images" / "aral-labels.jsonl").unlink()
    table = (out / "labels.csv").read_text().splitlines()
    (out / "labels.csv").write_text("\n".join(line.rpartition(",")[0] for line in table) + "\n")
    rows = [json.loads(line) for line in (out / "labels.jsonl").read_text().splitlines()]
    (out / "labels.jsonl").write_text("".join(json.dumps({**row, "events": None}) + "\n" for row in rows))
    tasks = json.loads((out / "label-studio.json").read_text())
    for task in tasks:
        task["data"] = {name: task["data"][name] for name in ("image", "aral_id", "aral_answer")}
    (out / "label-studio.json").write_text(json.dumps(tasks))
    before = label_map(labelled)
    done = import_labels(labelled, out / name)
    assert (done.recorded, label_map(labelled)) == (0, before)


def test_a_label_changed_since_the_export_stays(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ALL)
    labelled.annotations.append(answer_event(1, 2))
    for name in EXPORTED:
        done = import_labels(labelled, tmp_path / "out" / name)
        assert (done.recorded, done.changed_since) == (0, 1), name
    assert label_map(labelled)["1.png"] == "owl"


def test_an_edited_export_adds_the_edited_labels(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ALL)
    table = tmp_path / "out" / "labels.csv"
    table.write_text(table.read_text().replace("1.png,dog", "1.png,owl"))
    assert import_labels(labelled, table).recorded == 1
    assert label_map(labelled)["1.png"] == "owl"
    tasks = json.loads((tmp_path / "out" / "label-studio.json").read_text())
    tasks[1]["annotations"][0]["result"][0]["value"]["choices"] = ["cat"]
    (tmp_path / "out" / "label-studio.json").write_text(json.dumps(tasks))
    assert import_labels(labelled, tmp_path / "out" / "label-studio.json", "Ann").recorded == 1
    assert label_map(labelled)["1.png"] == "cat"


def test_an_exported_label_edited_back_to_an_earlier_one_is_added_once(
    labelled: Project, tmp_path: Path
) -> None:
    """Ann's label of image 6 was dog, then owl."""
    export(labelled, tmp_path / "out", ["csv"])
    table = tmp_path / "out" / "labels.csv"
    table.write_text(table.read_text().replace("6.png,owl", "6.png,dog"))
    assert import_labels(labelled, table).recorded == 1
    assert label_map(labelled)["6.png"] == "dog"
    labelled.annotations.append(answer_event(6, 0))
    done = import_labels(labelled, table)
    assert (done.recorded, done.changed_since) == (0, 1)
    assert label_map(labelled)["6.png"] == "cat"


def test_an_image_moved_to_another_class_folder_has_a_new_label(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ALL)
    images = tmp_path / "out" / "images"
    (moved,) = images.rglob("000001-*")
    moved.rename(images / "cat" / moved.name)
    assert import_labels(labelled, images, "Ann").recorded == 1
    assert label_map(labelled)["1.png"] == "cat"


def test_class_folders_without_the_record_of_the_export_are_new_labels(
    labelled: Project, tmp_path: Path
) -> None:
    export(labelled, tmp_path / "out", ["imagefolder"])
    folder = tmp_path / "out" / "images"
    for name in ("aral-labels.jsonl", "../unreadable.csv"):
        (folder / name).unlink()
    assert import_labels(labelled, folder).recorded == 0, "classes.json has the names of the classes"
    (folder / "classes.json").unlink()
    assert import_labels(labelled, folder).recorded == 1, "only the formula is the name of no folder"
    assert import_labels(labelled, folder, "Carol").recorded == 4
    assert label_state(labelled)[0]["0.png"][1] == ("Ann", "Bob; Jr", "Carol")


def test_renamed_and_merged_classes_are_recognised(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ALL)
    labelled.classes.rename(1, "hound", "Ann")
    labelled.classes.merge(2, 0, "Ann")
    for name in EXPORTED:
        done = import_labels(labelled, tmp_path / "out" / name)
        assert (done.recorded, done.new_classes) == (0, ()), name


def test_an_undone_label_can_be_imported_again(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ALL)
    before = label_map(labelled)
    labelled.annotations.append(AnswerEvent("back", 1, "Ann", "undo"))
    assert import_labels(labelled, tmp_path / "out").recorded == 1
    assert label_map(labelled) == before


def test_annotators_of_label_studio_are_apart_and_added_once(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(["0.png", "1.png"], classes=("cat", "dog"))
    choices = [("cat", 3), ("dog", 7)]
    annotations = [
        {"result": [{"value": {"choices": [label]}}], "completed_by": user} for label, user in choices
    ]
    (tmp_path / "x.json").write_text(json.dumps([{"data": {"image": "0.png"}, "annotations": annotations}]))
    assert import_labels(project, tmp_path / "x.json").recorded == 2
    assert import_labels(project, tmp_path / "x.json").recorded == 0
    assert [each.name for each in project.annotators.all()] == ["Label Studio 3", "Label Studio 7"]
    assert project.labels.counts().conflicts == 1


def test_rejected_rows_are_counted_as_rows(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["0.png"])
    table = tmp_path / "x.csv"
    table.write_text("path,label,annotator\nx.png,cat,Ann; Bob\nx.png,cat,Ann; Bob\n0.png,cat,Ann\n")
    assert [each.path for each in import_labels(project, table).rejected] == ["x.png", "x.png"]


# As one unit


def test_an_import_is_undone_with_its_classes(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project([f"{number}.jpg" for number in range(6)], classes=("cat",))
    project.annotations.append(answer_event(0, 0))
    rows = [(f"{number}.jpg", "owl" if number < 5 else "bat") for number in range(6)]
    table = write_labels(tmp_path, rows)
    done = import_labels(project, table, "Zoe")
    assert done.number == 1 and done.new_classes == ("owl", "bat")
    owl = next(each.id for each in project.classes.all() if each.name == "owl")
    project.annotations.append(answer_event(1, 0, "Zoe"))  # Zoe corrects her label
    project.annotations.append(answer_event(2, owl, "Bob"))  # Bob uses the class
    project.annotations.append(AnswerEvent("back", 3, "Zoe", "undo"))
    before = event_count(project)
    undone = project.label_imports.undo()
    assert (undone.number, undone.undoes, undone.undone) == (2, 1, 4)
    assert (undone.changed_since, undone.undone_before) == (2, 1)
    assert (undone.removed_classes, undone.kept_classes) == (("bat",), ("owl",))
    assert label_map(project) == {"0.jpg": "cat", "1.jpg": "cat", "2.jpg": "owl"}
    assert project.labels.counts().labelled == 3
    assert [each.name for each in project.classes.all()] == ["cat", "owl"]
    assert event_count(project) == before, "the log keeps every answer"
    # Zoe's imported label does not come back when she undoes her correction.
    project.annotations.append(AnswerEvent("back 2", 1, "Zoe", "undo"))
    assert "1.jpg" not in label_map(project)
    with pytest.raises(BadInput, match="no import to undo"):
        project.label_imports.undo()
    with pytest.raises(BadInput, match="undone already, by entry 2"):
        project.label_imports.undo(1)
    with pytest.raises(BadInput, match="undo of import 1"):
        project.label_imports.undo(2)
    listed = project.label_imports.entries()
    assert [(each.number, each.undoes, each.undone_by) for each in listed] == [(1, None, 2), (2, 1, None)]
    assert listed[0].source == str(table) and listed[0].counts["recorded"] == 6
    assert listed[0].events is not None and listed[0].events[1] - listed[0].events[0] == 5
    # The same file can be imported once more.
    again = import_labels(project, table, "Zoe")
    assert (again.number, again.recorded, again.new_classes) == (3, 6, ("bat",))
    assert project.label_imports.undo().undoes == 3


def test_an_import_whose_labels_were_all_undone_can_be_undone(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(["0.png"])
    import_labels(project, write_labels(tmp_path, [("0.png", "cat")]), "Zoe")
    project.annotations.append(AnswerEvent("back", 0, "Zoe", "undo"))
    undone = project.label_imports.undo()
    assert (undone.undone, undone.undone_before, undone.removed_classes) == (0, 1, ("cat",))
    assert project.label_imports.entries()[-1].events is None


def test_a_removed_class_is_nowhere(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["1.jpg", "2.jpg"], classes=("cat",))
    import_labels(project, write_labels(tmp_path, [("1.jpg", "owl")]))
    gone = project.classes.all()[1].id
    project.label_imports.undo()
    for change in (
        lambda: project.annotations.append(answer_event(0, gone)),
        lambda: project.classes.rename(gone, "bat", "Ann"),
        lambda: project.classes.merge(0, gone, "Ann"),
        lambda: project.classes.merge(gone, 0, "Ann"),
        lambda: project.classes.describe(gone, "", [], "Ann"),
    ):
        with pytest.raises(BadInput, match="no class"):
            change()
    assert project.classes.changes()[-1].change == "remove"
    assert project.classes.add("owl", "Ann").id != gone, "its name and its key are free again"
    assert project.classes.all()[1].key == "2"
    export(project, tmp_path / "out", ["csv", "label-studio"])
    assert (tmp_path / "out" / "label-studio.xml").read_text().count("<Choice ") == 2


def test_the_label_before_an_import_counts_again_after_its_undo(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(["1.jpg"], classes=("cat", "dog"))
    import_labels(project, write_labels(tmp_path / "a", [("1.jpg", "cat")]), "Zoe")
    import_labels(project, write_labels(tmp_path / "b", [("1.jpg", "dog")]), "Zoe")
    assert label_map(project) == {"1.jpg": "dog"}
    project.label_imports.undo()
    assert label_map(project) == {"1.jpg": "cat"}


def test_an_import_ends_the_lease_of_its_annotator(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project([f"{number}.png" for number in range(3)], classes=("cat",))
    leased = project.queue.next_cards("Zoe", 1)[0]
    import_labels(project, write_labels(tmp_path, [(leased.name, "cat")]), "Zoe")
    assert leased.image_id not in {card.image_id for card in project.queue.next_cards("Zoe", 1)}
    project.label_imports.undo()
    assert leased.image_id in {card.image_id for card in project.queue.next_cards("Bob", 2)}


@pytest.mark.parametrize("most_bytes", [20_000, 100_000, 180_000])
def test_a_failed_import_leaves_nothing(make_project: MakeProject, tmp_path: Path, most_bytes: int) -> None:
    """The disk is full at some point of the transaction: no file may grow beyond so many bytes."""
    project = make_project([f"{number}.png" for number in range(40)])
    rows = [(f"{number % 40}.png", f"class {number % 9}") for number in range(400)]
    table = tmp_path / "labels.csv"
    table.write_text(
        "path,label,annotator\n" + "".join(f"{path},{label},{path[:-4]}{label}\n" for path, label in rows)
    )
    project.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of fork beside threads; the child starts none
        child = os.fork()
    if child == 0:
        code = 1
        try:
            with Project.open(project.folder) as again:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
                import_labels(again, table)
        except RunFailed:
            code = 7
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with Project.open(project.folder) as again:
        assert (again.classes.all(), again.labels.all(), again.label_imports.entries()) == ((), [], [])
        assert again.annotators.all() == () and again.classes.changes() == []
        assert import_labels(again, table).recorded == 360


def test_a_name_that_is_no_unicode_stops_the_whole_import(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["1.jpg", "2.jpg"])
    (tmp_path / "x.jsonl").write_text(
        '{"path": "1.jpg", "label": "ok"}\n{"path": "2.jpg", "label": "\\ud800"}\n'
    )
    with pytest.raises(BadInput):
        import_labels(project, tmp_path / "x.jsonl")
    assert (project.classes.all(), project.labels.all()) == ((), [])


def test_an_import_blocks_other_writers_only_briefly(make_project: MakeProject) -> None:
    """5,000 new labels take a quarter of a second of processor time, almost all of it in the transaction."""
    project = make_project(["0.png"], classes=("cat",))
    labels = [
        ImportedLabel(0, f"annotator {number}", "class", "cat", Provenance(None, "import", None))
        for number in range(5000)
    ]
    started = time.process_time()
    assert project.label_imports.record("many", labels).recorded == 5000
    assert time.process_time() - started < 2
    assert project.label_imports.undo().undone == 5000


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("path,label\nnobody.png,cat\n", "because the project has no image of this path: 'nobody.png'"),
        ("path,label\n,cat\n", "names no image"),
    ],
)
def test_a_source_without_any_image_of_the_project_is_refused(
    labelled: Project, tmp_path: Path, content: str, match: str
) -> None:
    before = label_state(labelled)
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(BadInput, match=match):
        import_labels(labelled, tmp_path / "x.csv")
    assert label_state(labelled) == before
