"""Cards: the right images in the right order, to one annotator at a time."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from aral.annotation import BY_CHANCE, Card, ModelRecord, Project, Provenance, TrainingState
from aral.annotation.predictions import hides_suggestion
from aral.annotation.queue import Assignment, mix
from aral.errors import BadInput
from aral.testing import answer_event, project_database
from tests.annotation.conftest import NO_IDS, MakeProject, change_settings, set_wall


def ids_of(cards: list[Card]) -> list[int]:
    return [card.image_id for card in cards]


def queue_images(
    project: Project, ids: list[int], reserve: list[int] | None = None, round_number: int = 0
) -> None:
    scores = np.linspace(1.0, 0.0, len(ids))
    project.queue.replace(
        round_number,
        np.array(ids, dtype=np.int64),
        scores,
        [f"because {image_id}" for image_id in ids],
        "margin",
        np.array(reserve or [], dtype=np.int64),
    )


def test_query_then_reserve_then_random_then_skipped_images(project: Project) -> None:
    queue_images(project, [9, 3, 7], [3, 20, 21])
    for image_id, answer in ((3, "skip"), (20, "unsure")):
        project.annotations.append(answer_event(image_id, answer))
    cards = project.queue.next_cards("Ann", 30)
    assert ids_of(cards)[:3] == [9, 7, 21] and ids_of(cards)[-2:] == [3, 20]
    assert [card.purpose for card in cards] == ["query"] * 2 + ["reserve"] + ["random"] * 25 + [
        "query",
        "reserve",
    ]
    assert (cards[0].reason, cards[0].round, cards[3].round) == ("because 9", 0, None)
    assert (cards[0].name, cards[0].width, cards[0].height) == ("009.png", 20, 16)
    assert sorted(ids_of(cards)) == list(range(30))
    assert ids_of(cards)[3:8] != sorted(ids_of(cards)[3:8])


def test_what_is_answered_does_not_come_again_and_nothing_is_left_over(project: Project) -> None:
    queue_images(project, [5, 6])
    seen = []
    while cards := project.queue.next_cards("Ann", 4):
        for card in cards:
            project.annotations.append(answer_event(card.image_id, 0))
            seen.append(card.image_id)
    assert sorted(seen) == list(range(30)) and seen[:2] == [5, 6]
    assert project.queue.remaining() == 0
    project.annotations.append(answer_event(6, "undo"))
    assert ids_of(project.queue.next_cards("Ann", 4)) == [6] and project.queue.remaining() == 1


def test_skipped_images_come_last_and_again_and_again(project: Project) -> None:
    for image_id in range(28):
        project.annotations.append(answer_event(image_id, 1))
    project.annotations.append(answer_event(28, "skip"))
    project.annotations.append(answer_event(29, "skip"))
    for expected in (28, 29, 28):
        (card,) = project.queue.next_cards("Ann", 1)
        assert card.image_id == expected
        project.annotations.append(answer_event(card.image_id, "skip"))
    project.annotations.append(answer_event(28, 0))
    assert ids_of(project.queue.next_cards("Ann", 5)) == [29]
    project.annotations.append(answer_event(29, "bad image"))
    assert project.queue.next_cards("Ann", 5) == []


def test_a_skipped_image_goes_to_another_annotator_at_once(project: Project) -> None:
    queue_images(project, [5, 6])
    project.annotations.append(answer_event(5, "skip", "Ann"))
    assert ids_of(project.queue.next_cards("Bob", 2)) == [5, 6]
    assert project.queue.remaining() == 1


def test_two_annotators_never_hold_the_same_image(project: Project) -> None:
    held = {name: ids_of(project.queue.next_cards(name, 12)) for name in ("Ann", "Bob", "Cyd")}
    assert [len(ids) for ids in held.values()] == [12, 12, 6]
    assert sorted(image_id for ids in held.values() for image_id in ids) == list(range(30))
    assert project.queue.next_cards("Dan", 3) == []


def test_a_reloaded_page_gets_the_same_images(project: Project) -> None:
    first = ids_of(project.queue.next_cards("Ann", 4))
    assert ids_of(project.queue.next_cards("Ann", 4)) == first
    more = ids_of(project.queue.next_cards("Ann", 3, holding=first))
    assert not set(more) & set(first)
    project.annotations.append(answer_event(first[0], 0))
    with Project.open(project.photos) as restarted:
        assert ids_of(restarted.queue.next_cards("Ann", 9))[:6] == first[1:] + more


def test_two_tabs_of_one_annotator_get_different_images(project: Project) -> None:
    left = ids_of(project.queue.next_cards("Ann", 15, tab="left"))
    right = ids_of(project.queue.next_cards("Ann", 15, tab="right"))
    assert sorted(left + right) == list(range(30))
    assert ids_of(project.queue.next_cards("Ann", 15, tab="left")) == left
    for image_id in right:
        project.annotations.append(answer_event(image_id, 0))
    # The other tab may be closed: rather its images than none.
    assert ids_of(project.queue.next_cards("Ann", 20, tab="right")) == left


def test_leases_end_after_ten_minutes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    set_wall(monkeypatch, 1000.0)
    first = ids_of(project.queue.next_cards("Ann", 20))
    set_wall(monkeypatch, 1000.0 + 590)
    project.queue.next_cards("Ann", 0, holding=first[:5])
    assert len(project.queue.next_cards("Bob", 30)) == 10
    set_wall(monkeypatch, 1000.0 + 610)
    assert sorted(ids_of(project.queue.next_cards("Cyd", 30))) == sorted(first[5:])
    project.annotations.append(answer_event(first[7], 1, "Ann"))  # late, and still not lost
    assert project.labels.counts().labelled == 1


def test_a_page_left_alone_gets_back_what_is_free(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    set_wall(monkeypatch, 1000.0)
    first = ids_of(project.queue.next_cards("Ann", 20))
    set_wall(monkeypatch, 1700.0)
    taken = ids_of(project.queue.next_cards("Bob", 12))
    project.queue.next_cards("Ann", 1, holding=first)
    rest = ids_of(project.queue.next_cards("Cyd", 30))
    assert not set(rest) & set(first) and not set(rest) & set(taken)


def test_a_clock_set_back_neither_keeps_nor_ends_leases(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_wall(monkeypatch, 1_000_000.0)
    project.queue.next_cards("Ann", 30)
    set_wall(monkeypatch, 1_000_000.0 - 86_400)
    assert project.queue.next_cards("Bob", 1) == []
    set_wall(monkeypatch, 1_000_000.0 - 86_400 + 599)
    assert project.queue.next_cards("Bob", 1) == []
    set_wall(monkeypatch, 1_000_000.0 - 86_400 + 601)
    assert len(project.queue.next_cards("Bob", 1)) == 1


def test_overlap_gives_each_image_to_so_many_annotators(project: Project) -> None:
    change_settings(project, overlap=2)
    queue_images(project, list(range(30)))
    for name in ("Ann", "Bob"):
        assert ids_of(project.queue.next_cards(name, 30)) == list(range(30))
    assert project.queue.next_cards("Cyd", 30) == []
    for image_id in range(30):
        project.annotations.append(answer_event(image_id, 0, "Ann"))
    project.annotations.append(answer_event(4, 0, "Bob"))
    assert project.queue.next_cards("Ann", 30) == [] and project.queue.remaining() == 29
    project.annotations.append(answer_event(7, "undo", "Ann"))
    assert ids_of(project.queue.next_cards("Cyd", 30)) == [7]
    change_settings(project, overlap=1)
    assert project.queue.remaining() == 1
    change_settings(project, overlap=2)
    assert project.queue.remaining() == 29


def test_a_new_round_replaces_the_queue(project: Project) -> None:
    queue_images(project, [1, 2])
    project.annotations.append(answer_event(2, 0))
    queue_images(project, [2, 9, 8], round_number=1)
    cards = project.queue.next_cards("Ann", 3)
    assert ids_of(cards)[:2] == [9, 8] and cards[0].round == 1
    assert project.queue.remaining() == 2


@pytest.mark.parametrize(
    ("ids", "scores", "problem"),
    [
        ([1, 1], [1.0, 0.0], "each image once"),
        ([1, 2], [1.0, float("nan")], "finite"),
        ([1, 99], [1.0, 0.0], "no image 99"),
    ],
)
def test_a_queue_that_cannot_be_is_refused_whole(
    project: Project, ids: list[int], scores: list[float], problem: str
) -> None:
    queue_images(project, [5])
    with pytest.raises(BadInput, match=problem):
        project.queue.replace(1, np.array(ids), np.array(scores), [""] * len(ids), "x", NO_IDS)
    assert ids_of(project.queue.next_cards("Ann", 1)) == [5]


@pytest.mark.parametrize("count", [-1, 201])
def test_counts_out_of_range_are_refused(project: Project, count: int) -> None:
    with pytest.raises(BadInput, match="out of range"):
        project.queue.next_cards("Ann", count)


def test_suggestions_are_those_of_the_newest_model_and_stay_on_a_card(project: Project) -> None:
    ids = project.images.labelable_ids()
    number = project.models.record(ModelRecord(0, "m0", 1, 1.0, (0, 1)))
    project.predictions.replace(number, ids, [0, 1], np.tile([0.25, 0.75], (30, 1)))
    first = project.queue.next_cards("Ann", 15)
    newer = project.models.record(ModelRecord(1, "m1", 2, 1.0, (0, 1)))
    project.predictions.replace(newer, ids, [0, 1], np.tile([0.875, 0.125], (30, 1)))
    cards = project.queue.next_cards("Ann", 30)
    assert cards[:15] == first
    for card in cards:
        assert card.hidden_suggestion == hides_suggestion([card.image_id])[0]
        if card.hidden_suggestion:
            assert card.suggestion is None
            continue
        expected = (1, 0.75, number) if card in first else (0, 0.875, newer)
        assert card.suggestion is not None
        found = card.suggestion
        assert (found.class_id, found.probability, found.model_number) == expected
    change_settings(project, suggestions_on=False)
    assert {card.suggestion for card in project.queue.next_cards("Ann", 30)} == {None}


def test_the_estimate_set_is_mixed_in_evenly_and_never_part_of_the_queue(make_project: MakeProject) -> None:
    project = make_project(100, budget=100, estimate_share=0.2)
    measuring = set(project.estimate.image_ids().tolist())
    assert len(measuring) == 20
    queue_images(project, list(range(100)))
    purposes = []
    for _ in range(25):
        for card in project.queue.next_cards("Ann", 4):
            assert (card.purpose == "estimate") == (card.image_id in measuring)
            assert not card.hidden_suggestion or card.suggestion is None
            project.annotations.append(answer_event(card.image_id, card.image_id % 2))
            purposes.append(card.purpose)
    assert Counter(purposes) == {"estimate": 20, "query": 80}
    for start in range(0, 100, 10):
        assert purposes[start : start + 10].count("estimate") == 2
    used = {label.image_id: label.use for label in project.labels.all()}
    assert {image_id for image_id, use in used.items() if use == "estimate"} == measuring
    counts = project.labels.counts()
    assert (counts.labelled, counts.for_training, counts.for_estimate) == (100, 80, 20)


def claims(count: int, first: int) -> list[Assignment]:
    return [
        Assignment(first + number, "random", Provenance(None, BY_CHANCE, None), "") for number in range(count)
    ]


@examples(st.integers(0, 20), st.integers(0, 60), st.sampled_from([0.0, 0.1, 0.2, 0.5]))
def test_mixing_keeps_both_orders_and_the_share(measuring: int, training: int, share: float) -> None:
    mixed = mix(claims(measuring, 1000), claims(training, 0), 0, 0, share)
    ids = [claim.image_id for claim in mixed]
    assert [one for one in ids if one >= 1000] == list(range(1000, 1000 + measuring))
    assert [one for one in ids if one < 1000] == list(range(training))
    seen = 0
    for place, one in enumerate(ids, 1):
        seen += one >= 1000
        if seen < measuring and place - seen < training:  # while there are both
            assert abs(seen - share * place) <= 1


@pytest.mark.sqlite
def test_many_images_cost_no_more_than_few(
    connections: list[sqlite3.Connection], make_project: MakeProject
) -> None:
    """Counted in steps of SQLite's machine: nothing is looked through from end to end."""
    project = make_project(30)
    few = steps(project, connections[:2], "few")
    with project_database(project) as database, database.transaction() as connection:
        connection.executemany(
            """INSERT INTO images (id, name, status, file_size, file_time, shuffle, sha256, likeness, open)
            VALUES (?, ?, 'ready', 0, 0, ?, ?, 0, 1)""",
            [(number, b"%d" % number, number % 97 / 97, f"{number:x}") for number in range(1000, 21000)],
        )
    with project_database(project) as database, database.transaction() as connection:
        connection.execute("ANALYZE")
    many = steps(project, connections[:2], "many")
    assert many < 2 * few


