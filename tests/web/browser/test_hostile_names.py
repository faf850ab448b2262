"""Names that try to become markup or code are shown as what they are: text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page

from aral.annotation import AnswerEvent, Project
from aral.testing import save_noise
from tests.web.browser.conftest import press, settle, until
from tests.web.conftest import PAYLOADS, record_model


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project whose files, classes, guidelines, annotators and keys have such names."""
    photos = tmp_path / "<img src=x onerror=alert(0)>"
    for number, name in enumerate(PAYLOADS):
        save_noise(photos / f"{name}.png", number)
    for number in range(30):  # more than a page holds: what waits on one person's is not in another's grid
        save_noise(photos / f"z{number}.png", len(PAYLOADS) + number)
    (photos / "broken <img src=x onerror=alert(2)>.png").write_bytes(b"no image")
    with Project.create_or_open(photos, class_names=PAYLOADS) as opened:
        opened.images.sync()
        for each in opened.classes.all():
            opened.classes.describe(each.id, f"{each.name} </p>", [0, 1], each.name)
        for number, name in enumerate(PAYLOADS):
            opened.annotations.append(AnswerEvent(f"key-{number}", number % 3, name, "class", number))
        settings = opened.settings.get()
        keys = dict(zip(("zoom", "hide", "none of these"), PAYLOADS[:3], strict=True))
        opened.settings.set(replace(settings, keys={**settings.keys, **keys}))
        record_model(opened)
        yield opened


def test_every_view_shows_them_as_text(page: Page, project: Project) -> None:
    names = page.locator(".class-name").all_inner_texts()
    assert [" ".join(name.split()) for name in names] == [" ".join(each.split()) for each in PAYLOADS]
    assert page.inner_text("h1") == "<img src=x onerror=alert(0)>"
    press(page, "1")
    page.wait_for_selector("#trail li")
    page.keyboard.press("?")
    assert PAYLOADS[0] in page.inner_text("dialog"), "the key of zoom"
    page.keyboard.press("Escape")
    page.click("#open-settings")
    page.keyboard.press("Escape")
    page.click("#edit-classes")
    page.keyboard.press("Escape")
    page.click("#annotator")
    assert page.inner_text("dialog .row button:nth-child(1)") == PAYLOADS[0]
    page.fill("dialog input", PAYLOADS[0])
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog", state="detached")
    page.keyboard.press("/")
    page.keyboard.type("<img")
    page.wait_for_selector("#chooser-list li")
    page.keyboard.press("Escape")
    for view, content in (("grid", ".tile"), ("progress", ".gallery img")):
        page.evaluate("view => { location.hash = view; }", view)
        page.wait_for_selector(content)
    page.click("text=List with reasons")
    assert "broken <img src=x onerror=alert(2)>.png" in page.inner_text(".files")
    page.click("#tab-label")
    settle(page)
    until(page, "document.querySelectorAll('script').length === 1 && !document.querySelector('iframe')")
    assert page.evaluate("document.querySelectorAll('[onerror], [onload]').length") == 0
