"""Classes, guidelines, keys, switches, zoom, doubts: what is behind the buttons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page

from aral.annotation import AnswerEvent, Project
from aral.testing import project_rows, save_noise
from tests.web.browser.conftest import press, recorded, settle, shown, until
from tests.web.conftest import record_model


def test_a_class_is_added_described_renamed_and_merged(page: Page, project: Project) -> None:
    page.click("#add-class")
    page.fill("dialog input", "fish")
    page.keyboard.press("Enter")
    page.wait_for_selector(".class-button:has-text('fish')")
    image = press(page, "4")
    page.click("#edit-classes")
    page.click("dialog summary:has-text('fish')")
    page.fill("dialog details[open] textarea", "Swims.")
    page.click("dialog details[open] >> text=Save guideline")
    page.wait_for_selector("#guide-body >> text=Swims.", state="attached")
    page.click("dialog summary:has-text('fish')")
    page.click("dialog details[open] >> text=Use the image on screen")
    page.wait_for_selector("#guide-body img", state="attached")
    page.click("dialog summary:has-text('fish')")
    page.fill("dialog details[open] input", "dog")
    page.click("dialog details[open] >> text=Rename")
    page.wait_for_selector("dialog details[open] .error:has-text('already')")
    page.select_option("dialog details[open] select", label="dog")
    page.click("dialog details[open] >> button:text-is('Merge')")
    page.click("dialog details[open] >> text=Yes, merge into dog")
    until(page, "document.querySelectorAll('#class-buttons button').length === 3")
    settle(page)
    assert [(label.image_id, label.class_id) for label in project.labels.all()] == [(image, 1)]


def test_keys_can_be_changed(page: Page, project: Project) -> None:
    page.click("#open-settings")
    page.click("dialog [aria-label^='Key for Unsure']")
    page.keyboard.press("q")
    page.click("dialog [aria-label^='Key for dog']")
    page.keyboard.press("u")
    page.click("text=Save settings")
    page.wait_for_selector("dialog", state="detached")
    until(page, "document.querySelector('#class-buttons button:nth-child(2) kbd').textContent === 'U'")
    first = shown(page)
    page.keyboard.press("u")
    page.wait_for_selector(f"#stage:not([data-shown='{first}'])[data-shown]")
    second = shown(page)
    page.keyboard.press("q")
    page.wait_for_selector(f"#stage:not([data-shown='{second}'])[data-shown]")
    settle(page)
    assert recorded(project) == [(first, 1), (second, "unsure")]


def test_how_much_near_duplicates_may_differ_is_a_setting(page: Page, project: Project) -> None:
    page.click("#open-settings")
    field = page.get_by_label("How much near-duplicates may differ, 0 to 8")
    assert field.input_value() == "2"
    field.fill("5")
    page.click("text=Save settings")
    page.wait_for_selector("dialog", state="detached")
    assert project.settings.get().near_duplicate_bits == 5


def test_the_keys_of_the_views_can_be_changed(page: Page, project: Project) -> None:
    page.keyboard.press("i")
    page.wait_for_selector("#guide[open]")
    page.click("#open-settings")
    for words, key in (("Progress", "m"), ("Guidelines", "y"), ("bird", "p")):
        page.click(f"dialog [aria-label^='Key for {words}']")
        page.keyboard.press(key)
    page.click("text=Save settings")
    page.wait_for_selector("dialog", state="detached")
    until(page, "document.getElementById('guide-key').textContent === 'Y'")
    image = press(page, "p")
    assert page.get_attribute("body", "data-view") == "label"
    page.keyboard.press("i")  # no class has this key now
    page.keyboard.press("y")
    page.wait_for_selector("#guide:not([open])")
    page.keyboard.press("m")
    page.wait_for_selector("#view-progress:not([hidden])")
    page.keyboard.press("?")
    rows = page.inner_text("dialog").split()
    assert rows[rows.index("Progress") - 1] == "M" and rows[rows.index("Guidelines") - 1] == "Y"
    settle(page)
    assert recorded(project) == [(image, 2)]
    keys = project.settings.get().keys
    assert (keys["progress"], keys["guide"], keys["class:2"]) == ("m", "y", "p")


def test_single_keys_can_be_switched_off(page: Page, project: Project) -> None:
    page.click("#open-settings")
    page.uncheck("dialog label:has-text('Single-key shortcuts') input")
    page.click("text=Save settings")
    page.wait_for_selector("dialog", state="detached")
    until(page, "document.querySelector('#class-buttons kbd') === null")
    first = shown(page)
    for key in ("1", "Space", "u", "x", "g", "z", "?", "Backspace"):
        page.keyboard.press(key)
    page.wait_for_timeout(100)
    assert shown(page) == first
    page.click("#class-buttons button:nth-child(3)")
    page.wait_for_selector(f"#stage:not([data-shown='{first}'])[data-shown]")
    settle(page)
    assert recorded(project) == [(first, 2)]
    page.keyboard.press("Control+z")
    page.wait_for_selector(f"#stage[data-shown='{first}']")


def test_help_lists_the_keys_as_they_are(page: Page) -> None:
    page.keyboard.press("?")
    text = page.inner_text("dialog")
    for words in ("Skip", "Unsure", "Bad image", "Undo", "cat", "dog", "bird", "Ctrl A"):
        assert words in text
    page.keyboard.press("1")  # keys belong to the dialog
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


def test_zoom_fetches_the_original_and_moves_about(opens: Callable[..., Page], project: Project) -> None:
    # The first card of the project is replaced by a large picture, whose small version has fewer pixels.
    first = project.queue.next_cards("Ann", 1)[0].image_id
    path = Path(project.photos) / project.images.get(first).name
    kept = path.read_bytes()
    try:
        save_noise(path, 1000, size=(1600, 1200))
        project.images.sync()
        page = opens()
        image = shown(page)
        page.keyboard.press("z")
        assert "scale(3)" in page.evaluate("document.getElementById('frame').style.transform")
        page.keyboard.press("ArrowLeft")
        assert "translate(60px" in page.evaluate("document.getElementById('frame').style.transform")
        page.keyboard.press("Escape")
        page.hover("#stage")
        page.mouse.wheel(0, -100)
        until(page, "document.getElementById('stage').classList.contains('zoomed')")
        page.mouse.down()
        page.mouse.move(300, 300)
        page.mouse.up()
        assert shown(page) == image
        press(page, "1")
        assert page.evaluate("document.getElementById('frame').style.transform") == ""
    finally:
        path.write_bytes(kept)


def test_a_label_to_check_is_decided_with_one_key(opens: Callable[..., Page], project: Project) -> None:
    record_model(project)
    measuring = set(project.estimate.image_ids().tolist())  # never offered as doubtful
    surest, second, third = [image for image in range(66, 0, -3) if image not in measuring][:3]
    labelled = (third, second, surest)
    project.annotations.append_many(
        [AnswerEvent(f"label-{image}", image, "Bob", "class", 1) for image in labelled]
    )
    project.settings.set(replace(project.settings.get(), keys={**project.settings.get().keys, "skip": "v"}))
    page = opens("progress")
    for image, key in ((surest, "Enter"), (second, "v"), (third, "3")):
        page.wait_for_selector(f".suspect[aria-label^='IMG_{image:03d}.png']")
        assert page.inner_text(".suspect .plain kbd") == "V", "the key as it is set"
        page.keyboard.press(key)
    page.wait_for_selector("text=Nothing left")
    settle(page)
    assert recorded(project) == [(surest, 0), (second, 1), (third, 2)]
    assert strategies(project) == ["browsing"] * 3


def strategies(project: Project) -> list[str]:
    """What asked for Ann's answers, the oldest first."""
    rows = project_rows(
        project,
        "SELECT a.strategy FROM answers a JOIN annotators p ON p.id = a.annotator_id "
        "WHERE p.name = 'Ann' ORDER BY a.seq",
    )
    return [strategy for (strategy,) in rows]


