"""What a person does at the page, and what the page shows."""

from __future__ import annotations

from playwright.sync_api import Page

from aral.annotation import Project

MEANINGS = {" ": "skip", "u": "unsure", "x": "bad image", "n": "none of these", "1": 0, "2": 1, "3": 2}
"""What each answering key means: an action, or the class it answers with."""


def shown(page: Page) -> int:
    """The number of the image on screen, once there is one."""
    page.wait_for_selector("#stage[data-shown]")
    return int(page.get_attribute("#stage", "data-shown") or -1)


def press(page: Page, key: str) -> int:
    """Press a key that answers and wait for the next image; gives the image that was on screen."""
    before = shown(page)
    page.keyboard.press("Space" if key == " " else key)
    page.wait_for_function(
        "before => document.getElementById('stage').dataset.shown !== String(before) || "
        "!document.getElementById('placeholder').hidden",
        arg=before,
    )
    return before


def until(page: Page, condition: str) -> None:
    """Wait until an expression is true in the page; its content policy allows functions, not expressions."""
    page.wait_for_function(f"() => {condition}")


def settle(page: Page) -> None:
    """Wait until the server has acknowledged every answer."""
    page.wait_for_selector("#unsaved[data-waiting='0']", state="attached")


def recorded(project: Project, annotator: str = "Ann") -> list[tuple[int, str | int]]:
    """Every answer in the project that stands, oldest first: the image, and the action or class."""
    history = project.annotations.history(annotator, count=10_000)
    return [
        (each.image_id, each.action if each.class_id is None else each.class_id)
        for each in reversed(history)
        if not each.cancelled
    ]


def observed(page: Page) -> list[tuple[int, str | int]]:
    """The answers by what was on screen: the image in the frame before each key, and the key's meaning."""
    keys = page.evaluate("window.keys_")
    return [(image, MEANINGS[key]) for key, image in keys if key in MEANINGS]
