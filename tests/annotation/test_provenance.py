"""The provenance of an answer stays with it: over rounds, corrections, restarts and layouts of the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aral.annotation import BROWSING, BY_CHANCE, ESTIMATE_SET, Project, Provenance
from aral.annotation.database import FILE_NAME
from aral.annotation.layout import MIGRATIONS
from aral.errors import BadInput
from aral.loop.database import migrate, schema_version
from aral.testing import answer_event
from tests.annotation.conftest import NO_IDS, MakeProject, change_settings, set_wall

BROWSED = Provenance(None, BROWSING, None)


def ask_for(
    project: Project,
    round_number: int,
    scores: dict[int, float],
    reserve: dict[int, float] | None = None,
    acquisition: str = "margin",
) -> None:
    """Queue images by their scores, and a reserve that has some too."""
    reserve = reserve or {}
    project.queue.replace(
        round_number,
        np.array(list(scores), dtype=np.int64),
        np.array(list(scores.values()), dtype=np.float64),
        [f"because {image_id}" for image_id in scores],
        acquisition,
        np.array(list(reserve), dtype=np.int64),
        np.array(list(reserve.values()), dtype=np.float64),
    )


def answer_all(project: Project, count: int, annotator: str = "Ann") -> None:
    for card in project.queue.next_cards(annotator, count):
        project.annotations.append(answer_event(card.image_id, 0, annotator))


def test_answers_to_cards_have_their_provenance(make_project: MakeProject) -> None:
    project = make_project(60, estimate_share=0.2)
    measuring = set(project.estimate.image_ids().tolist())
    first, second, third, *others = [each for each in range(60) if each not in measuring]
    ask_for(project, 4, {first: 0.75, second: -2.5}, {third: 0.0, first: 9.0})
    answer_all(project, 60)
    asked = project.labels.provenance()
    assert len(asked) == 60
    assert asked[first] == Provenance(4, "margin", 0.75)
    assert asked[second] == Provenance(4, "margin", -2.5)
    assert asked[third] == Provenance(4, "margin", 0.0)
    assert {asked[each] for each in measuring} == {Provenance(None, ESTIMATE_SET, None)}
    assert {asked[each] for each in others} == {Provenance(None, BY_CHANCE, None)}


def test_a_reserve_without_scores_has_none(project: Project) -> None:
    project.queue.replace(0, np.array([5]), np.array([1.0]), [""], "margin", np.array([6, 6, 5]))
    answer_all(project, 2)
    assert project.labels.provenance() == {5: Provenance(0, "margin", 1.0), 6: Provenance(0, "margin", None)}
    with pytest.raises(BadInput, match="finite"):
        project.queue.replace(1, NO_IDS, np.empty(0), [], "margin", np.array([7]), np.array([float("inf")]))


def test_an_answer_from_the_grid_has_the_provenance_browsing(project: Project) -> None:
    ask_for(project, 0, {5: 1.0, 6: 0.5})
    project.queue.next_cards("Ann", 1)
    project.annotations.append_many(
        [replace(answer_event(5, 0), provenance=BROWSED), replace(answer_event(20, 0), provenance=BROWSED)]
    )
    project.annotations.append(answer_event(6, 0))
    assert project.labels.provenance() == {5: BROWSED, 20: BROWSED, 6: Provenance(0, "margin", 0.5)}


def test_a_correction_keeps_the_provenance(project: Project) -> None:
    ask_for(project, 0, {5: 1.0})
    answer_all(project, 1)
    ask_for(project, 1, {9: 1.0, 5: 0.25})
    project.annotations.append_many([answer_event(5, "undo"), answer_event(5, 1)])
    project.annotations.append(replace(answer_event(5, 0), provenance=BROWSED))
    assert project.labels.provenance() == {5: Provenance(0, "margin", 1.0)}
    assert [label.class_id for label in project.labels.all()] == [0]


def test_a_skipped_image_keeps_the_provenance(project: Project) -> None:
    ask_for(project, 0, {5: 1.0})
    project.annotations.append(answer_event(5, "skip"))
    ask_for(project, 1, {9: 1.0})
    cards = project.queue.next_cards("Ann", 30)
    assert (cards[-1].image_id, cards[-1].round, cards[-1].reason) == (5, 0, "because 5")
    project.annotations.append(answer_event(5, 1))
    assert project.labels.provenance()[5] == Provenance(0, "margin", 1.0)


def test_a_decisive_answer_counts_before_a_skip(project: Project) -> None:
    ask_for(project, 0, {5: 1.0})
    answer_all(project, 1)
    project.annotations.append_many([answer_event(5, "undo"), answer_event(5, "skip")])
    ask_for(project, 1, {5: 0.5}, acquisition="entropy")
    answer_all(project, 1, "Bob")
    assert project.labels.provenance() == {5: Provenance(1, "entropy", 0.5)}
    project.annotations.append(answer_event(5, "undo", "Bob"))
    assert project.labels.provenance() == {5: Provenance(0, "margin", 1.0)}


def test_the_newest_round_and_the_first_annotator_count(project: Project) -> None:
    change_settings(project, overlap=2)
    ask_for(project, 0, {5: 1.0})
    ask_for(project, 1, {5: 0.5})
    project.annotations.append(answer_event(5, 0))
    ask_for(project, 2, {5: 0.25})
    answer_all(project, 1, "Bob")
    assert project.labels.counts().labelled == 1
    assert project.labels.provenance() == {5: Provenance(1, "margin", 0.5)}


def test_a_new_round_takes_over_but_for_what_is_on_a_page(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_wall(monkeypatch, 1000.0)
    ask_for(project, 0, {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6})
    assert [card.image_id for card in project.queue.next_cards("Ann", 2)] == [1, 2]
    assert [card.image_id for card in project.queue.next_cards("Bob", 1)] == [3]
    ask_for(project, 1, {9: 0.4, 8: 0.3}, acquisition="entropy")
    assert project.queue.remaining() == 2
    cards = {card.image_id: card for card in project.queue.next_cards("Cyd", 27)}
    assert list(cards)[:2] == [9, 8] and not {1, 2, 3} & cards.keys()
    assert (cards[9].purpose, cards[9].round) == ("query", 1)
    assert (cards[4].purpose, cards[4].round) == ("random", None), "it was not leased, so it left the queue"
    # A page loaded again goes on with what it had, and its answers are those of the old round.
    assert [(card.image_id, card.round) for card in project.queue.next_cards("Ann", 3)] == [(1, 0), (2, 0)]
    project.annotations.append(answer_event(1, 1, "Ann"))
    set_wall(monkeypatch, 1000.0 + 700)
    assert 3 in {card.image_id for card in project.queue.next_cards("Dan", 30)}, "Bob's lease is over"
    project.annotations.append_many(
        [answer_event(3, 0, "Bob"), answer_event(9, 1, "Cyd")]
    )  # both too late for their leases
    assert {label.image_id: label.class_id for label in project.labels.all()} == {1: 1, 3: 0, 9: 1}
    assert project.labels.provenance() == {
        1: Provenance(0, "margin", 0.9),
        3: Provenance(0, "margin", 0.7),
        9: Provenance(1, "entropy", 0.4),
    }


def test_a_page_that_slept_gets_its_images_back_with_their_provenance(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_wall(monkeypatch, 1000.0)
    ask_for(project, 0, {1: 0.9})
    project.queue.next_cards("Ann", 1)
    ask_for(project, 1, {9: 0.4})
    set_wall(monkeypatch, 1700.0)
    project.queue.next_cards("Ann", 1, holding=[1])
    project.annotations.append(answer_event(1, 1))
    assert project.labels.provenance()[1] == Provenance(0, "margin", 0.9)


def test_it_survives_a_restart(project: Project) -> None:
    ask_for(project, 0, {5: 1.0, 6: 0.5})
    project.queue.next_cards("Ann", 1)
    project.close()
    with Project.open(project.photos) as again:
        answer_all(again, 2)
        assert again.labels.provenance() == {5: Provenance(0, "margin", 1.0), 6: Provenance(0, "margin", 0.5)}
    with Project.open(project.photos) as again:
        assert again.labels.provenance()[5] == Provenance(0, "margin", 1.0)


def columns(connection: sqlite3.Connection, schema: str, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA {schema}.table_info({table})")]


def as_first_layout(path: Path) -> None:
    """Write a project's file again as the first layout has it: what that does not know is left out."""
    newest = path.rename(path.with_suffix(".newest"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:1])
        connection.execute("ATTACH ? AS newest", (str(newest),))
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            )
        ]
        for table in tables:
            names = ", ".join(columns(connection, "main", table))
            connection.execute(f"INSERT OR REPLACE INTO {table} ({names}) SELECT {names} FROM newest.{table}")
    newest.unlink()


