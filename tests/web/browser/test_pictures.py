"""The picture on the stage has as many pixels as the screen shows, and all of the file's when it is zoomed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page

from aral.annotation import Project
from tests.web.browser.conftest import TIMEOUT, Server, press, shown, until

LARGE = (3000, 2000)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project of four photos of six megapixels."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        Image.linear_gradient("L").rotate(90 * number).resize(LARGE).save(photos / f"photo-{number}.jpg")
    with Project.create_or_open(photos, tmp_path / "project", ("cat", "dog")) as opened:
        opened.images.sync()
        yield opened


def requested(page: Page, part: str) -> list[str]:
    return list(
        page.evaluate(
            "(part) => performance.getEntriesByType('resource').map((e) => e.name).filter((e) => e.includes(part))",
            part,
        )
    )


def width(page: Page) -> int:
    return int(page.evaluate("() => document.querySelector('#frame img').naturalWidth"))


def test_the_stage_picture_follows_the_thumbnail_and_the_next_one_is_loaded(page: Page) -> None:
    page.wait_for_selector("#stage[data-picture='stage']")
    assert width(page) == 1600
    first = shown(page)
    assert page.get_attribute("#frame img", "alt")
    until(
        page,
        "performance.getEntriesByType('resource').filter((e) => e.name.includes('size=stage')).length >= 2",
    )
    page.wait_for_timeout(300)
    loaded = requested(page, "size=stage")
    assert len(loaded) == 2, "only the next image is prepared"
    press(page, "1")
    assert f"/thumbnail/{shown(page)}?" in "".join(loaded) and shown(page) != first
    assert page.get_attribute("#stage", "data-picture") == "stage", "at once, without the thumbnail before it"
    assert requested(page, "size=full") == []


def test_zoom_shows_every_pixel_of_the_file(page: Page) -> None:
    page.wait_for_selector("#stage[data-picture='stage']")
    page.keyboard.press("z")
    page.wait_for_selector("#stage[data-picture='full']")
    assert width(page) == LARGE[0]
    assert len(requested(page, "size=full")) == 1
    for _ in range(20):
        page.keyboard.press("+")
    scale = float(page.evaluate("() => new DOMMatrix(document.getElementById('frame').style.transform).a"))
    fitted = page.evaluate(
        "(size) => Math.min(document.getElementById('frame').clientWidth / size[0], "
        "document.getElementById('frame').clientHeight / size[1])",
        list(LARGE),
    )
    assert scale * fitted >= 1, "one pixel of the file is one pixel of the screen or more"
    press(page, "1")
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute("#stage", "data-picture") != "full", "a decoded full picture is not kept"


@pytest.mark.parametrize(("ratio", "picture"), [(1, "thumbnail"), (2, "stage")])
def test_screens_with_more_pixels_get_more(
    browser: Browser, server: Server, ratio: int, picture: str
) -> None:
    context: BrowserContext = browser.new_context(
        viewport={"width": 640, "height": 400}, device_scale_factor=ratio
    )
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    page.goto(server.served.link())
    page.wait_for_selector("#stage[data-shown]")
    page.wait_for_selector(f"#stage[data-picture='{picture}']")
    page.wait_for_timeout(300)
    assert page.get_attribute("#stage", "data-picture") == picture
    context.close()


def test_a_photo_that_has_gone_keeps_its_thumbnail(opens: Callable[..., Page], project: Project) -> None:
    for photo in project.photos.glob("*.jpg"):
        photo.unlink()
    page = opens()
    shown(page)
    page.wait_for_timeout(300)
    assert page.get_attribute("#stage", "data-picture") == "thumbnail"
    assert width(page) == 512
