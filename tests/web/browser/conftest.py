"""A real browser on the labelling page of a small project."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from aral.annotation import Project
from aral.web import Served, served

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT = 15_000
"""Milliseconds that a test waits for something of the page."""

MISSING = (
    "The browser tests need Chromium on the PATH, and there is none. Install it from your system's packages, on "
    "Debian and Ubuntu as root: apt-get install chromium; on macOS: brew install --cask chromium. Without it "
    "they are skipped, but where CI=true is set they fail."
)

WATCH = """
// Records which image was in the last frame before each key, and violations of the content policy.
window.frames_ = [];
window.keys_ = [];
window.violations_ = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations_.push(event.violatedDirective));
const seen = () => Number(/thumbnail\\/(\\d+)\\?/.exec(document.querySelector("#frame img")?.src ?? "")?.[1] ?? -1);
const frame = () => {
  const image = seen();
  if (window.frames_.at(-1)?.[1] !== image) window.frames_.push([performance.now(), image]);
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
addEventListener("keydown", (event) => {
  const shown = window.frames_.filter(([at]) => at <= event.timeStamp).at(-1)?.[1] ?? -1;
  if (!event.repeat) window.keys_.push([event.key, shown]);
}, true);
"""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium; closed before tests of other folders, which may want an event loop of their own."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=FLAGS) as opened,
    ):
        yield opened


class Server:
    """A server that can be stopped and started again on the same port."""

    def __init__(self, project: Project, stack: ExitStack) -> None:
        self._project = project
        self._outer = stack
        self._port = 0
        self._running = ExitStack()
        self.start()
        stack.callback(self.stop)

    def start(self) -> Served:
        """Start, with the same secret and port as before."""
        self.served = self._running.enter_context(served(self._project, port=self._port, annotator="Ann"))
        self._port = self.served.port
        return self.served

    def stop(self) -> None:
        """Stop; open pages cannot reach it."""
        self._running.close()


@pytest.fixture
def server(project: Project) -> Iterator[Server]:
    """The project's server."""
    with ExitStack() as stack:
        yield Server(project, stack)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh browser profile."""
    opened = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    opened.set_default_timeout(TIMEOUT)
    opened.add_init_script(WATCH)
    yield opened
    opened.close()


def _console_errors(message: ConsoleMessage) -> list[str]:
    is_error = message.type in ("error", "warning") and not message.text.startswith("Failed to load resource")
    return [f"console: {message.text}"] if is_error else []


@pytest.fixture
def opens(server: Server, context: BrowserContext) -> Iterator[Callable[..., Page]]:
    """Opens a tab on the page; afterwards there may have been no error, dialog or policy violation.

    Errors on the console count too, but not that a request failed: some tests stop the server or refuse answers.
    """
    problems: list[str] = []

    def open_tab(view: str = "") -> Page:
        tab = context.new_page()
        tab.on("pageerror", lambda error: problems.append(f"error: {error}"))
        tab.on("console", lambda message: problems.extend(_console_errors(message)))
        tab.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        tab.goto(server.served.link())
        tab.wait_for_url(server.served.url)
        if view:
            tab.goto(f"{server.served.url}#{view}")
        else:
            tab.wait_for_selector("#stage[data-shown]")
        return tab

    yield open_tab
    for tab in context.pages:
        problems += [f"violation: {each}" for each in tab.evaluate("window.violations_ ?? []")]
    assert problems == []


@pytest.fixture
def page(opens: Callable[..., Page]) -> Page:
    """A tab that shows its first image."""
    return opens()


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


def titles(page: Page, selector: str) -> list[str]:
    """The titles of all elements that match, read in one step: the page may replace them between two."""
    return [
        str(each) for each in page.locator(selector).evaluate_all("elements => elements.map(e => e.title)")
    ]


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