@pytest.fixture
def old(make_project: MakeProject) -> Iterator[Path]:
    """The photos of a project as the first layout kept it: a skip, a label of each kind, a card on a page."""
    project = make_project(60, estimate_share=0.2)
    measuring = int(project.estimate.image_ids()[0])
    ids = [each for each in range(60) if each not in project.estimate.image_ids()]
    ask_for(project, 2, dict(zip(ids[:5], (0.9, 0.8, 0.7, 0.6, 0.5), strict=True)))
    project.annotations.append_many(
        [answer_event(ids[0], 1), answer_event(measuring, 0), answer_event(ids[1], "skip")]
    )
    while ids[2] not in [card.image_id for card in project.queue.next_cards("Ann", 1)]:
        answer_all(project, 1)
    project.close()
    as_first_layout(project.folder / FILE_NAME)
    yield project.photos


@pytest.mark.sqlite
def test_a_project_of_the_first_layout_can_be_continued(old: Path) -> None:
    file = old / ".aral" / FILE_NAME
    with closing(sqlite3.connect(file)) as connection:
        assert schema_version(connection) == 1 and "strategy" not in columns(connection, "main", "answers")
    with Project.open(old) as project:
        measuring = set(project.estimate.image_ids().tolist())
        ids = [each for each in range(60) if each not in measuring]
        before = project.labels.provenance()
        assert before[ids[0]] == Provenance(2, "", None), "what asked was not noted then"
        assert {before[each] for each in measuring & before.keys()} == {Provenance(None, ESTIMATE_SET, None)}
        assert len(project.labels.all()) == len(before) - 1
        # What waits in the queue says it from now on, the card that was on a page as far as it is known.
        project.annotations.append_many([answer_event(ids[2], 0), answer_event(ids[3], 0)])
        asked = project.labels.provenance()
        assert (asked[ids[2]].round, asked[ids[3]]) == (2, Provenance(2, "margin", 0.6))
        answer_all(project, 60)
        assert project.labels.provenance()[ids[4]] == Provenance(2, "margin", 0.5)
        assert {label.image_id for label in project.labels.all()} == set(range(60))
    with closing(sqlite3.connect(file)) as connection:
        assert schema_version(connection) == len(MIGRATIONS)
    assert file.with_name(f"{FILE_NAME}.v1.backup").is_file(), "as it was before"