def test_an_image_of_the_gallery_was_browsed_to(opens: Callable[..., Page], project: Project) -> None:
    project.annotations.append(AnswerEvent("by-Bob", 11, "Bob", "class", 2))
    page = opens("progress")
    page.click("[aria-label='Show IMG_011.png']")
    page.wait_for_selector("#stage[data-shown='11']")
    page.wait_for_timeout(50)
    press(page, "1")
    press(page, "1")
    settle(page)
    first, second = strategies(project)
    assert first == "browsing" and second in ("by chance", "estimate slice")


def test_the_progress_view_shows_what_there_is(opens: Callable[..., Page], project: Project) -> None:
    record_model(project, right=6)
    record_model(project, right=8)
    project.models.set_generated_images(2, project.images.thumbnail(0))
    project.annotations.append_many(
        [AnswerEvent(f"label-{image}", image, "Ann", "class", image % 3) for image in range(9)]
    )
    page = opens("progress")
    page.wait_for_selector("svg.curve circle >> nth=1")
    assert "20 labels, 80 %" in str(page.get_attribute("svg.curve", "aria-label"))
    assert page.inner_text(".confusion tbody tr:nth-child(2)").split() == ["dog", "1", "5", "1"]
    assert page.inner_text(".gallery h3") == "cat · 3"
    page.wait_for_selector("img.generated")
    page.click(".thumb >> nth=0")
    page.wait_for_selector("#chip:has-text('Answer: cat')")
