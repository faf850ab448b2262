"""Pictures of the labelling page and of the report for the documentation.

    python benchmarks/screenshots.py

Paints some landscapes, makes a project of them with the figures of a few rounds, and writes PNG files into
``docs/images/``. The figures on pictures of the page are made up; those in ``docs/benchmarks.md`` are measured. The
report is that of a real run on digits, which takes half a minute.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from playwright.sync_api import Browser, Page, sync_playwright

from aral.annotation import (
    Advice,
    AnswerEvent,
    ClassFigure,
    Estimate,
    ModelRecord,
    Project,
    TrainingState,
)
from aral.benchmarking import Method, load_data, read_run, resolve, run
from aral.reports import write_report
from aral.web import Served, served

TARGET = Path(__file__).parents[1] / "docs" / "images"
SIZE = (1200, 800)
COUNT = 150
FIRST = 2000
PAUSE = 900  # milliseconds, so that the pace on the pictures is that of a person
CLASSES = ("day", "dusk", "night")
GUIDELINES = (
    "The sun is well above the hills, and the sky is blue or white.",
    "Warm light near the horizon. When in doubt between day and dusk, take dusk.",
)
SKIES = (((96, 160, 225), (205, 228, 240)), ((62, 52, 110), (246, 158, 92)), ((8, 12, 34), (40, 52, 92)))
HILLS = (((92, 150, 96), (28, 84, 62)), ((120, 74, 98), (42, 26, 52)), ((30, 40, 66), (6, 10, 22)))
ROUNDS = (
    (20, 0.61, 0.42, 0.77, 23),
    (40, 0.74, 0.59, 0.85, 31),
    (60, 0.83, 0.7, 0.91, 38),
    (80, 0.88, 0.77, 0.94, 42),
)


def main() -> None:
    """Write the pictures."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "Landscapes"
        photos.mkdir()
        for number in range(COUNT):
            landscape(number).save(photos / f"IMG_{FIRST + number}.jpg", quality=88)
        with (
            Project.create_or_open(photos, class_names=CLASSES, budget=300) as project,
            browser() as opened,
        ):
            project.images.sync()
            fill(project)
            with served(project, port=0, annotator="Ann") as server:
                take(opened, server, project)
            take_report(opened, Path(folder))
    print(*sorted(path.name for path in TARGET.glob("*.png")))


