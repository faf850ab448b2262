"""Many images, one key."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import Page

from aral.annotation import AnswerEvent, Project, TrainingState
from aral.testing import project_database, project_rows
from aral.web import grid
from tests.web.browser.conftest import recorded, settle, titles, until
from tests.web.conftest import record_model


def tiles(page: Page) -> list[str]:
    """Names of the images in the order of the grid."""
    page.wait_for_selector(".tile")
    return titles(page, ".tile")


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


def test_search_by_words(opens: Callable[..., Page], project: Project) -> None:
    page = opens("grid")
    tiles(page)
    assert not page.is_visible("input[type=search]"), "the representation has no text"
    project.searches.set_representation("hf:tiny")
    project.models.set_training_state(TrainingState("idle"))
    page.fill("input[type=search]", "a dog on grass 12")  # waits until it is visible
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Searching for “a dog on grass 12” …")
    ((number, words),) = project.searches.waiting()
    assert words == "a dog on grass 12" and recorded(project) == [], "letters and digits are no answers"
    project.searches.answer(number, np.array([30, 4, 55]), np.array([0.3, 0.9, 0.1], dtype=np.float32), 5)
    page.wait_for_selector("text=Images like “a dog on grass 12”. 5 images are not read yet")
    assert images(project, tiles(page)) == [4, 30, 55]
    assert page.inner_text("#grid-group-0") == "Most similar first · 3"
    page.click(".tile >> nth=0")
    page.keyboard.press("2")
    settle(page)
    assert recorded(project) == [(4, 1)]
    page.fill("input[type=search]", "another")
    page.click("text=Search >> visible=true")
    until(page, "document.querySelector('.grid-body') !== null")
    project.searches.refuse(_waiting(project), "The tokenizer is gone.")
    page.wait_for_selector("text=The tokenizer is gone.")
    page.click("text=Not answered yet >> nth=0")
    until(page, "document.querySelectorAll('.tile').length > 3")
    assert not page.is_visible("text=Images like")


def _waiting(project: Project) -> int:
    """The number of the search that the page has requested."""
    for _ in range(200):
        for number, _ in project.searches.waiting():
            return number
        time.sleep(0.05)
    raise AssertionError("no search was requested")


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
    count = page.locator(".grid-body section >> nth=0 >> .tile").count()
    assert count
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
    assert page.locator(".tile-probability").count() == 0
    page.keyboard.press("Control+a")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('notice').textContent.startsWith('There are no suggestions')")
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


def near_duplicates(opens: Callable[..., Page], project: Project, monkeypatch: pytest.MonkeyPatch) -> Page:
    """A page with one group of twelve near-duplicates, of which Ann has labelled three."""
    monkeypatch.setattr(project.images, "near_duplicates", lambda: (tuple(range(12)),))
    project.annotations.append_many(
        [AnswerEvent(f"earlier-{image}", image, "Ann", "class", image // 2) for image in range(3)]
    )
    page = opens("grid")
    page.click("text=Near-duplicates")
    until(page, "document.querySelectorAll('.tile').length === 12")
    page.click("text=Select these")
    page.keyboard.press("3")
    page.wait_for_selector("dialog")
    return page


def test_labels_are_counted_before_a_bulk_key_replaces_them(
    opens: Callable[..., Page], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = near_duplicates(opens, project, monkeypatch)
    assert page.inner_text("dialog h2") == "3 of 12 already have a label (2 cat, 1 dog)"
    assert page.evaluate("() => document.activeElement.textContent") == "Keep them"
    page.keyboard.press("Enter")
    until(page, "document.getElementById('notice').textContent.startsWith('9 images: bird. 3 images keep')")
    settle(page)
    assert dict(recorded(project)) == {0: 0, 1: 0, 2: 1, **dict.fromkeys(range(3, 12), 2)}


def test_labels_are_replaced_after_a_yes_and_undo_restores_them(
    opens: Callable[..., Page], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = near_duplicates(opens, project, monkeypatch)
    page.click("text=Replace them")
    settle(page)
    until(page, "document.getElementById('notice').textContent.startsWith('12 images: bird.')")
    settle(page)
    assert {answer for _, answer in recorded(project)[-12:]} == {2}
    page.keyboard.press("Backspace")
    until(page, "document.getElementById('notice').textContent.startsWith('Undone: bird for 12 images')")
    settle(page)
    assert dict(recorded(project)) == {0: 0, 1: 0, 2: 1}
    until(page, "document.querySelectorAll('.tile')[2].textContent === 'dog'")
    page.click("text=Select these")  # the labels that undo has restored are counted too
    page.keyboard.press("3")
    page.wait_for_selector("dialog h2:has-text('3 of 12')")


def test_a_closed_question_changes_nothing(
    opens: Callable[..., Page], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = near_duplicates(opens, project, monkeypatch)
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    settle(page)
    assert len(recorded(project)) == 3
    assert page.inner_text(".grid-bar [role=status]") == "12 selected"


def test_the_same_label_again_is_no_question_and_no_answer(
    opens: Callable[..., Page], project: Project
) -> None:
    page = opens("grid")
    page.click(".tile >> nth=0")
    page.keyboard.press("1")
    settle(page)
    page.click(".tile >> nth=0")
    page.click(".tile >> nth=1")
    page.keyboard.press("1")
    settle(page)
    assert page.query_selector("dialog") is None
    assert len(recorded(project)) == 2


def test_labels_given_meanwhile_are_kept_and_counted(opens: Callable[..., Page], project: Project) -> None:
    page = opens("grid")
    names = tiles(page)
    first, second, third = images(project, names[:3])
    project.annotations.append_many(
        [AnswerEvent(f"meanwhile-{image}", image, "Bob", "class", 1) for image in (first, second)]
    )
    page.keyboard.press("Control+a")
    page.keyboard.press("3")
    page.wait_for_selector("#alert:not([hidden])")
    assert page.inner_text("#alert").startswith("2 answers were refused")
    settle(page)
    saved = dict(recorded(project))
    assert saved[third] == 2 and not {first, second} & saved.keys()
    assert {label.class_id for label in project.labels.all() if label.image_id in (first, second)} == {1}
    page.keyboard.press("Backspace")  # what was refused is no step of undo
    until(page, f"document.getElementById('notice').textContent.includes('for {len(names) - 2} images')")


def test_the_probability_is_a_number_and_a_bar(opens: Callable[..., Page], project: Project) -> None:
    record_model(project)
    page = opens("grid")
    page.wait_for_selector(".tile")
    for tile in page.query_selector_all(".tile"):
        shown = tile.query_selector(".tile-probability")
        assert shown is not None
        number = int(shown.inner_text().removesuffix(" %"))
        assert 50 <= number <= 95
        share = shown.evaluate(
            "(each) => each.firstChild.getBoundingClientRect().width / each.getBoundingClientRect().width"
        )
        assert abs(share - number / 100) < 0.02
        assert f", {number} %" in str(tile.get_attribute("aria-label"))
    page.click("text=Not answered yet")
    page.wait_for_selector("h2:has-text('Not answered yet')")
    assert page.locator(".tile").count() and not page.locator(".tile-probability").count()


def test_arrows_follow_the_rows_on_screen(opens: Callable[..., Page], project: Project) -> None:
    page = opens("grid")
    page.set_viewport_size({"width": 360, "height": 640})
    page.focus(".tile")
    above = page.evaluate("() => document.activeElement.getBoundingClientRect().toJSON()")
    page.keyboard.press("ArrowDown")
    below = page.evaluate("() => document.activeElement.getBoundingClientRect().toJSON()")
    assert above["x"] == below["x"] and above["width"] >= 80
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_labels_beyond_a_spent_budget_are_said(opens: Callable[..., Page], project: Project) -> None:
    project.annotations.append(AnswerEvent("earlier-0", 0, "Ann", "class", 0))
    project.settings.set(replace(project.settings.get(), budget=1, estimate_share=0.0))
    page = opens("grid")
    until(page, "document.getElementById('notice').textContent.startsWith('The budget is spent')")
