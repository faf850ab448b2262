"""Classes under any name; settings and keys."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as examples
from hypothesis import strategies as st

from aral.annotation import Project
from aral.annotation.database import write_setting
from aral.annotation.names import composed
from aral.annotation.settings import ACTION_KEYS
from aral.errors import BadInput
from aral.testing import answer_event, project_database
from tests.annotation.conftest import change_settings, label_map

ODD_NAMES = (
    "🐈‍⬛",
    "<img src=x onerror=alert(1)>",
    'it\'s "quoted"; DROP TABLE classes; --',
    "=1+1",
    "مرحبا\u202e",
    "two\nlines",
    "x" * 5000,
    "Cat",
    "é",
)


@pytest.mark.sqlite  # Postgres stores no such text; see test_postgres.py
def test_a_name_may_hold_a_null_character(project: Project) -> None:
    assert project.classes.add("nul\0inside", "Ann").name == project.classes.all()[-1].name == "nul\0inside"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_text_is_a_name_and_is_returned_unchanged(project: Project, name: str) -> None:
    added = project.classes.add(name, name)
    assert added.name == name
    project.annotations.append(answer_event(1, added.id, annotator=name))
    with Project.open(project.photos) as again:
        assert again.classes.all()[-1] == added
        assert again.labels.all()[0].annotators == (composed(name),)


@pytest.mark.parametrize("name", ["", "  \n\t", "cat", " cat ", "caf\udce9"])
def test_empty_and_taken_names_are_refused(project: Project, name: str) -> None:
    with pytest.raises(BadInput):
        project.classes.add(name, "Ann")
    with pytest.raises(BadInput):
        project.classes.rename(1, name, "Ann")
    assert [known.name for known in project.classes.all()] == ["cat", "dog"]


def test_composed_and_decomposed_letters_are_the_same_name(project: Project) -> None:
    project.classes.add(unicodedata.normalize("NFD", "Zoë"), "Ann")
    with pytest.raises(BadInput, match="already"):
        project.classes.add(unicodedata.normalize("NFC", "Zoë"), "Ann")
    assert project.annotators.get_or_add("Zoë") == project.annotators.get_or_add(
        unicodedata.normalize("NFD", "Zoë")
    )


def test_classes_are_renamed_and_merged_between_answers(project: Project) -> None:
    project.annotations.append(answer_event(1, 0))
    renamed = project.classes.rename(0, "Katze", "Ann")
    assert (renamed.id, renamed.name, renamed.key) == (0, "Katze", "1")
    project.classes.rename(0, "Katze", "Ann")  # its own name is not taken
    project.annotations.append(answer_event(2, 0))
    left = project.classes.merge(0, 1, "Bob")
    assert (left.id, left.name) == (1, "dog")
    project.annotations.append(answer_event(3, 0))
    assert label_map(project) == {1: 1, 2: 1, 3: 1}
    again = project.classes.add("Katze", "Ann")  # the name is free again
    project.classes.merge(1, again.id, "Ann")
    assert label_map(project) == {1: again.id, 2: again.id, 3: again.id}
    assert [change.change for change in project.classes.changes()][2:] == [
        "rename",
        "rename",
        "merge",
        "add",
        "merge",
    ]
    assert project.classes.changes()[4].detail == {"name": "Katze", "into": 1, "into_name": "dog"}
    assert project.classes.changes()[4].annotator == "Bob"


@pytest.mark.parametrize(("from_id", "into_id"), [(0, 0), (0, 9), (9, 0), (2, 0), (0, 2)])
def test_merges_that_cannot_be_are_refused(project: Project, from_id: int, into_id: int) -> None:
    gone = project.classes.add("kitten", "Ann").id
    assert gone == 2
    project.classes.merge(gone, 1, "Ann")
    with pytest.raises(BadInput):
        project.classes.merge(from_id, into_id, "Ann")
    assert [known.id for known in project.classes.all()] == [0, 1]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@examples(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8))
def test_every_class_ends_in_a_live_one(project: Project, merges: list[tuple[int, int]]) -> None:
    made = len(project.classes.changes())
    ids = [project.classes.add(f"{made} {number}", "Ann").id for number in range(5)]
    parent = {class_id: class_id for class_id in ids}
    for start, end in merges:
        try:
            project.classes.merge(ids[start], ids[end], "Ann")
        except BadInput:
            continue
        parent = {one: ids[end] if root == ids[start] else root for one, root in parent.items()}
    project.annotations.append_many(
        [answer_event(image_id, class_id) for image_id, class_id in enumerate(parent)]
    )
    assert [label_map(project)[image_id] for image_id in range(5)] == list(parent.values())


def test_a_guideline_and_its_examples(project: Project) -> None:
    described = project.classes.describe(0, " Whiskers.\nPurrs. ", [4, 2, 4], "Ann")
    assert (described.guideline, described.example_ids) == ("Whiskers.\nPurrs.", (4, 2))
    assert project.classes.describe(0, "", [], "Ann").guideline == ""
    with pytest.raises(BadInput, match="no image 99"):
        project.classes.describe(0, "x", [99], "Ann")
    with pytest.raises(BadInput, match="no class 7"):
        project.classes.describe(7, "x", [], "Ann")


def test_keys_are_given_in_order_and_avoid_those_of_actions(project: Project) -> None:
    for number in range(40):
        project.classes.add(f"class {number}", "Ann")
    keys = [known.key for known in project.classes.all()]
    assert keys[:12] == ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "a", "b"]
    given_keys = [key for key in keys if key]
    assert len(set(given_keys)) == len(given_keys) == 28 and keys[28:] == [""] * 14
    assert not set(given_keys) & set(ACTION_KEYS.values())
    assert [known.colour for known in project.classes.all()] == list(range(42))


def test_keys_can_be_given_anew_but_not_twice(project: Project) -> None:
    change_settings(project, keys={"unsure": "5", "class:0": "c"})
    assert project.classes.all()[0].key == "c" and project.settings.get().keys["unsure"] == "5"
    assert project.settings.get().keys["skip"] == " "
    assert project.classes.add("eel", "Ann").key == "3"
    for keys in ({"unsure": "X"}, {"skip": "2"}, {"class:0": "2"}, {"dance": "d"}, {"class:9": "d"}):
        with pytest.raises(BadInput):
            change_settings(project, keys=keys)
    assert project.settings.get().keys["unsure"] == "5"
    change_settings(project, keys={"skip": "", "grid": ""})
    project.classes.merge(0, 1, "Ann")
    change_settings(project, shortcuts_on=False)  # the key of a merged class is no obstacle
    assert not project.settings.get().shortcuts_on


def test_keys_of_newer_actions_yield_to_what_a_project_has(project: Project) -> None:
    """Before actions had them, P and I went to the classes 18 and 27, and annotators could choose them."""
    with project_database(project) as database, database.transaction() as connection:
        connection.execute("UPDATE classes SET key = 'p' WHERE id = 1")
        write_setting(connection, "page", {"keys": {"skip": "I"}})
    keys = project.settings.get().keys
    assert (keys["progress"], keys["guide"], keys["skip"], keys["undo"]) == ("", "", "I", "Backspace")
    assert [known.key for known in project.classes.all()] == ["1", "p"]
    change_settings(project, overlap=2)  # what is there can be kept
    change_settings(project, keys={**keys, "skip": " ", "guide": "i", "progress": "q"})
    keys = project.settings.get().keys
    assert (keys["progress"], keys["guide"], keys["skip"]) == ("q", "i", " ")
    with pytest.raises(BadInput, match="'i' is given to"):
        change_settings(project, keys={**keys, "class:0": "i"})


@pytest.mark.parametrize(
    "change",
    [{"budget": 0}, {"overlap": 0}, {"overlap": 21}, {"estimate_share": -0.1}, {"estimate_share": 0.6}],
)
def test_settings_out_of_range_are_refused(project: Project, change: dict[str, object]) -> None:
    before = project.settings.get()
    with pytest.raises(BadInput):
        project.settings.set(replace(before, **change))  # type: ignore[arg-type]
    assert project.settings.get() == before


def test_the_same_command_given_again_adds_nothing(project: Project, photos: Path) -> None:
    project.classes.rename(0, "Katze", "Ann")
    kitten = project.classes.add("kitten", "Ann").id
    project.classes.merge(kitten, 0, "Ann")
    for names in (("cat", "dog", "kitten"), ("Katze",), ()):
        with Project.create_or_open(photos, class_names=names) as again:
            assert [known.name for known in again.classes.all()] == ["Katze", "dog"]


def test_another_list_of_classes_is_refused_and_changes_nothing(project: Project, photos: Path) -> None:
    before = project.changes()
    with pytest.raises(BadInput) as refused:
        Project.create_or_open(photos, class_names=("cat", "Typo"), budget=7, new_classes=("eel",))
    assert "'Typo'" in refused.value.problem and "'cat', 'dog'" in refused.value.problem
    assert "--add-class Typo" in refused.value.hint
    assert project.changes() == before
    assert [known.name for known in project.classes.all()] == ["cat", "dog"]
    for _ in range(2):  # the same command, given again
        with Project.create_or_open(photos, class_names=("cat",), new_classes=("eel",)) as again:
            assert [known.name for known in again.classes.all()] == ["cat", "dog", "eel"]


def test_classes_are_given_once(photos: Path, project: Project) -> None:
    with pytest.raises(BadInput, match="twice"):
        Project.create_or_open(photos, class_names=("ant", "ant"))


def test_the_revision_changes_with_classes_and_settings_alone(project: Project) -> None:
    seen = [project.classes.revision()]

    def is_new() -> bool:
        seen.append(project.classes.revision())
        return seen[-1] not in seen[:-1]

    project.annotations.append(answer_event(1, 0))
    assert not is_new()
    with Project.open(project.photos) as other:
        assert other.classes.revision() == seen[0]
        other.classes.rename(0, "Katze", "Ann")
        assert is_new(), "changed by another process"
        assert other.classes.revision() == seen[-1]
    project.classes.describe(0, "Purrs.", [1], "Ann")
    assert is_new()
    project.classes.add("eel", "Ann")
    assert is_new()
    change_settings(project, budget=20)
    assert is_new()
    project.classes.merge(2, 0, "Ann")
    assert is_new()
    project.annotations.append(answer_event(2, 2))
    assert not is_new()