def landscape(number: int) -> Image.Image:
    """Hills under a sky by day, at dusk or by night."""
    rng = np.random.default_rng(number)
    kind = number % 3
    width, height = SIZE
    top, bottom = (np.array(colour, float) for colour in SKIES[kind])
    shade = np.linspace(0, 1, height)[:, None, None] ** rng.uniform(0.8, 1.4)
    sky = np.broadcast_to(top * (1 - shade) + bottom * shade, (height, width, 3))
    picture = Image.fromarray((sky * rng.uniform(0.9, 1.05)).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    if kind == 2:
        for x, y, size in rng.uniform(0, 1, (140, 3)):
            draw.ellipse(
                (x * width, y * height * 0.7, x * width + 1 + 2 * size, y * height * 0.7 + 1 + 2 * size),
                "#dfe6ff",
            )
    x, y, size = rng.uniform(0.1, 0.9) * width, rng.uniform(0.12, 0.5) * height, rng.uniform(30, 70)
    draw.ellipse((x - size, y - size, x + size, y + size), ("#fff6cf", "#ffdf9e", "#e8ecf5")[kind])
    picture = Image.blend(picture, clouds(rng, kind), 0.35 if kind < 2 else 0.12)
    draw = ImageDraw.Draw(picture)
    for layer in range(4):
        draw.polygon(hill(rng, layer), tuple(mixed(HILLS[kind], layer / 3)))
    return picture.filter(ImageFilter.GaussianBlur(0.8))


def clouds(rng: np.random.Generator, kind: int) -> Image.Image:
    """A sky of soft blots."""
    coarse = rng.uniform(0, 1, (16, 5))[..., None] * np.array(SKIES[kind][1]) + 40
    soft = Image.fromarray(coarse.clip(0, 255).astype(np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    return soft.filter(ImageFilter.GaussianBlur(12))


def hill(rng: np.random.Generator, layer: int) -> list[tuple[float, float]]:
    """The outline of a range of hills; a later layer is nearer and lower."""
    width, height = SIZE
    x = np.linspace(0, width, 80)
    waves = sum(
        rng.uniform(0.3, 1)
        / (1 + order)
        * np.sin(x / width * np.pi * 2 * (order + rng.uniform(0.3, 1)) + rng.uniform(0, 7))
        for order in range(1, 5)
    )
    y = height * (0.55 + 0.12 * layer) + 60 * waves
    return [(0, height), *zip(x.tolist(), np.asarray(y).tolist(), strict=True), (width, height)]


def mixed(ends: tuple[tuple[int, int, int], ...], share: float) -> list[int]:
    """A colour between two."""
    return [round(first + (last - first) * share) for first, last in zip(*ends, strict=True)]


def fill(project: Project) -> None:
    """Give the project a past of some rounds."""
    ids = project.images.labelable_ids()
    kinds = np.array([kind_of(project, int(each)) for each in ids])
    for index in range(len(ROUNDS)):
        record_round(project, index, kinds)
    for kind, words in enumerate(GUIDELINES):
        project.classes.describe(kind, words, ids[kinds == kind][:3].tolist(), "Ann")
    order = np.random.default_rng(0).permutation(len(ids))
    slips = [(kinds[place] + (number % 16 == 0)) % 3 for number, place in enumerate(order[:60])]
    project.annotations.append_many(
        [
            AnswerEvent(f"answer-{place}", int(ids[place]), "Bob", "class", int(kind), seconds=1.2)
            for place, kind in zip(order[:60], slips, strict=True)
        ]
    )
    reasons = ["between day and dusk"] * 20
    query, reserve = ids[order[60:80]], ids[order[80:110]]
    project.queue.replace(4, query, np.linspace(1, 0, 20), reasons, "margin", reserve)
    project.models.set_training_state(TrainingState("training", 5, 0.4, "step 240 of 600"))
    project.models.set_advice(Advice(50, 0.8, 0.4, 1.2, "The next 50 labels: about +0.8 ± 0.4 points."))


def kind_of(project: Project, image_id: int) -> int:
    """What a landscape shows, which its name tells."""
    return (int(project.images.get(image_id).name[4:8]) - FIRST) % 3


def record_round(project: Project, index: int, kinds: np.ndarray) -> None:
    """Record a model with its figures and predictions."""
    labels, accuracy, low, high, count = ROUNDS[index]
    shares = (accuracy + 0.05, accuracy, accuracy - 0.07)
    figures = tuple(
        ClassFigure(
            kind, labels // 3 + kind, Estimate(share, share - 0.19, min(0.99, share + 0.1), count // 3)
        )
        for kind, share in enumerate(shares)
    )
    estimate = Estimate(accuracy, low, high, count)
    confusion = ((12, 2, 0), (1, 13, 1), (0, 1, 12))
    point = (labels, accuracy)
    number = project.models.record(
        ModelRecord(index, f"models/{index:04d}", labels, 9.0, (0, 1, 2), estimate, figures, confusion, point)
    )
    sure = np.random.default_rng(index).uniform(0.45, 0.98, len(kinds))
    rows = np.zeros((len(kinds), 3))
    rows[np.arange(len(kinds)), kinds] = sure
    rows[np.arange(len(kinds)), (kinds + 1) % 3] = 1 - sure
    project.predictions.replace(number, project.images.labelable_ids(), (0, 1, 2), rows)


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium of this machine."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield opened
        opened.close()


def take(opened: Browser, server: Served, project: Project) -> None:
    """Go through the views and take a picture of each."""
    page = opened.new_page(viewport={"width": 1280, "height": 800}, device_scale_factor=1)
    page.goto(server.link())
    page.wait_for_selector("#stage[data-shown]")
    for number in range(18):  # some answers, and then on to an image with a suggestion
        if number > 10 and page.query_selector("#suggestion button"):
            break
        image = int(page.get_attribute("#stage", "data-shown") or 0)
        answer(page, "u" if number == 5 else "123"[kind_of(project, image)])
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
    """Run ``aral`` on digits and take a picture of its report."""
    spec = resolve("digits", Method.parse("graph-ssl"), ["rounds.budget=50"])
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
