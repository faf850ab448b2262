"""For everybody: axe finds nothing serious, the keyboard is enough, 200 % zoom loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from aral.annotation import Advice, AnswerEvent, Project, TrainingState
from tests.web.browser.conftest import TIMEOUT, Server, press, recorded, settle, shown, titles, until
from tests.web.conftest import record_model

OPENERS = {
    "help": "#open-help",
    "settings": "#open-settings",
    "annotator": "#annotator",
    "add a class": "#add-class",
    "edit classes": "#edit-classes",
}


@pytest.fixture
def project(project: Project) -> Project:
    """A project in the middle of its life: everything is on screen."""
    record_model(project)
    record_model(project)
    project.models.set_advice(Advice(50, 0.8, 0.4, 1.2, "The next 50 labels: about +0.8 ± 0.4 points."))
    project.models.set_training_state(TrainingState("training", 3, 0.4))
    project.searches.set_representation("hf:tiny")
    project.classes.describe(0, "Has whiskers.", [0, 3], "Ann")
    project.annotations.append_many(
        [AnswerEvent(f"label-{image}", image, "Bob", "class", 1) for image in (60, 63, 66)]
    )
    return project


def serious(page: Page) -> list[str]:
    """What axe has against the page as it is, with the elements."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['target']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.fixture
def unguarded(browser: Browser, server: Server) -> Iterator[Callable[[str], Page]]:
    """Opens the page without its content policy, which axe itself could not run under."""
    contexts: list[BrowserContext] = []

    def open_page(scheme: str) -> Page:
        context = browser.new_context(
            viewport={"width": 1280, "height": 800},
            bypass_csp=True,
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        context.set_default_timeout(TIMEOUT)
        page = context.new_page()
        page.goto(server.served.link())
        page.wait_for_selector("#stage[data-shown]")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(unguarded: Callable[[str], Page], project: Project, scheme: str) -> None:
    page = unguarded(scheme)
    for key in "1u":
        press(page, key)
    page.wait_for_selector("#trail li:nth-child(2)")
    page.wait_for_selector("#suggestion:not([hidden])")
    assert serious(page) == []
    for view, opener in OPENERS.items() if scheme == "light" else ():
        page.click(opener)
        if view == "edit classes":
            page.click("dialog summary >> nth=0")
        assert serious(page) == [], view
        page.keyboard.press("Escape")
    for view, content in (("grid", ".tile"), ("progress", ".suspect")):
        page.evaluate("view => { location.hash = view; }", view)
        page.wait_for_selector(content)
        if view == "grid":
            page.click(".tile >> nth=0")
            page.keyboard.press("q")  # a message
        assert serious(page) == [], view
    with page.expect_response("**/api/grid?*"):
        page.click("#tab-grid")
    page.wait_for_timeout(200)
    for key in "12":  # the second key asks whether the label is to be replaced
        page.click(".tile >> nth=0")
        page.keyboard.press(key)
    page.wait_for_selector("dialog")
    assert serious(page) == [], "question"
    page.keyboard.press("Escape")
    project.settings.set(replace(project.settings.get(), budget=3, estimate_share=0.0))
    page.click("#tab-label")
    page.wait_for_selector("#finish:not([hidden])")
    page.wait_for_timeout(100)
    assert serious(page) == [], "finish"


def test_tab_reaches_everything_and_shows_where_it_is(page: Page, project: Project) -> None:
    for key in "12":
        press(page, key)
    page.wait_for_selector("#trail li:nth-child(2)")
    wanted = page.evaluate(
        "() => [...document.querySelectorAll('a[href], button, summary')]"
        ".filter((each) => each.checkVisibility() && !each.disabled && each.tabIndex === 0).length"
    )
    reached = set()
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "() => { const e = document.activeElement; return [e.outerHTML, getComputedStyle(e).outlineStyle]; }"
        )
        if "<body" not in name:
            reached.add(name)
            assert outline != "none", name
    assert len(reached) >= wanted
    assert sum("trail-item" in name for name in reached) == 1, "arrow keys move inside the strip"
    first = shown(page)
    page.focus("#class-buttons button:nth-child(2)")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#stage:not([data-shown='{first}'])[data-shown]")
    second = shown(page)
    page.keyboard.press("Space")  # the focus is still on the button
    page.wait_for_selector(f"#stage:not([data-shown='{second}'])[data-shown]")
    settle(page)
    assert [answer for image, answer in recorded(project) if image in (first, second)] == [1, 1]


