"""Changes of the wall clock change neither the order of answers nor leases."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from aral.annotation import Project
from aral.testing import answer_event
from tests.annotation.conftest import label_map

DAY = 86_400.0
END_OF_SUMMER = 1_792_890_000.0
"""2026-10-25 01:00 UTC, when clocks in Berlin go from 03:00 back to 02:00."""


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("later", [-DAY, -3600.0, 0.0, 10 * DAY])
def test_the_last_answer_counts_whatever_the_clock_says(
    project: Project, monkeypatch: pytest.MonkeyPatch, later: float
) -> None:
    now = time.time()
    project.annotations.append(answer_event(3, 0))
    monkeypatch.setattr(time, "time", lambda: now + later)
    project.annotations.append(answer_event(3, 1))
    project.annotations.append(answer_event(4, 0))
    assert label_map(project) == {3: 1, 4: 0}
    assert [one.image_id for one in project.annotations.undoable("Ann")] == [4, 3, 3]
    project.annotations.append(answer_event(3, "undo"))
    assert label_map(project) == {3: 0, 4: 0}
    with Project.open(project.folder) as again:
        assert [one.seq for one in again.annotations.history("Ann")] == [3, 2, 1]
        assert label_map(again) == {3: 0, 4: 0}


@pytest.mark.usefixtures("in_berlin")
def test_the_end_of_summer_time_moves_neither_order_nor_leases(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five minutes before and after, local times are the same, and stored ones go on."""
    monkeypatch.setattr(time, "time", lambda: END_OF_SUMMER - 300)
    leased = [card.image_id for card in project.queue.next_cards("Ann", 30)]
    project.annotations.append(answer_event(leased[0], 0))
    monkeypatch.setattr(time, "time", lambda: END_OF_SUMMER + 200)
    assert project.queue.next_cards("Bob", 1) == [], "eight minutes: the lease holds"
    project.annotations.append(answer_event(leased[0], 1))
    assert label_map(project) == {leased[0]: 1}
    monkeypatch.setattr(time, "time", lambda: END_OF_SUMMER + 301)
    assert len(project.queue.next_cards("Bob", 1)) == 1, "ten minutes: it has ended"
    stamps = [one.answered_at for one in project.annotations.history("Ann")]
    assert all(stamp.endswith("+00:00") for stamp in stamps) and stamps == sorted(stamps, reverse=True)