def steps(project: Project, connections: Sequence[sqlite3.Connection], label: str) -> int:
    """Hundreds of instructions for cards, an answer and what a page shows of it."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    for connection in connections:
        connection.set_progress_handler(tick, 20)
    for number in range(5):
        card = project.queue.next_cards("Ann", 3)[0]
        project.annotations.append(answer_event(card.image_id, 0, key=f"{label}{number}"))
    (
        project.labels.counts(),
        project.queue.remaining(),
        project.changes(),
        project.annotations.undoable("Ann", count=5),
    )
    for connection in connections:
        connection.set_progress_handler(None, 0)
    return count


def test_a_tab_gives_back_what_it_held_when_there_is_a_newer_query(project: Project) -> None:
    ids = [int(each) for each in project.images.labelable_ids()]
    first = project.queue.next_cards("Ann", 4)
    kept = first[0].image_id
    free = [image for image in ids if image not in {card.image_id for card in first}]
    query = np.array(free[:3], dtype=np.int64)
    project.queue.replace(0, query, np.ones(3), ["", "", ""], "margin", np.empty(0, np.int64))
    stale = project.queue.next_cards("Ann", 3, [kept])
    assert {card.image_id for card in stale} <= {card.image_id for card in first}
    fresh = project.queue.next_cards("Ann", 3, [kept], fresh=True)
    assert [card.image_id for card in fresh if card.purpose == "query"] == free[:3][: len(fresh)]
    others = {card.image_id for card in project.queue.next_cards("Bob", 20)}
    assert kept not in others, "what is on the page stays leased"
    assert {card.image_id for card in first[1:]} <= others


def test_the_estimate_set_comes_first_while_images_are_read_and_nothing_is_queried(
    make_project: MakeProject,
) -> None:
    project = make_project(budget=20, estimate_share=0.3)
    project.models.set_training_state(TrainingState("reading"))
    size = int(project.estimate.image_ids().size)
    cards = project.queue.next_cards("Ann", size + 2)
    assert [card.purpose for card in cards] == ["estimate"] * size + ["random"] * 2


def test_the_estimate_set_is_mixed_in_once_something_is_queried(make_project: MakeProject) -> None:
    project = make_project(budget=20, estimate_share=0.3)
    project.models.set_training_state(TrainingState("reading"))
    in_set = set(project.estimate.image_ids().tolist())
    query = np.array([each for each in project.images.labelable_ids() if each not in in_set][:4])
    project.queue.replace(0, query, np.ones(4), [""] * 4, "margin", np.empty(0, np.int64))
    purposes = [card.purpose for card in project.queue.next_cards("Ann", 4)]
    assert purposes.count("query") >= 2
