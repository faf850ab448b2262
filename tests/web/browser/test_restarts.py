"""A labelling session in two tabs, with a server in a process of its own that is killed and started again."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page

from aral.annotation import Project
from tests.web.browser.conftest import MEANINGS, observed, press, recorded, settle, shown, titles, until
from tests.web.conftest import ServerProcess

Given = list[tuple[int, str | int]]


def label(page: Page, keys: str) -> Given:
    """Press keys one by one; gives the image on screen and the meaning of each key, as the frames show them."""
    given: Given = []
    for key in keys:
        given.append((press(page, key), MEANINGS[key]))
        assert observed(page)[-1] == given[-1]
    return given


def undo(page: Page, given: Given) -> None:
    """Undo the newest answer: its image is on screen again."""
    image, _ = given.pop()
    page.keyboard.press("Backspace")
    page.wait_for_selector(f"#stage[data-shown='{image}']")


def answer_tiles(page: Page, project: Project, count: int) -> Given:
    """Select the first tiles of the grid by keys, answer them all as a dog, and go back."""
    page.keyboard.press("g")
    page.wait_for_selector(".tile")
    names = titles(page, ".tile")[:count]
    page.focus(".tile")
    page.keyboard.press("Space")
    for _ in range(count - 1):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("2")
    until(page, f"document.querySelectorAll('.tile.answered').length === {count}")
    page.keyboard.press("g")
    page.wait_for_selector("#stage[data-shown]")
    known = {project.images.get(int(image)).name: int(image) for image in project.images.labelable_ids()}
    return [(known[name], 1) for name in names]


def open_tab(context: BrowserContext, address: str) -> Page:
    tab = context.new_page()
    tab.goto(address)
    tab.wait_for_selector("#stage[data-shown]")
    return tab


def test_a_session_in_two_tabs_with_restarts(
    context: BrowserContext, project: Project, serve_in_process: Callable[[Project], ServerProcess]
) -> None:
    server = serve_in_process(project)
    left = open_tab(context, server.link)
    given = label(left, "123 12u3n21x")
    for _ in range(2):
        undo(left, given)
    given += label(left, "31")
    before = shown(left)
    left.reload()
    assert shown(left) == before, "a page that is loaded again goes on with the same image"
    right = open_tab(context, server.link.partition("?")[0])
    for key in "12":
        given += label(left, key) + label(right, key)

    settle(left)
    settle(right)
    server.kill()  # both tabs go on without it
    given += label(left, "12u") + label(right, "3 2")
    right.wait_for_selector("#unsaved:has-text('6 not yet saved')")
    assert len(recorded(project)) == len(given) - 6
    server = serve_in_process(project)
    settle(left)
    given += answer_tiles(left, project, 8)
    settle(left)

    server.kill()
    tiles = given[-8:]
    del given[-8:]
    left.keyboard.press("Backspace")  # undoes all eight
    left.wait_for_selector(f"#stage[data-shown='{tiles[0][0]}']")
    serve_in_process(project)
    settle(left)
    given += label(right, "12") + label(left, "1")
    settle(left)
    settle(right)

    assert sorted(recorded(project), key=str) == sorted(given, key=str)
    history = project.annotations.history("Ann", count=1000)
    assert len(history) == len(given) + 2 + 8 and sum(each.cancelled for each in history) == 2 + 8
    classes = dict(answer for answer in given if isinstance(answer[1], int))
    assert {label.image_id: label.class_id for label in project.labels.all()} == classes
