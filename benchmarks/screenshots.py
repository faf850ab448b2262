"""Pictures of the labelling page and of the report for the documentation.

    python benchmarks/screenshots.py data/photos/trash/train

Copies some photographs of a folder with one sub-folder a class, labels them with ``aral label`` as a person and
writes PNG files into ``docs/images/``. What the pictures show is what that one project had: measurements are in
``docs/benchmarks.md``. The report is that of a run on the photographs that come with aral.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from aral.annotation import Project
from aral.benchmarking import Method, load_data, read_run, resolve, run
from aral.data.photographs import save_photographs
from aral.reports import write_report
from instant_loop import copied
from label_server import LabelServer

TARGET = Path(__file__).parents[1] / "docs" / "images"
COUNT, BUDGET = 400, 120
ANSWERS = 70
PAUSE = 700  # milliseconds, so that the pace on the pictures is that of a person
GUIDELINE = "Bottles and jars, broken ones too. Transparent plastic is plastic."


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    given = parser.parse_args()
    TARGET.mkdir(parents=True, exist_ok=True)
    os.environ["LOGNAME"] = "Ann"  # by whom the page labels
    with tempfile.TemporaryDirectory() as place, browser() as opened:
        folder = Path(place) / "Waste"
        truth = copied(given.photos, folder, COUNT, None, seed=0)
        names = sorted(set(truth.values()))
        server = LabelServer(folder, [f"--classes={','.join(names)}", f"--budget={BUDGET}"])
        server.start()
        assert server.browser is not None
        with Project.open(folder) as project:
            project.classes.describe(names.index("glass"), GUIDELINE, [], "Ann")

            def key_of(image: int) -> str:
                return str(names.index(truth[project.images.get(image).name]) + 1)

            take(opened, server.browser.another_link(), key_of)
        server.stop()
        take_report(opened, Path(place))
    print(*sorted(path.name for path in TARGET.glob("*.png")))


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium of this machine."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield opened
        opened.close()


def take(opened: Browser, link: str, key_of: Callable[[int], str]) -> None:
    """Label, go through the views, and take a picture of each.

    Args:
        opened: the browser.
        link: of the page.
        key_of: the key of the class of an image.
    """
    page = opened.new_page(viewport={"width": 1280, "height": 800}, device_scale_factor=1)
    page.goto(link)
    page.wait_for_selector("#stage[data-shown]")
    for number in range(2 * ANSWERS):  # and then on to an image with a suggestion
        if number >= ANSWERS and page.query_selector("#suggestion button"):
            break
        image = int(page.get_attribute("#stage", "data-shown") or 0)
        answer(page, "u" if number == 20 else key_of(image))
    page.wait_for_timeout(900)
    page.screenshot(path=TARGET / "labelling.png")
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=TARGET / "labelling-dark.png")
    page.emulate_media(color_scheme="light")
    page.keyboard.press("?")
    page.wait_for_timeout(200)
    page.screenshot(path=TARGET / "help.png")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.wait_for_selector(".tile")
    page.wait_for_timeout(600)
    page.click(".tile >> nth=2")
    page.click(".tile >> nth=9", modifiers=["Shift"])
    page.click(".tile >> nth=6")
    page.screenshot(path=TARGET / "grid.png")
    page.keyboard.press("p")
    page.wait_for_selector("svg.curve")
    page.wait_for_timeout(600)
    page.screenshot(path=TARGET / "progress.png", full_page=True)


def take_report(opened: Browser, folder: Path) -> None:
    """Run ``aral`` on the photographs that come with it and take a picture of its report."""
    photographs = folder / "photographs"
    save_photographs(photographs, folder / "unsorted")
    spec = resolve(
        str(photographs), Method.parse("auto"), ['representation.backbone="efficientnet-lite0-spatial"']
    )
    run(spec, load_data(spec), folder / "run")
    page = opened.new_page(viewport={"width": 1080, "height": 800}, device_scale_factor=1)
    page.goto(write_report(read_run(folder / "run")).resolve().as_uri())
    # Pictures further down are loaded when they are scrolled to.
    page.evaluate("for (const each of document.images) each.loading = 'eager'")
    page.wait_for_function("[...document.images].every(each => each.complete)")
    page.screenshot(path=TARGET / "report.png", full_page=True)


def answer(page: Page, key: str) -> None:
    """Press a key and wait for the next image."""
    before = page.get_attribute("#stage", "data-shown")
    page.keyboard.press(key)
    page.wait_for_selector(f"#stage:not([data-shown='{before}'])[data-shown]")
    page.wait_for_timeout(PAUSE)


if __name__ == "__main__":
    main()
