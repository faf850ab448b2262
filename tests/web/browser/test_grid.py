"""Many images, one key."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from aral.annotation import AnswerEvent, Project
from aral.testing import project_database, project_rows
from aral.web import grid
from tests.web.browser.conftest import recorded, settle, until
from tests.web.conftest import record_model


def tiles(page: Page) -> list[str]:
    """Names of the images in the order of the grid."""
    page.wait_for_selector(".tile")
    return [str(tile.get_attribute("title")) for tile in page.query_selector_all(".tile")]


def images(project: Project, names: list[str]) -> list[int]:
    known = {project.images.get(int(image)).name: int(image) for image in project.images.labelable_ids()}
    return [known[name] for name in names]


def test_a_range_and_one_key(opens: Callable[..., Page], project: Project) -> None:
    record_model(project)
    page = opens("grid")
    names = tiles(page)
    page.click(".tile >> nth=1")
    page.click(".tile >> nth=4", modifiers=["Shift"])
    page.click(".tile >> nth=3")
    assert page.inner_text(".grid-bar [role=status]") == "3 selected"
    page.keyboard.press("2")
    settle(page)
    assert recorded(project) == [(image, 1) for image in images(project, [names[1], names[2], names[4]])]
    assert {asked.strategy for asked in project.labels.provenance().values()} == {"browsing"}
    assert page.inner_text(".tile >> nth=1 >> .tile-words") == "dog"
    page.keyboard.press("Backspace")
    until(page, "document.querySelectorAll('.tile.answered').length === 0")
    settle(page)
    assert recorded(project) == []


def test_the_keyboard_alone(opens: Callable[..., Page], project: Project) -> None:
    page = opens("grid")  # without a model: what has no answer yet
    names = tiles(page)
    page.focus(".tile")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert page.inner_text(".grid-bar [role=status]") == "3 selected"
    page.keyboard.press("x")
    settle(page)
    assert recorded(project) == [
        (image, "bad image") for image in images(project, [names[0], names[2], names[3]])
    ]
    page.keyboard.press("Control+a")
    page.keyboard.press("3")
    settle(page)
    assert len(recorded(project)) == len(names)
    assert page.query_selector(".tile:not(.answered)") is None


def test_everything_as_predicted(opens: Callable[..., Page], project: Project) -> None:
    record_model(project)
    page = opens("grid")
    page.wait_for_selector(".tile")
    first = page.query_selector(".grid-body section")
    assert first is not None
    count = len(first.query_selector_all(".tile"))
    page.click(".grid-body section >> nth=0 >> text=Select these")
    page.keyboard.press("Enter")
    settle(page)
    assert len(recorded(project)) == count
    assert {(image % 3, answer) for image, answer in recorded(project)} == {(0, 0)}


def test_where_nothing_is_suggested_nothing_is_accepted(
    opens: Callable[..., Page], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_model(project)
    monkeypatch.setattr(project.images, "near_duplicates", lambda: ((0, 1, 2),))
    page = opens("grid")
    page.wait_for_selector(".tile")
    assert page.locator(".grid-class", has_text="As predicted").count() == 1
    page.click("text=Near-duplicates")
    until(page, "document.querySelectorAll('.tile').length === 3")
    assert page.locator(".grid-class", has_text="As predicted").count() == 0
    page.keyboard.press("Control+a")
    page.keyboard.press("Enter")
    page.wait_for_selector("#alert:not([hidden])")
    settle(page)
    assert recorded(project) == []
    page.keyboard.press("2")
    settle(page)
    assert recorded(project) == [(0, 1), (1, 1), (2, 1)]


def test_what_is_accepted_in_the_grid_was_shown(
    opens: Callable[..., Page], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[AnswerEvent] = []
    keep = project.annotations.append_many
    monkeypatch.setattr(
        project.annotations, "append_many", lambda events: sent.extend(events) or keep(events)
    )
    record_model(project)
    page = opens("grid")
    page.click(".tile >> nth=0")
    page.keyboard.press("Enter")
    page.click(".tile >> nth=1")
    page.keyboard.press("3")
    settle(page)
    assert [(each.accepted, each.suggestion_shown) for each in sent] == [(True, True), (False, True)]
    page.click("text=Not answered yet")
    page.wait_for_selector("h2:has-text('Not answered yet')")
    page.click(".tile >> nth=0")
    page.keyboard.press("3")
    settle(page)
    assert (sent[-1].accepted, sent[-1].suggestion_shown) == (False, False)


def test_images_answered_in_the_grid_are_not_shown_again(
    opens: Callable[..., Page], project: Project
) -> None:
    page = opens()
    page.keyboard.press("g")
    page.wait_for_selector(".tile")
    page.keyboard.press("Control+a")
    page.keyboard.press("1")
    settle(page)
    answered = {image for image, _ in recorded(project)}
    page.keyboard.press("g")
    page.wait_for_selector("#stage[data-shown]")
    for _ in range(3):
        image = int(page.get_attribute("#stage", "data-shown") or -1)
        assert image not in answered
        page.keyboard.press("2")
        page.wait_for_selector(f"#stage:not([data-shown='{image}'])[data-shown]")


def leases(project: Project) -> tuple[int, int, int]:
    """How many images are on cards, on tiles, and how many of both are about to end."""
    rows = project_rows(
        project,
        "SELECT tab LIKE 'grid of %', ends - (SELECT value FROM counters WHERE name = 'clock') < 300 FROM leases",
    )
    on_tiles = sum(is_tile for is_tile, _ in rows)
    return len(rows) - on_tiles, on_tiles, sum(ending for _, ending in rows)


def test_an_open_page_keeps_what_it_shows_until_the_view_is_left(
    opens: Callable[..., Page], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "PAGE_SIZE", 20)
    page = opens()
    page.keyboard.press("g")
    assert len(tiles(page)) == 20
    cards, shown, ending = leases(project)
    assert cards >= 9 and shown + cards >= 20 and ending == 0
    with project_database(project) as database, database.transaction() as connection:
        connection.execute("UPDATE leases SET ends = ends - 500")
    assert leases(project) == (cards, shown, cards + shown)
    with page.expect_response("**/api/status?*"):
        pass
    page.wait_for_timeout(100)
    assert leases(project) == (cards, shown, 0)
    with page.expect_response("**/api/status?*tiles=&*"):
        page.keyboard.press("g")
    page.wait_for_timeout(100)
    assert leases(project) == (cards, 0, 0)


def test_pages_follow_each_other(
    opens: Callable[..., Page], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "PAGE_SIZE", 12)
    record_model(project)
    page = opens("grid")
    first = tiles(page)
    page.click("text=Next page")
    until(page, f"document.querySelector('.tile').title !== {first[0]!r}")
    second = tiles(page)
    assert not set(first) & set(second)
    page.click("text=Previous page")
    until(page, f"document.querySelector('.tile').title === {first[0]!r}")
    assert tiles(page) == first
