"""Imports that cannot corrupt labels: the right image, the right class, each label once, and a way back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.annotation import AnswerEvent, Project, class_names_of, export, import_labels
from aral.errors import BadInput, RunFailed
from tests.annotation.training.conftest import CLASSES, MakeProject, save_digits
from tests.annotation.training.conftest import given as answered


def paint(path: Path, number: int) -> Path:
    """An image unlike that of any other number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path.with_suffix(".png"))
    path.with_suffix(".png").replace(path)
    return path


def label_map(project: Project) -> dict[str, str]:
    """Class by file name, as the labels stand."""
    names = {each.id: each.name for each in project.classes()}
    return {project.image(each.image_id).name: names[each.class_id] for each in project.labels()}


def events(project: Project) -> int:
    """How many events the log holds."""
    return sum(len(project.history(person.name, None, 10_000)) for person in project.annotators())


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Makes a project of images of these names, each with its own number as content."""
    opened: list[Project] = []

    def make(names: list[str], folder: str = "photos", classes: tuple[str, ...] = ()) -> Project:
        for number, name in enumerate(names):
            paint(tmp_path / folder / name, number)
        project = Project.create_or_open(tmp_path / folder, class_names=classes)
        opened.append(project)
        project.import_images()
        return project

    yield make
    for project in opened:
        project.close()


# Which image


def test_class_folders_with_other_contents_take_nothing(make, tmp_path: Path) -> None:
    project = make(["1.jpg", "2.jpg", "3.jpg", "4.jpg"])
    for number in range(1, 5):
        paint(tmp_path / "theirs" / "cat" / f"{number}.jpg", 100 + number)
        paint(tmp_path / "theirs" / "dog" / f"{number}.jpg", 200 + number)
    with pytest.raises(BadInput, match=r"None of the 8 images .* no image of this content"):
        import_labels(project, tmp_path / "theirs")
    assert label_map(project) == {} and project.classes() == ()
    # One copy of an image of the project among them is found, whatever its name.
    shutil.copy(tmp_path / "photos" / "3.jpg", tmp_path / "theirs" / "dog" / "1.jpg")
    done = import_labels(project, tmp_path / "theirs")
    assert label_map(project) == {"3.jpg": "dog"} and done.recorded == 1
    assert done.reasons == {"the project has no image of this content": 7}


def write_rows(place: Path, rows: list[tuple[str, str]], form: str) -> Path:
    """Paths and labels as a file of one of the forms."""
    place.mkdir(parents=True, exist_ok=True)
    target = place / f"theirs.{form}"
    if form == "csv":
        target.write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    elif form == "jsonl":
        target.write_text("".join(json.dumps({"path": path, "label": label}) + "\n" for path, label in rows))
    else:
        tasks = [
            {"data": {"image": path}, "annotations": [{"result": [{"value": {"choices": [label]}}]}]}
            for path, label in rows
        ]
        target.write_text(json.dumps(tasks))
    return target


FORMS = ("csv", "jsonl", "json")


@pytest.mark.parametrize("form", FORMS)
def test_a_shortened_path_is_taken_only_where_it_is_unique_on_both_sides(
    make, tmp_path: Path, form: str
) -> None:
    project = make(["1.jpg", "2.jpg", "a/3.jpg", "b/3.jpg", "c/4.jpg", "5.jpg", "d/6.jpg"])
    rows = [
        ("cat/1.jpg", "cat"),  # two paths of the import end in 1.jpg
        ("dog/1.jpg", "dog"),
        ("/mnt/x/2.jpg", "cat"),  # unique
        ("3.jpg", "cat"),  # two images of the project end so
        ("b/3.jpg", "dog"),  # the whole path
        ("4.jpg", "dog"),  # unique: the project knows a longer path
        ("5.jpg", "cat"),  # the whole path, though another path of the import ends so
        ("old/5.jpg", "dog"),
        ("e/6.jpg", "dog"),  # in another folder
    ]
    done = import_labels(project, write_rows(tmp_path / "elsewhere", rows, form))
    assert label_map(project) == {"2.jpg": "cat", "b/3.jpg": "dog", "c/4.jpg": "dog", "5.jpg": "cat"}
    assert {each.path for each in done.not_taken} == {
        "cat/1.jpg",
        "dog/1.jpg",
        "3.jpg",
        "old/5.jpg",
        "e/6.jpg",
    }
    assert done.reasons["2 paths of the import end in '1.jpg'"] == 2
    assert done.reasons["2 images of the project end in '3.jpg'"] == 1


@pytest.mark.parametrize("form", FORMS)
def test_the_content_of_an_imported_file_decides(make, tmp_path: Path, form: str) -> None:
    project = make(["1.jpg", "2.jpg", "3.jpg"])
    paint(tmp_path / "theirs" / "1.jpg", 77)  # the same path, another image
    shutil.copy(tmp_path / "photos" / "3.jpg", tmp_path / "theirs" / "2.jpg")  # another path, the same image
    done = import_labels(project, write_rows(tmp_path / "theirs", [("1.jpg", "cat"), ("2.jpg", "dog")], form))
    assert label_map(project) == {"3.jpg": "dog"}
    assert done.reasons == {"the image of this path has another content in the project": 1}


def test_an_image_in_the_folders_of_two_classes_has_no_label(make, tmp_path: Path) -> None:
    project = make(["1.jpg", "2.jpg"])
    for name in ("cat", "dog"):
        (tmp_path / "theirs" / name).mkdir(parents=True)
        shutil.copy(tmp_path / "photos" / "1.jpg", tmp_path / "theirs" / name)
    shutil.copy(tmp_path / "photos" / "2.jpg", tmp_path / "theirs" / "dog")
    done = import_labels(project, tmp_path / "theirs")
    assert label_map(project) == {"2.jpg": "dog"}
    assert done.reasons == {"the same image is in cat and dog": 2}


def test_predictions_are_no_labels(make, tmp_path: Path) -> None:
    project = make(["1.jpg"])
    (tmp_path / "said.csv").write_text("path,class,probability,p(cat),problem\n1.jpg,cat,0.5,0.5,\n")
    with pytest.raises(BadInput, match="table of predictions"):
        import_labels(project, tmp_path / "said.csv")


# Which class


def test_splits_and_dates_become_no_classes(make, tmp_path: Path) -> None:
    names = [
        f"{split}/{name}/{split}-{name}.jpg" for split in ("Train", "VALIDATION", "test_set") for name in "ab"
    ]
    project = make([*names, "2023/05/x.jpg"])
    found = class_names_of(project.photos)
    assert found.names == ("a", "b")
    said = " ".join(found.notes)
    assert "Train, VALIDATION, test_set" in said and "1 file in 2023" in said
    done = import_labels(project, project.photos)
    assert done.recorded == 6 and done.new_classes == ("a", "b")
    assert set(label_map(project).values()) == {"a", "b"}
    assert any("1 file in 2023" in note for note in done.notes)


def test_photos_by_date_have_no_classes_without_an_explicit_yes(make, tmp_path: Path) -> None:
    project = make(["2023/05/01/a.jpg", "2023/06/02/b.jpg", "2024/01/03/c.jpg"])
    found = class_names_of(project.photos)
    assert found.names == () and "named like a date" in " ".join(found.notes)
    with pytest.raises(BadInput, match=r"no class folders.*named like a date"):
        import_labels(project, project.photos)
    done = import_labels(project, project.photos, classes=("2023",))
    assert label_map(project) == {"2023/05/01/a.jpg": "2023", "2023/06/02/b.jpg": "2023"}
    assert any("1 file in 2024" in note for note in done.notes)


# Once


@pytest.fixture
def labelled(make_project: MakeProject) -> Project:
    """Labels of two annotators, a class whose folder has another name, and answers without a class."""
    project = make_project(12, estimate_share=0.0)
    slashed = project.add_class("a/b", "Ann")
    project.answers([answered(0, 0), answered(1, 1), answered(2, slashed.id), answered(0, 0, "Bob; Jr")])
    project.answers([answered(3, "bad image"), answered(4, "none of these"), answered(5, "skip")])
    project.answers([answered(6, 1), answered(6, 2)])  # a correction
    return project


EXPORTED = ("labels.csv", "labels.jsonl", "label-studio.json", "images", "")
ALL = ("csv", "jsonl", "label-studio", "imagefolder")


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.parametrize("placing", ["copy", "link"])
def test_the_own_export_adds_nothing(labelled: Project, tmp_path: Path, name: str, placing) -> None:
    export(labelled, tmp_path / "out", ALL, placing)
    before = events(labelled)
    done = import_labels(labelled, tmp_path / "out" / name)
    assert (done.recorded, done.not_taken, done.new_classes, done.number) == (0, (), (), None)
    assert done.repeated > 3 and events(labelled) == before


@pytest.mark.parametrize("first", EXPORTED)
def test_every_form_after_every_other_adds_nothing(labelled: Project, tmp_path: Path, first: str) -> None:
    export(labelled, tmp_path / "out", ALL)
    save_digits(tmp_path / "others", 12)
    with Project.create_or_open(tmp_path / "others", class_names=CLASSES) as other:
        other.import_images()
        import_labels(other, tmp_path / "out" / first)
        import_labels(other, tmp_path / "out" / "labels.csv")  # the images tell no answers without a class
        before, labels = events(other), label_map(other)
        assert labels == label_map(labelled) and before == 8
        for name in (*EXPORTED, *EXPORTED):
            assert import_labels(other, tmp_path / "out" / name).recorded == 0, name
        assert (events(other), label_map(other)) == (before, labels)
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
    labelled.answer(answered(1, 2))
    for name in ("labels.csv", "labels.jsonl", "label-studio.json", "images"):
        done = import_labels(labelled, tmp_path / "out" / name)
        assert (done.recorded, done.changed_since) == (0, 1), name
    assert label_map(labelled)[labelled.image(1).name] == "two"


def test_an_edited_export_is_taken_as_edited(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ALL)
    table = tmp_path / "out" / "labels.csv"
    name = labelled.image(1).name
    table.write_text(table.read_text().replace(f"{name},one", f"{name},two"))
    done = import_labels(labelled, table)
    assert done.recorded == 1 and label_map(labelled)[name] == "two"
    tasks = json.loads((tmp_path / "out" / "label-studio.json").read_text())
    tasks[1]["annotations"][0]["result"][0]["value"]["choices"] = ["zero"]
    (tmp_path / "out" / "label-studio.json").write_text(json.dumps(tasks))
    assert import_labels(labelled, tmp_path / "out" / "label-studio.json", "Ann").recorded == 1
    assert label_map(labelled)[name] == "zero"


def test_a_second_export_leaves_no_image_in_its_former_class(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ALL)
    images = tmp_path / "out" / "images"
    (images / "one" / "mine.png").write_bytes(b"mine")
    labelled.answer(answered(1, 2))
    export(labelled, tmp_path / "out", ALL)
    assert [path.parent.name for path in images.rglob("000001-*")] == ["two"]
    assert (images / "one" / "mine.png").exists(), "what somebody else put there stays"
    assert import_labels(labelled, images).recorded == 0


def test_an_image_that_was_moved_to_another_class_is_a_new_label(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ALL)
    images = tmp_path / "out" / "images"
    (moved,) = images.rglob("000001-*")
    moved.rename(images / "zero" / moved.name)
    done = import_labels(labelled, images, "Ann")
    assert done.recorded == 1 and label_map(labelled)[labelled.image(1).name] == "zero"


def test_an_export_survives_a_renamed_class(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ALL)
    labelled.rename_class(1, "uno", "Ann")
    labelled.merge_classes(2, 0, "Ann")
    for name in EXPORTED:
        done = import_labels(labelled, tmp_path / "out" / name)
        assert (done.recorded, done.new_classes) == (0, ()), name


def test_a_label_taken_back_comes_in_again(labelled: Project, tmp_path: Path) -> None:
    export(labelled, tmp_path / "out", ALL)
    before = label_map(labelled)
    labelled.answer(AnswerEvent("back", 1, "Ann", "undo"))
    assert import_labels(labelled, tmp_path / "out").recorded == 1
    assert label_map(labelled) == before


# The way back


def test_an_import_is_taken_back_with_its_classes(make, tmp_path: Path) -> None:
    project = make([f"{number}.jpg" for number in range(6)], classes=("cat",))
    project.answer(answered(0, 0))
    rows = [(f"{number}.jpg", "owl" if number < 5 else "bat") for number in range(6)]
    table = write_rows(tmp_path, rows, "csv")
    done = import_labels(project, table, "Zoe")
    assert done.number == 1 and done.new_classes == ("owl", "bat")
    owl = next(each.id for each in project.classes() if each.name == "owl")
    project.answer(answered(1, 0, "Zoe"))  # Zoe changes her mind
    project.answer(answered(2, owl, "Bob"))  # somebody else needs the class
    project.answer(AnswerEvent("back", 3, "Zoe", "undo"))
    before = events(project)
    undone = project.label_imports.undo()
    assert (undone.number, undone.undoes, undone.taken_back) == (2, 1, 4)
    assert (undone.changed_since, undone.taken_back_before) == (2, 1)
    assert (undone.removed_classes, undone.kept_classes) == (("bat",), ("owl",))
    assert label_map(project) == {"0.jpg": "cat", "1.jpg": "cat", "2.jpg": "owl"}
    assert [each.name for each in project.classes()] == ["cat", "owl"]
    assert events(project) == before, "the log keeps every event; an undo is none of a person's answers"
    # What Zoe said before does not come back when she takes back her correction.
    project.answer(AnswerEvent("back 2", 1, "Zoe", "undo"))
    assert "1.jpg" not in label_map(project)
    with pytest.raises(BadInput, match="no import to take back"):
        project.label_imports.undo()
    with pytest.raises(BadInput, match="taken back already, by entry 2"):
        project.label_imports.undo(1)
    with pytest.raises(BadInput, match="undo of import 1"):
        project.label_imports.undo(2)
    listed = project.label_imports.entries()
    assert [(each.number, each.undoes, each.undone_by) for each in listed] == [(1, None, 2), (2, 1, None)]
    assert listed[0].source == str(table) and listed[0].counts["recorded"] == 6
    # The same file can be imported once more.
    again = import_labels(project, table, "Zoe")
    assert (again.number, again.recorded, again.new_classes) == (3, 6, ("bat",))
    assert project.label_imports.undo().undoes == 3


def test_a_removed_class_is_gone_everywhere(make, tmp_path: Path) -> None:
    project = make(["1.jpg", "2.jpg"], classes=("cat",))
    import_labels(project, write_rows(tmp_path, [("1.jpg", "owl")], "csv"))
    gone = project.classes()[1].id
    project.label_imports.undo()
    with pytest.raises(BadInput, match="no class"):
        project.answer(answered(0, gone))
    assert project.class_changes()[-1].change == "remove"
    assert project.add_class("owl", "Ann").id != gone, "its name and its key are free again"
    assert project.classes()[1].key == "2"
    export(project, tmp_path / "out", ["csv"])


def test_the_label_before_an_import_stands_again(make, tmp_path: Path) -> None:
    project = make(["1.jpg"], classes=("cat", "dog"))
    import_labels(project, write_rows(tmp_path / "a", [("1.jpg", "cat")], "csv"), "Zoe")
    import_labels(project, write_rows(tmp_path / "b", [("1.jpg", "dog")], "csv"), "Zoe")
    assert label_map(project) == {"1.jpg": "dog"}
    project.label_imports.undo()
    assert label_map(project) == {"1.jpg": "cat"}


@pytest.mark.parametrize("failing", ["append", "insert_class", "refresh", "_note"])
def test_a_failed_import_leaves_nothing_behind(
    make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    from aral.annotation import label_imports

    project = make(["1.jpg", "2.jpg"])
    table = write_rows(tmp_path, [("1.jpg", "owl"), ("2.jpg", "bat")], "csv")
    real, calls = getattr(label_imports, failing), []

    def fail(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        if len(calls) == (2 if failing in ("append", "insert_class") else 1):
            raise RunFailed("the disk is full")
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(label_imports, failing, fail)
        with pytest.raises(RunFailed):
            import_labels(project, table, "Zoe")
    assert (project.classes(), project.labels(), project.label_imports.entries()) == ((), [], [])
    assert project.annotators() == () and project.class_changes() == []
    assert import_labels(project, table, "Zoe").recorded == 2


def test_a_name_that_cannot_be_stored_stops_the_whole_import(make, tmp_path: Path) -> None:
    project = make(["1.jpg", "2.jpg"])
    (tmp_path / "x.jsonl").write_text(
        '{"path": "1.jpg", "label": "ok"}\n{"path": "2.jpg", "label": "\\ud800"}\n'
    )
    with pytest.raises(BadInput):
        import_labels(project, tmp_path / "x.jsonl")
    assert (project.classes(), project.labels()) == ((), [])
