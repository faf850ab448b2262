"""Leases of images that a page shows are renewed, with few writes."""

from __future__ import annotations

import time

import pytest

from aral.annotation import Project
from aral.annotation.database import ProjectDatabase
from aral.testing import answer_event, project_database


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wall clock, which a test may set."""
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def cards_of(project: Project, name: str, count: int, tab: str = "") -> list[int]:
    return [card.image_id for card in project.queue.next_cards(name, count, tab=tab)]


def tiles_of(project: Project, name: str, count: int = 64, tab: str = "") -> list[int]:
    return [cell.image_id for cell in project.grid.unlabelled_page(name, count=count, tab=tab).cells]


def commits(database: ProjectDatabase) -> int:
    """A number that the commits of other connections change."""
    return int(database.row("PRAGMA data_version")[0])


def test_cards_and_tiles_of_an_open_page_stay_with_it(project: Project, wall: list[float]) -> None:
    cards, tiles = cards_of(project, "Ann", 5, "left"), tiles_of(project, "Ann", 10, "left")
    for _ in range(4):  # twenty minutes, in which no other card was asked for
        wall[0] += 300
        project.queue.renew_leases("Ann", cards, tiles, "left")
    others = cards_of(project, "Bob", 30)
    assert not set(others) & {*cards, *tiles}
    assert len(others) == 30 - len({*cards, *tiles})
    assert cards_of(project, "Ann", 5, "left") == cards
    wall[0] += 601  # the page is closed
    assert len(cards_of(project, "Cyd", 30)) == 30


def test_an_ended_lease_is_renewed_unless_others_have_the_image(project: Project, wall: list[float]) -> None:
    cards, tiles = cards_of(project, "Ann", 10), tiles_of(project, "Ann")
    wall[0] += 601  # a machine that slept
    taken = cards_of(project, "Bob", 12)
    project.queue.renew_leases("Ann", cards, tiles)
    assert cards_of(project, "Cyd", 30) == []
    assert cards_of(project, "Bob", 12) == taken


def test_a_grid_that_was_left_holds_nothing(project: Project) -> None:
    cards, tiles = cards_of(project, "Ann", 5), tiles_of(project, "Ann")
    project.queue.renew_leases("Ann", cards)
    assert cards_of(project, "Bob", 30) == []
    project.queue.renew_leases("Ann", cards, [])
    assert set(cards_of(project, "Bob", 30)) == set(tiles) - set(cards)
    assert cards_of(project, "Ann", 5) == cards


def test_what_was_answered_is_not_taken_again(project: Project, wall: list[float]) -> None:
    cards = cards_of(project, "Ann", 3)
    project.annotations.append(answer_event(cards[0], 0))
    project.annotations.append(answer_event(cards[1], "skip"))
    project.queue.renew_leases("Ann", cards)  # sent before the page knew
    assert cards_of(project, "Bob", 30)[-1] != cards[2] and cards[1] in cards_of(project, "Bob", 30)
    assert cards_of(project, "Ann", 1) == cards[2:]


@pytest.mark.sqlite
def test_it_writes_once_a_minute_at_most(project: Project, wall: list[float]) -> None:
    with project_database(project) as database:
        cards, tiles = cards_of(project, "Ann", 5), tiles_of(project, "Ann", 10)
        changes, before = project.changes(), commits(database)
        for _ in range(29):
            wall[0] += 2
            project.queue.renew_leases("Ann", cards, tiles)
        project.queue.renew_leases("Nobody yet", cards, tiles)
        assert commits(database) == before
        wall[0] += 4
        project.queue.renew_leases("Ann", cards, tiles)
        assert commits(database) != before
        assert project.changes() == changes and len(project.annotators.all()) == 1
