"""Annotation events: on the disk when acknowledged, once each, in order, undone only by further events."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aral.annotation import AnswerEvent, Project
from aral.errors import BadInput, RunFailed
from aral.testing import answer_event, project_database, project_rows
from tests.annotation.conftest import label_map, save_pictures


def test_an_event_sent_twice_counts_once(project: Project) -> None:
    event = answer_event(3, 1, key="k")
    first = project.annotations.append(event)
    again, other = project.annotations.append_many([event, answer_event(4, 0)])
    assert (first.repeated, again.repeated, again.seq, other.seq) == (False, True, 1, 2)
    assert label_map(project) == {3: 1, 4: 0}
    assert len(project.annotations.history("Ann")) == 2


@pytest.mark.parametrize(
    "other",
    [
        AnswerEvent("k", 4, "Ann", "class", 1),
        AnswerEvent("k", 3, "Bob", "class", 1),
        AnswerEvent("k", 3, "Ann", "class", 0),
        AnswerEvent("k", 3, "Ann", "skip"),
    ],
)
def test_a_key_identifies_one_event(project: Project, other: AnswerEvent) -> None:
    project.annotations.append(answer_event(3, 1, key="k"))
    with pytest.raises(BadInput, match="'k' was used already"):
        project.annotations.append(other)


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (AnswerEvent("", 3, "Ann", "skip"), "without a key"),
        (AnswerEvent("a", 30, "Ann", "skip"), "no image 30"),
        (AnswerEvent("a", -1, "Ann", "skip"), "no image -1"),
        (AnswerEvent("a", 2**70, "Ann", "skip"), "cannot be stored"),
        (AnswerEvent("a\ud800", 3, "Ann", "skip"), "cannot be stored"),
        (AnswerEvent("a", 3, "Ann", "class", 2), "no class 2"),
        (AnswerEvent("a", 3, "Ann", "class"), "was sent with class None"),
        (AnswerEvent("a", 3, "Ann", "skip", 1), "was sent with class 1"),
        (AnswerEvent("a", 3, " \n", "skip"), "name of an annotator is empty"),
        (AnswerEvent("a", 3, "Ann\udce9", "skip"), "not valid Unicode"),
        (AnswerEvent("a", 3, "Ann", "undo"), "no answer to image 3 to undo"),
    ],
)
def test_one_bad_event_keeps_all_of_its_batch_out(project: Project, event: AnswerEvent, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        project.annotations.append_many([answer_event(1, 0), event])
    assert (
        project.labels.all() == []
        and project.annotations.history("Ann") == []
        and project.annotators.all() == ()
    )


def test_undo_brings_the_earlier_answer_back(project: Project) -> None:
    for answer in (0, 1, "skip"):
        project.annotations.append(answer_event(5, answer))
    project.annotations.append(answer_event(6, 1))
    taken_back = []
    for expected in ({5: 1, 6: 1}, {5: 0, 6: 1}, {6: 1}):
        taken_back.append(project.annotations.append(answer_event(5, "undo")).cancels)
        assert label_map(project) == expected
    assert taken_back == [3, 2, 1]
    with pytest.raises(BadInput, match="to undo"):
        project.annotations.append(answer_event(5, "undo"))
    assert [one.seq for one in project.annotations.undoable("Ann")] == [4]
    assert [(one.seq, one.cancelled) for one in project.annotations.history("Ann")] == [
        (4, False),
        (3, True),
        (2, True),
        (1, True),
    ]


def test_an_annotator_cannot_undo_the_answer_of_another(project: Project) -> None:
    project.annotations.append(answer_event(5, 0, "Ann"))
    with pytest.raises(BadInput, match="Bob has no answer"):
        project.annotations.append(answer_event(5, "undo", "Bob"))
    assert project.annotations.undoable("Bob") == [] and project.annotations.undoable("nobody") == []


def test_fifty_answers_are_undone_after_opening_again(project: Project) -> None:
    for number in range(60):
        project.annotations.append(answer_event(number % 30, number % 2))
    with Project.open(project.folder) as again:
        for number in range(59, 9, -1):
            newest = again.annotations.undoable("Ann", count=1)[0]
            assert (newest.image_id, newest.class_id) == (number % 30, number % 2)
            again.annotations.append(answer_event(newest.image_id, "undo"))
    assert label_map(project) == {number: number % 2 for number in range(10)}


def test_history_is_read_page_by_page(project: Project) -> None:
    for number in range(7):
        project.annotations.append(answer_event(number, 0))
    first = project.annotations.history("Ann", count=3)
    second = project.annotations.history("Ann", before_seq=first[-1].seq, count=3)
    assert [one.image_id for one in first + second] == [6, 5, 4, 3, 2, 1]
    assert first[0].name == "006.png" and first[0].annotator == "Ann"


def refuse(project: Project, statement: str) -> None:
    with (
        project_database(project) as database,
        pytest.raises(BadInput, match="append-only"),
        database.transaction() as connection,
    ):
        connection.execute(statement)


def test_answers_are_never_changed_in_the_database(project: Project) -> None:
    project.annotations.append(answer_event(1, 0, key="a"))
    refuse(project, "UPDATE answers SET class_id = 1")
    refuse(project, "DELETE FROM answers")
    assert label_map(project) == {1: 0}


@pytest.mark.sqlite
def test_answers_are_never_replaced_in_the_file(project: Project) -> None:
    project.annotations.append(answer_event(1, 0, key="a"))
    refuse(project, "INSERT OR REPLACE INTO answers SELECT * FROM answers")
    assert label_map(project) == {1: 0}


@pytest.mark.sqlite
def test_a_full_disk_is_named_and_loses_nothing(
    connections: list[sqlite3.Connection], project: Project
) -> None:
    project.annotations.append(answer_event(1, 0))
    connection = connections[0]  # the one that writes
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RunFailed, match=rf"No space left for {project.folder}/project.sqlite \(\d+ bytes"):
        for number in range(100):
            project.annotations.append_many(
                [answer_event(2, 1, key=f"{number}/{part}/{'x' * 200}") for part in range(20)]
            )
    kept = len(project.annotations.history("Ann", count=10_000))
    assert kept % 20 == 1
    connection.execute(f"PRAGMA max_page_count = {pages + 1000}")
    project.annotations.append(answer_event(3, 1))
    assert len(project.annotations.history("Ann", count=10_000)) == kept + 1


def test_odd_times_do_not_lose_an_answer(project: Project) -> None:
    for image_id, seconds in enumerate((float("nan"), float("inf"), -1.0, 2.5)):
        project.annotations.append(AnswerEvent(f"s{image_id}", image_id, "Ann", "class", 0, seconds=seconds))
    assert project_rows(project, "SELECT seconds FROM answers") == [(None,), (None,), (None,), (2.5,)]


_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["Ann", "Bob", "Cyd"]),
        st.sampled_from(["0", "1", "skip", "unsure", "bad image", "none of these", "undo", "undo"]),
        st.booleans(),
    ),
    max_size=25,
)


def majority(standing: dict[str, list[str]]) -> str | None:
    """Reference: what a stack of answers a person comes to, by counting."""
    tops = [stack[-1] for stack in standing.values() if stack and stack[-1] not in ("skip", "unsure")]
    counts = sorted(((tops.count(top), top) for top in set(tops)), reverse=True)
    if not counts or (len(counts) > 1 and counts[0][0] == counts[1][0]):
        return None
    return counts[0][1]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_EVENTS)
def test_answers_and_undos_follow_a_simple_model(
    events: list[tuple[int, str, str, bool]],
) -> None:
    """The model: a stack of answers for each image and person; undo pops, a repetition does nothing."""
    model: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    with TemporaryDirectory() as folder, small_project(Path(folder)) as project:
        for number, (image_id, person, answer, repeat) in enumerate(events):
            event = answer_event(image_id, int(answer) if answer.isdigit() else answer, person, f"k{number}")
            stack = model[image_id][person]
            if answer == "undo" and not stack:
                with pytest.raises(BadInput):
                    project.annotations.append(event)
                continue
            project.annotations.append(event)
            if repeat:
                assert project.annotations.append(event).repeated
            if answer == "undo":
                stack.pop()
            else:
                stack.append(answer)
        outcomes = {image_id: majority(people) for image_id, people in model.items()}
        expected = {image_id: int(top) for image_id, top in outcomes.items() if top in ("0", "1")}
        assert label_map(project) == expected
        counts = project.labels.counts()
        assert counts.labelled == len(expected)
        assert counts.bad == sum(top == "bad image" for top in outcomes.values())
        assert counts.none == sum(top == "none of these" for top in outcomes.values())
        assert [one.image_id for one in project.labels.disagreements()] == sorted(
            image_id
            for image_id, people in model.items()
            if outcomes[image_id] is None
            and any(stack and stack[-1] not in ("skip", "unsure") for stack in people.values())
        )
        for person in ("Ann", "Bob", "Cyd"):
            left = [answer for people in model.values() for answer in people[person]]
            assert len(project.annotations.undoable(person)) == len(left)


def small_project(folder: Path) -> Project:
    save_pictures(folder / "photos", 4)
    project = Project.create_or_open(folder / "photos", class_names=("cat", "dog"))
    project.images.sync()
    return project


def test_a_receipt_holds_the_current_answer(project: Project) -> None:
    assert project.annotations.append(answer_event(3, 0)).current == ("class", 0)
    assert project.annotations.append(answer_event(3, 1)).current == ("class", 1)
    assert project.annotations.append(answer_event(3, "undo", key="back")).current == ("class", 0)
    assert project.annotations.append(answer_event(3, "undo", key="back")).current == (
        "class",
        0,
    )  # sent twice
    assert project.annotations.append(answer_event(3, "undo")).current is None


def test_current_answers_are_the_newest_of_each_annotator_that_were_not_undone(project: Project) -> None:
    for image_id, answer, name in ((3, 0, "Ann"), (3, 1, "Ann"), (3, 1, "Bob"), (1, "skip", "Bob")):
        project.annotations.append(answer_event(image_id, answer, name))
    current = [
        (one.image_id, one.annotator, one.action, one.class_id) for one in project.annotations.current()
    ]
    assert current == [(1, "Bob", "skip", None), (3, "Ann", "class", 1), (3, "Bob", "class", 1)]
    project.annotations.append(answer_event(3, "undo", "Ann"))
    project.annotations.append(answer_event(3, "undo", "Bob"))
    current = [
        (one.image_id, one.annotator, one.action, one.class_id) for one in project.annotations.current()
    ]
    assert current == [(1, "Bob", "skip", None), (3, "Ann", "class", 0)]