def test_a_dialog_keeps_and_returns_the_focus(page: Page) -> None:
    page.focus("#open-help")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog")
    assert page.evaluate("() => document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert page.evaluate("() => document.activeElement.id") == "open-help"


def test_events_are_announced_to_screen_readers(page: Page) -> None:
    name = page.get_attribute("#frame img", "alt")
    press(page, "2")
    until(page, "document.getElementById('spoken').textContent.includes(': dog')")
    assert name is not None
    assert name.removeprefix("Image ") in page.inner_text("#spoken")
    assert page.get_attribute("#spoken", "aria-live") == "polite"


@pytest.mark.parametrize(
    ("width", "height", "most"),
    [(1280, 800, 0.12), (1280, 520, 0.12), (640, 400, 0.25)],
    ids=["usual", "low", "200 %"],
)
def test_the_figures_are_always_in_sight_and_cover_no_answer(
    opens: Callable[..., Page], width: int, height: int, most: float
) -> None:
    """At 200 % a window of 1280×800 has 640×400 of the page's pixels."""
    page = opens()
    page.set_viewport_size({"width": width, "height": height})
    for view, content in (("label", "#frame img"), ("grid", ".tile"), ("progress", ".suspect")):
        page.evaluate("view => { location.hash = view; }", view)
        page.wait_for_selector(content)
        page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_timeout(100)
        bar = page.locator("#status").bounding_box()
        assert bar is not None and bar["y"] >= 0 and bar["height"] <= most * height, view
        assert bar["y"] < 1 or page.evaluate("() => scrollY") == 0 or bar["y"] + bar["height"] < height
        for figure in ("#budget-text", "#pace", "#estimate", "#model"):
            box = page.locator(figure).bounding_box()
            assert box is not None and bar["y"] <= box["y"], figure
            assert box["y"] + box["height"] <= bar["y"] + bar["height"] + 1, figure
        answers = {"label": "#class-buttons button", "grid": ".grid-class", "progress": ".suspect button"}[
            view
        ]
        for answer in page.locator(answers).all():
            answer.scroll_into_view_if_needed()
            assert answer.evaluate(
                "(element) => { const box = element.getBoundingClientRect();"
                " return element.contains(document.elementFromPoint(box.x + 8, box.y + box.height / 2)); }"
            ), view
        page.evaluate("() => scrollTo(0, 0)")


def test_twice_the_size_loses_nothing(opens: Callable[..., Page], context: BrowserContext) -> None:
    page = opens()
    # All texts are read in one step: the page may replace its buttons between two.
    buttons = page.locator("button >> visible=true")
    before = set(buttons.all_inner_texts())
    page.set_viewport_size({"width": 640, "height": 400})
    assert set(buttons.all_inner_texts()) == before >= {"Skip\nSpace", "dog\n2"}
    for view, content in (("label", "#frame img"), ("grid", ".tile"), ("progress", ".suspect")):
        page.evaluate("view => { location.hash = view; }", view)
        page.wait_for_selector(content)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), view
    page.set_viewport_size({"width": 320, "height": 560})  # 400 % of a small window
    page.click("#tab-label")
    for action in ("#class-buttons button", "#actions button", "#open-help"):
        page.locator(action).first.scroll_into_view_if_needed()
        box = page.locator(action).first.bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= 320 - box["width"]
    press(page, "1")


def focused(page: Page, attribute: str = "id") -> str:
    return str(page.evaluate("(name) => document.activeElement.getAttribute(name) ?? ''", attribute))


def test_the_classes_come_right_after_the_image(page: Page, project: Project) -> None:
    for key in "12":
        press(page, key)
    page.focus("#stage")
    for number in range(3):
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement.matches('.class-button')"), number
    for _ in range(20):
        page.keyboard.press("Tab")
        if focused(page, "class") == "trail-item":
            break
    strip = titles(page, "#trail button")
    assert focused(page, "title") == strip[0]
    image = shown(page)
    for key, expected in (("ArrowRight", 1), ("End", -1), ("ArrowRight", -1), ("Home", 0)):
        page.keyboard.press(key)
        assert focused(page, "title") == strip[expected], key
    assert shown(page) == image, "arrow keys in the strip do not change the image"
    page.keyboard.press("Tab")
    assert focused(page, "class") != "trail-item"


@pytest.mark.parametrize("view", ["label", "grid", "progress"])
def test_skip_links_lead_to_the_images_and_the_answers(opens: Callable[..., Page], view: str) -> None:
    page = opens(view)
    page.wait_for_selector({"label": "#frame img", "grid": ".tile", "progress": ".suspect"}[view])
    targets = {
        "label": ("#stage", "#class-buttons button"),
        "grid": (".tile", ".grid-class"),
        "progress": (".suspect", ".suspect button"),
    }[view]
    for link, target in zip(("#to-image", "#to-answers"), targets, strict=True):
        page.focus(link)
        box = page.locator(link).bounding_box()
        assert box is not None and box["y"] >= 0, "a skip link is visible while it has the focus"
        page.keyboard.press("Enter")
        assert page.evaluate("(target) => document.activeElement.matches(target)", target), link
    assert page.is_visible(f"#view-{view}")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (640, 400), (360, 640), (320, 560)])
@pytest.mark.parametrize("classes", [3, 10])
def test_every_class_is_on_screen_with_the_image(
    opens: Callable[..., Page], project: Project, width: int, height: int, classes: int
) -> None:
    """Without scrolling: at 200 % a window of 1280×800 has 640×400 of the page's pixels."""
    for number in range(classes - 3):
        project.classes.add(f"class {number}", "Ann")
    page = opens()
    page.set_viewport_size({"width": width, "height": height})
    press(page, "1")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    stage = page.locator("#stage").bounding_box()
    assert stage is not None and stage["y"] >= 0 and stage["y"] + stage["height"] <= height
    assert stage["height"] >= 0.15 * height and stage["width"] >= 0.45 * width
    buttons = page.locator("#class-buttons button")
    assert buttons.count() == classes
    for button in buttons.all():
        assert button.evaluate(
            "(element) => [0.1, 0.9].every((part) => { const box = element.getBoundingClientRect();"
            " return element.contains(document.elementFromPoint(box.x + 8, box.y + part * box.height)); })"
        ), button.inner_text()
        box = button.bounding_box()
        assert box is not None and box["height"] >= 24 and box["x"] + box["width"] <= width
