"""No answer is lost or doubled: servers that stop, replies that get lost, tabs that close, two tabs."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, Route

from aral.annotation import AnswerEvent, Project
from tests.web.browser.conftest import Server, observed, press, recorded, settle, shown, until


def test_a_server_that_stops_and_starts_again(page: Page, project: Project, server: Server) -> None:
    for key in "12":
        press(page, key)
    settle(page)
    server.stop()
    for key in "3u1x2":
        press(page, key)
    page.wait_for_selector("#unsaved:has-text('5 not yet saved')")
    assert len(recorded(project)) == 2
    server.start()
    settle(page)
    press(page, "3")
    settle(page)
    assert recorded(project) == observed(page)
    assert len(recorded(project)) == 8
    assert len(project.annotations.history("Ann", count=100)) == 8


def test_a_reply_that_gets_lost(page: Page, project: Project) -> None:
    lost = []

    def lose(route: Route) -> None:
        if len(lost) < 2:
            lost.append(route.fetch())  # the server has saved it, the page does not hear of it
            route.abort()
        else:
            route.continue_()

    page.route("**/api/answers", lose)
    for key in "123":
        press(page, key)
    settle(page)
    assert len(lost) == 2
    assert recorded(project) == observed(page)
    assert len(project.annotations.history("Ann", count=100)) == 3


def test_a_tab_that_closes_before_its_answers_are_saved(
    opens: Callable[..., Page], project: Project, server: Server
) -> None:
    page = opens()
    server.stop()
    for key in "12":
        press(page, key)
    seen = observed(page)
    page.close()
    assert recorded(project) == []
    server.start()
    again = opens()
    settle(again)
    assert recorded(project) == seen
    assert shown(again) not in [image for image, _ in seen]


def test_undo_while_the_server_is_away(page: Page, project: Project, server: Server) -> None:
    first = press(page, "1")
    settle(page)
    server.stop()
    second = press(page, "2")
    for image in (second, first):
        page.keyboard.press("Backspace")
        page.wait_for_selector(f"#stage[data-shown='{image}']")
    press(page, "3")
    server.start()
    settle(page)
    assert recorded(project) == [(first, 2)]
    assert [each.cancelled for each in project.annotations.history("Ann")] == [False, True, True]


def test_two_tabs_of_one_annotator(opens: Callable[..., Page], project: Project) -> None:
    left, right = opens(), opens()
    images = [press(tab, key) for key in "1231" for tab in (left, right)]
    settle(left)
    settle(right)
    assert len(set(images)) == 8
    assert sorted(recorded(project), key=str) == sorted(observed(left) + observed(right), key=str)


def test_a_refused_answer_is_reported_and_does_not_block(page: Page, project: Project) -> None:
    first = press(page, "1")
    settle(page)
    project.annotations.append(AnswerEvent("another tab has undone it", first, "Ann", "undo"))
    page.keyboard.press("Backspace")  # there is nothing left to take back
    page.wait_for_selector("#alert:has-text('refused')")
    press(page, "2")
    settle(page)
    assert recorded(project) == [(first, 1)]


def test_a_server_that_cannot_save_is_shown(page: Page, project: Project) -> None:
    page.route(
        "**/api/answers",
        lambda route: route.fulfill(
            status=503, json={"problem": "The disk is full.", "hint": "Free some space."}
        ),
    )
    press(page, "1")
    page.wait_for_selector("#unsaved.stuck")
    assert page.get_attribute("#unsaved", "title") == "The disk is full."
    page.unroute("**/api/answers")
    settle(page)
    assert len(recorded(project)) == 1


def test_a_browser_that_is_no_longer_known(page: Page, project: Project) -> None:
    page.context.clear_cookies()
    press(page, "1")
    page.wait_for_selector("#alert:has-text('aral label')")
    assert page.inner_text("#unsaved") == "1 not yet saved"
    assert recorded(project) == []


def test_a_class_that_is_renamed_or_merged_meanwhile(page: Page, project: Project) -> None:
    image = press(page, "1")
    project.classes.rename(0, "lion", "Bob")
    until(page, "document.querySelector('.class-name').textContent === 'lion'")
    project.classes.merge(0, 1, "Bob")
    until(page, "document.querySelectorAll('.class-button').length === 2")
    settle(page)
    assert [(label.image_id, label.class_id) for label in project.labels.all()] == [(image, 1)]


def test_an_answer_that_cannot_be_read_keeps_no_other_back(page: Page, project: Project) -> None:
    image = shown(page)
    page.evaluate(
        """async () => {
          const { key } = await (await fetch("/api/project")).json();
          localStorage.setItem(`aral:${key}:answer:${"1".padStart(20, "0")}:broken-key`,
            JSON.stringify({ key: "broken-key", image_id: -5, annotator: "Ann", action: "dance" }));
        }"""
    )
    press(page, "1")
    settle(page)
    assert recorded(project) == [(image, 0)]
    assert "set aside" in page.inner_text("#alert")
    kept = page.evaluate(
        "() => Object.keys(localStorage).filter((name) => name.includes(':rejected:')).length"
    )
    assert kept == 1


def test_undoing_a_correction_shows_the_earlier_answer(page: Page, project: Project) -> None:
    image = press(page, "1")
    settle(page)
    page.keyboard.press("ArrowLeft")
    until(page, f"document.getElementById('stage').dataset.shown === '{image}'")
    page.keyboard.press("2")
    settle(page)
    page.keyboard.press("Backspace")
    until(page, f"document.getElementById('stage').dataset.shown === '{image}'")
    settle(page)
    page.wait_for_selector("#chip:not([hidden])", timeout=3000)  # hidden, it would still hold its last text
    assert page.inner_text("#chip") == "Answer: cat"
    assert page.get_attribute("#class-buttons button >> nth=0", "aria-pressed") == "true"
    assert recorded(project) == [(image, 0)]
