"""A day of labelling in one go, with the command as a process of its own that is stopped and started again."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import BrowserContext, Page

from aral.annotation import Project
from tests.cli.test_labelling_commands import read_until, start
from tests.web.browser.hands import MEANINGS, press, recorded, settle, shown, until, witnessed

IMAGES = 60
Given = list[tuple[int, str | int]]


class Command:
    """``aral label`` on a project's photos; always on the same port, once it has one."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Run it; gives the link that opens the page once."""
        folder = str(self._project.folder)
        words = ("--project", folder, "--no-train", "--annotator", "Ann")
        self._process = start(self._project.photos, *words)
        return read_until(self._process, r"The page is open at (\S+)")[1]

    def stop(self) -> None:
        """End it as a system does."""
        if self._process is not None:
            with self._process as ending:
                ending.send_signal(signal.SIGTERM)
                ending.communicate(timeout=30)
            assert ending.returncode == 143
            self._process = None


@pytest.fixture
def command(project: Project) -> Iterator[Command]:
    """The command; ended with the test."""
    with ExitStack() as stack:
        made = Command(project)
        stack.callback(made.stop)
        yield made


def label(page: Page, keys: str) -> Given:
    """Press keys one by one; gives each with the image that was on screen, as a bystander has seen it as well."""
    given: Given = []
    for key in keys:
        given.append((press(page, key), MEANINGS[key]))
        assert witnessed(page)[-1] == given[-1]
    return given


def undo(page: Page, given: Given) -> None:
    """Take the newest answer back: its image is on screen again."""
    image, _ = given.pop()
    page.keyboard.press("Backspace")
    page.wait_for_selector(f"#stage[data-shown='{image}']")


def answer_tiles(page: Page, project: Project, count: int) -> Given:
    """Select the first tiles of the grid by keys, answer them all as a dog, and go back."""
    page.keyboard.press("g")
    page.wait_for_selector(".tile")
    names = [str(tile.get_attribute("title")) for tile in page.query_selector_all(".tile")][:count]
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


def test_sixty_images_in_two_tabs_with_all_that_happens(
    command: Command, context: BrowserContext, project: Project
) -> None:
    link = command.start()
    left = open_tab(context, link)
    given = label(left, "123 12u3n21x")
    for _ in range(2):
        undo(left, given)
    given += label(left, "31")
    before = shown(left)
    left.reload()
    assert shown(left) == before, "a page that is loaded again goes on with the same image"
    right = open_tab(context, link.partition("?")[0])
    for key in "1231":
        given += label(left, key) + label(right, key)

    command.stop()  # both tabs go on without it
    given += label(left, "12u") + label(right, "3 2")
    right.wait_for_selector("#unsaved:has-text('6 not yet saved')")
    assert len(recorded(project)) == len(given) - 6
    command.start()
    settle(left)
    given += answer_tiles(left, project, 8)
    settle(left)

    command.stop()
    tiles = given[-8:]
    del given[-8:]
    left.keyboard.press("Backspace")  # takes all eight back
    left.wait_for_selector(f"#stage[data-shown='{tiles[0][0]}']")
    command.start()
    settle(left)
    given += label(right, "12")
    while len({image for image, _ in given}) < IMAGES:
        given += label(left, "1")
    settle(left)
    settle(right)

    assert sorted(recorded(project), key=str) == sorted(given, key=str)
    history = project.annotations.history("Ann", count=1000)
    assert len(history) == len(given) + 2 + 8 and sum(each.cancelled for each in history) == 2 + 8
    classes = dict(answer for answer in given if isinstance(answer[1], int))
    assert {label.image_id: label.class_id for label in project.labels.all()} == classes
