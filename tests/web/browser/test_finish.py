"""What comes after the last label: the budget is spent, every image is answered, the estimate set lacks a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import Page, Route

from aral.annotation import AnswerEvent, Project, TrainingState
from tests.web.browser.conftest import press, recorded, settle, shown, until
from tests.web.conftest import record_model

CARD = "#finish:not([hidden])"


@pytest.fixture
def project(project: Project) -> Project:
    """A project with a budget of six labels, four of them given."""
    project.annotations.append_many(
        [AnswerEvent(f"first-{image}", image, "Ann", "class", image % 3) for image in range(4)]
    )
    project.settings.set(replace(project.settings.get(), budget=6, estimate_share=0.0))
    return project


def test_no_image_is_shown_once_the_budget_is_spent(page: Page, project: Project) -> None:
    press(page, "1")
    press(page, "2")
    page.wait_for_selector(CARD)
    assert page.inner_text("#finish h2") == "The budget is spent"
    assert "6 of 6 labels" in page.inner_text(CARD)
    assert page.query_selector("#frame img") is None and not page.is_visible("#class-buttons")
    assert page.evaluate("() => document.activeElement.id") == "finish-title"
    page.keyboard.press("1")
    until(page, "document.getElementById('notice').textContent.includes('The budget is spent')")
    settle(page)
    assert len(recorded(project)) == 6


def test_presses_in_quick_succession_do_not_exceed_the_budget(page: Page, project: Project) -> None:
    shown(page)
    for _ in range(8):
        page.keyboard.press("1")
        page.wait_for_timeout(40)
    page.wait_for_selector(CARD)
    settle(page)
    assert len(recorded(project)) == 6


def test_a_larger_budget_resumes(page: Page, project: Project) -> None:
    press(page, "1")
    press(page, "2")
    page.wait_for_selector(CARD)
    page.fill("#finish input", "2")
    page.click("text=Add and go on")
    page.wait_for_selector("#frame img")
    assert project.settings.get().budget == 8
    assert not page.is_visible("#finish")
    press(page, "1")
    press(page, "1")
    page.wait_for_selector(CARD)
    settle(page)
    assert len(recorded(project)) == 8
    project.settings.set(replace(project.settings.get(), budget=9))  # by another page
    page.wait_for_selector("#frame img")


def test_a_spent_budget_is_said_when_the_page_is_opened(opens: Callable[..., Page], project: Project) -> None:
    project.settings.set(replace(project.settings.get(), budget=4))
    page = opens("label")
    page.wait_for_selector(CARD)
    assert not page.evaluate(
        "() => performance.getEntriesByType('resource').some((e) => e.name.includes('size=stage'))"
    )


def test_undo_and_a_review_after_the_last_label(page: Page, project: Project) -> None:
    press(page, "1")
    last = press(page, "2")
    page.wait_for_selector(CARD)
    page.keyboard.press("Backspace")
    page.wait_for_selector(f"#stage[data-shown='{last}']")
    press(page, "3")
    page.wait_for_selector(CARD)
    page.click("text=Look through your answers")
    page.wait_for_selector(f"#stage[data-shown='{last}']")
    assert page.inner_text("#chip") == "Answer: bird"
    press(page, "1")  # a correction spends nothing
    page.wait_for_selector(CARD)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#frame img")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(CARD)
    settle(page)
    assert dict(recorded(project))[last] == 0
    assert project.labels.counts().labelled == 6


def test_an_image_that_undo_restores_stays_until_it_is_answered(page: Page, project: Project) -> None:
    """Not even the response to a status request from before the undo was saved removes it."""
    press(page, "1")
    last = press(page, "2")
    page.wait_for_selector(CARD)
    held: list[Route] = []
    page.route("**/api/status?*", lambda route: held.append(route))
    page.wait_for_timeout(2100)
    stale = [(route, route.fetch()) for route in held]
    assert stale
    page.keyboard.press("Backspace")
    page.wait_for_selector(f"#stage[data-shown='{last}']")
    settle(page)
    for route, response in stale:
        route.fulfill(response=response)
    page.wait_for_timeout(300)
    assert shown(page) == last
    page.unroute("**/api/status?*")
    press(page, "3")
    page.wait_for_selector(CARD)
    settle(page)
    assert dict(recorded(project))[last] == 2


def test_when_the_model_is_ready(opens: Callable[..., Page], project: Project) -> None:
    project.settings.set(replace(project.settings.get(), budget=4))
    page = opens("label")
    page.wait_for_selector(f"{CARD}:has-text('There is no model yet.')")
    record_model(project, seconds=600.0)
    project.models.set_training_state(TrainingState("training", 1, 0.25))
    page.wait_for_selector(f"{CARD}:has-text('ready in about 8 minutes')")
    assert "80 %" in page.inner_text(CARD)
    project.models.set_training_state(TrainingState("idle", 1))
    page.wait_for_selector(f"{CARD}:has-text('round 0. It has learned from all labels.')")
    assert "aral export" in page.inner_text("#finish code")


def test_second_opinions_come_before_the_end(opens: Callable[..., Page], project: Project) -> None:
    project.settings.set(replace(project.settings.get(), budget=4, overlap=2))
    project.annotations.append(AnswerEvent("bob-0", 50, "Bob", "class", 0))
    page = opens()  # Ann may still confirm Bob's label, and sees no other image
    assert press(page, "1") == 50
    page.wait_for_selector(CARD)


def test_every_image_answered(opens: Callable[..., Page], project: Project) -> None:
    project.settings.set(replace(project.settings.get(), budget=None))
    project.annotations.append_many(
        [
            AnswerEvent(f"more-{image}", int(image), "Ann", "class", 0)
            for image in project.images.labelable_ids()
        ]
    )
    page = opens("label")
    page.wait_for_selector(CARD)
    assert page.inner_text("#finish h2") == "Every image has an answer"
    assert page.query_selector("#finish input") is None


def test_a_class_without_an_image_in_the_estimate_set(opens: Callable[..., Page], project: Project) -> None:
    project.settings.set(replace(project.settings.get(), budget=40, estimate_size=3))
    project.annotations.append_many(
        [
            AnswerEvent(f"set-{image}", image, "Ann", "class", number % 2)
            for number, image in enumerate(project.estimate.image_ids().tolist())
        ]
    )
    page = opens()
    for view, place in (("label", "#missing-classes"), ("progress", "#view-progress .missing-classes")):
        page.evaluate("view => { location.hash = view; }", view)
        page.wait_for_selector(f"{place}:has-text('no image of bird')")
    page.click("#view-progress .missing-classes button")
    until(page, "document.getElementById('notice').textContent.startsWith('20 images were drawn')")
    assert project.estimate.image_ids().size == 23
    page.click("#tab-label")
    page.wait_for_selector(".missing-classes", state="detached")
