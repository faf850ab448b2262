"""The labelling view: an answer is saved for the image that was on screen, and the next image is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import Page

from aral.annotation import AnswerEvent, Project
from aral.data.unreadable import Reason, Unreadable
from tests.web.browser.conftest import observed, press, recorded, settle, shown, until
from tests.web.conftest import record_model, suggest_zero_shot


def test_forty_images_by_keys(page: Page, project: Project) -> None:
    keys = ("123" * 4 + " u1x2n3") * 2
    expected = [press(page, key) for key in keys]
    settle(page)
    assert recorded(project) == observed(page)
    assert [image for image, _ in recorded(project)] == expected
    assert len(set(expected)) == len(keys) == 38
    counts = project.labels.counts()
    assert (counts.skipped, counts.unsure, counts.bad, counts.none) == (2, 2, 2, 2)


def test_presses_at_sixty_milliseconds(page: Page, project: Project) -> None:
    """On a machine under load the next image is sometimes drawn later: a key before it is no answer."""
    for number in range(400):
        page.keyboard.press("123"[number % 3])
        page.wait_for_timeout(60)
        if len({image for image, _ in observed(page)}) >= 40:
            break
    settle(page)
    first: dict[int, str | int] = {}
    for image, meaning in observed(page):
        first.setdefault(image, meaning)
    assert recorded(project) == list(first.items())
    assert len(first) == 40


def test_a_held_key_counts_once(page: Page, project: Project) -> None:
    first = shown(page)
    for _ in range(12):
        page.keyboard.down("2")  # from the second on an automatic repetition
        page.wait_for_timeout(30)
    page.keyboard.up("2")
    settle(page)
    assert recorded(project) == [(first, 1)]


def test_a_key_before_the_image_was_seen_is_no_answer(page: Page, project: Project) -> None:
    first = shown(page)
    page.evaluate(
        "for (let i = 0; i < 3; i += 1) "
        "document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '1', bubbles: true }))"
    )
    press(page, "3")
    settle(page)
    saved = recorded(project)
    assert saved[0] == (first, 0)
    assert [answer for _, answer in saved] == [0, 2]


def test_zero_shot_suggestions_are_marked_until_there_is_a_model(page: Page, project: Project) -> None:
    assert not page.is_visible("#suggestion")
    suggest_zero_shot(project)
    page.wait_for_selector("#suggestion:not([hidden])", timeout=10_000)
    # The image that was on screen stays as it was; further ones have their suggestion.
    for _ in range(8):
        if page.inner_text("#suggestion").startswith("Zero-shot suggestion"):
            break
        press(page, "1")
    assert page.inner_text("#suggestion").startswith("Zero-shot suggestion")
    image = shown(page)
    assert f"{('cat', 'dog', 'bird')[image % 3]} 60" in page.inner_text("#suggestion").replace("\n", " ")
    record_model(project)
    for _ in range(8):
        page.wait_for_timeout(150)
        press(page, "1")
        if page.inner_text("#suggestion").startswith("Suggestion"):
            break
    assert page.inner_text("#suggestion").startswith("Suggestion")


def test_at_least_six_images_are_loaded_ahead(page: Page) -> None:
    until(
        page,
        "performance.getEntriesByType('resource').filter((e) => e.name.includes('/thumbnail/')).length > 6",
    )


def test_undo_gives_the_image_back(page: Page, project: Project) -> None:
    images = [press(page, key) for key in "123"]
    page.keyboard.press("Backspace")
    page.wait_for_selector(f"#stage[data-shown='{images[2]}']")
    page.keyboard.press("Control+z")
    page.wait_for_selector(f"#stage[data-shown='{images[1]}']")
    assert press(page, "1") == images[1]
    assert press(page, "u") == images[2]
    settle(page)
    assert recorded(project) == [(images[0], 0), (images[1], 0), (images[2], "unsure")]


def test_undo_goes_as_far_back_as_the_server_knows(opens: Callable[..., Page], project: Project) -> None:
    project.annotations.append_many(
        [AnswerEvent(f"earlier-{image}", image, "Ann", "class", image % 3) for image in range(54)]
    )
    page = opens()
    for image in reversed(range(52)):
        page.keyboard.press("Backspace")
        page.wait_for_selector(f"#stage[data-shown='{image + 2}']")
    settle(page)
    assert [image for image, _ in recorded(project)] == [0, 1]
    for _ in range(3):
        page.keyboard.press("Backspace")
    until(page, "document.getElementById('notice').textContent.includes('nothing to undo')")
    settle(page)
    assert recorded(project) == []


def test_after_a_reload_the_same_image_is_there_and_undo_works(page: Page, project: Project) -> None:
    images = [press(page, key) for key in "12"]
    third = shown(page)
    settle(page)
    page.reload()
    assert shown(page) == third
    page.wait_for_selector("#trail li:nth-child(2)")
    page.keyboard.press("Backspace")
    page.wait_for_selector(f"#stage[data-shown='{images[1]}']")
    press(page, "3")
    settle(page)
    assert recorded(project) == [(images[0], 0), (images[1], 2)]


def test_arrows_browse_and_an_older_answer_can_be_changed(page: Page, project: Project) -> None:
    images = [press(page, key) for key in "111"]
    fourth = shown(page)
    for image in reversed(images):
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector(f"#stage[data-shown='{image}']")
    assert page.inner_text("#chip") == "Answer: cat"
    assert page.get_attribute(".class-button[aria-pressed='true'] .class-name", "class") == "class-name"
    press(page, "2")
    assert shown(page) == fourth
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f"#stage:not([data-shown='{fourth}'])[data-shown]")
    settle(page)
    assert dict(recorded(project)) == {
        images[0]: 1,
        images[1]: 0,
        images[2]: 0,
    }


def test_buttons_do_what_keys_do_and_leave_the_space_bar_alone(page: Page, project: Project) -> None:
    first = shown(page)
    page.click("#class-buttons button:nth-child(2)")
    page.wait_for_selector(f"#stage:not([data-shown='{first}'])[data-shown]")
    second = press(page, " ")  # skips; it must not press the button again
    settle(page)
    assert recorded(project) == [(first, 1), (second, "skip")]


def test_suggestions_are_accepted_hidden_and_withheld(opens: Callable[..., Page], project: Project) -> None:
    record_model(project)
    page = opens()
    page.wait_for_selector("#suggestion:not([hidden])")
    accepted = {}
    for _ in range(20):
        image = shown(page)
        if page.query_selector("#suggestion button"):
            press(page, "Enter")
            accepted[image] = image % 3
        else:
            page.keyboard.press("Enter")  # nothing to accept: the image stays
            page.wait_for_timeout(40)
            assert shown(page) == image
            press(page, " ")
    page.keyboard.press("h")
    until(page, "document.getElementById('suggestion').textContent === 'Suggestions are hidden.'")
    page.keyboard.press("h")
    settle(page)
    assert 0 < len(accepted) < 20
    saved = dict(recorded(project))
    assert {image: saved[image] for image in accepted} == accepted
    assert project.labels.anchoring().shown_equal == len(
        [image for image in accepted if not _measures(project, image)]
    )


def _measures(project: Project, image: int) -> bool:
    return image in project.estimate.image_ids()


def test_classes_can_be_found_by_name(opens: Callable[..., Page], project: Project) -> None:
    for number in range(40):
        project.classes.add(f"species {number:02d}", "Ann")
    page = opens()
    assert page.is_visible("#chooser input")
    first = shown(page)
    page.keyboard.press("/")
    page.keyboard.type("es 37")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#stage:not([data-shown='{first}'])[data-shown]")
    second = shown(page)
    page.keyboard.type("bi")  # the box keeps the focus
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#stage:not([data-shown='{second}'])[data-shown]")
    page.keyboard.press("Escape")
    third = press(page, "1")
    settle(page)
    names = {each.id: each.name for each in project.classes.all()}
    assert [(image, names[int(answer)]) for image, answer in recorded(project)] == [
        (first, "species 37"),
        (second, "bird"),
        (third, "cat"),
    ]


def test_answers_of_other_annotators_do_not_mix(page: Page, project: Project) -> None:
    first = press(page, "1")
    page.click("#annotator")
    page.fill("dialog input", "Bob")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('annotator').textContent === 'Bob'")
    second = press(page, "2")
    settle(page)
    assert recorded(project, "Ann") == [(first, 0)]
    assert recorded(project, "Bob") == [(second, 1)]
    assert first != second


def test_the_status_line_follows(page: Page) -> None:
    for key in "12":
        press(page, key)
    until(page, "document.getElementById('budget-text').textContent.startsWith('2 / 200')")


def test_the_files_left_out_are_listed_and_the_rest_counted(
    opens: Callable[..., Page], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out = tuple(Unreadable(f"{number:03d}.png", Reason.DAMAGED, "cut") for number in range(203))
    monkeypatch.setattr(project.images, "unreadable", lambda: left_out)
    page = opens("progress")
    page.click("text=List with reasons")
    assert page.locator(".files li").count() == 200
    card = page.inner_text(".card:has(.files)")
    assert (
        "Unreadable files · 203" in card and "3 more are not shown here." in card and "unreadable.csv" in card
    )


def test_a_spent_budget_says_so(opens: Callable[..., Page], project: Project) -> None:
    project.annotations.append_many(
        [AnswerEvent(f"first-{image}", image, "Ann", "class", 0) for image in range(3)]
    )
    project.settings.set(replace(project.settings.get(), budget=4))
    page = opens()
    until(page, "document.getElementById('pace').textContent.endsWith('for the budget')")
    press(page, "1")
    settle(page)
    until(page, "document.getElementById('pace').textContent.endsWith('the budget is spent')")


def test_an_accuracy_on_images_drawn_late_says_so(page: Page, project: Project) -> None:
    record_model(project)
    page.wait_for_selector("#estimate:has-text('on 10 images')")
    assert "late" not in page.inner_text("#estimate")
    record_model(project, late=3)
    page.wait_for_selector("#estimate:has-text('on 10 images, 3 of them added late: may be too high')")
    assert "drawn from those without an answer" in str(page.get_attribute("#estimate", "title"))


def notice(page: Page, text: str) -> None:
    """Wait for a message, and see that it is on screen and for screen readers."""
    until(page, f"document.getElementById('notice').textContent.trim() === {text!r}")
    assert page.is_visible("#notice")
    assert page.get_attribute("#notice", "aria-live") == "polite"


def test_undo_says_what_was_undone(page: Page, project: Project) -> None:
    name = project.images.get(press(page, "1")).name
    page.keyboard.press("Backspace")
    notice(page, f"Undone: cat for image {name}")
    page.keyboard.press("Backspace")
    notice(page, "There is nothing to undo.")
    press(page, "u")
    page.keyboard.press("Control+z")
    notice(page, f"Undone: unsure for image {name}")


def test_keys_without_a_meaning_say_so(page: Page, project: Project) -> None:
    page.keyboard.press("q")
    notice(page, "Key q has no class. Press ? for keys.")
    page.keyboard.press("7")
    notice(page, "Key 7 has no class. Press ? for keys.")
    page.keyboard.press("Enter")
    notice(page, "There is no suggestion to accept.")
    page.keyboard.press("ArrowLeft")
    notice(page, "This is the first image.")
    page.click("#tab-progress")
    page.wait_for_selector("#view-progress .card")
    page.keyboard.press("1")
    notice(page, "Key 1 does nothing in this view.")
    for key in ("Shift", "Tab", "F2", "Control+b", "Alt+q"):
        page.keyboard.press(key)
    assert page.inner_text("#notice").strip() == "Key 1 does nothing in this view."
    settle(page)
    assert recorded(project) == []


def test_keys_that_are_switched_off_say_nothing(page: Page, project: Project) -> None:
    project.settings.set(replace(project.settings.get(), shortcuts_on=False))
    page.reload()
    shown(page)
    page.keyboard.press("q")
    page.wait_for_timeout(100)
    assert page.inner_text("#notice") == ""


def test_a_newer_query_is_shown_after_the_next_two_images(page: Page, project: Project) -> None:
    first = shown(page)
    in_set = set(project.estimate.image_ids().tolist())
    leased = {image for image, _, _ in project.images.by_urgency()[:12]}
    free = [int(each) for each in project.images.labelable_ids() if each not in in_set | leased][:9]
    project.queue.replace(
        0, np.array(free), np.ones(len(free)), [""] * len(free), "margin", np.empty(0, np.int64)
    )
    page.wait_for_timeout(3000)  # the page asks every two seconds whether there is something new
    seen = [press(page, "1") for _ in range(8)]
    settle(page)
    assert seen[0] == first and recorded(project) == [(image, 0) for image in seen]
    assert set(seen[:3]) <= leased
    later = [image for image in seen[3:] if image not in in_set]
    assert later and set(later) <= set(free)
