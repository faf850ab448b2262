"""How soon a model learns beside a person who labels photographs at a steady pace, in one command.

    python benchmarks/instant_loop.py PHOTOS --pace 1.0 --budget 60

PHOTOS has one folder a class. Some of its images are copied to a flat folder, ``aral label`` is started on it, and a
person on the labelling page answers one image every so many seconds. A second tab watches. The row has, in seconds:
from the start of the command to the first image and to the first suggestion; from the answer that gives a second class
to the first model; for each tenth answer, until the next model. Further: when the slower learner took over, the share
of training labels whose image a query has chosen, and the most memory of server and trainer.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from aral.annotation import ModelRecord, Project
from kept_rows import KeptRows
from label_server import LabelServer
from page_client import Page

LOOK_SECONDS = 0.05
FIRST_POLL_SECONDS, POLL_SECONDS = 0.5, 2.0
"""Until there is a model, and then, as in ``status.js``."""

REST_SECONDS = 40.0
MOST_REST_SECONDS = 180.0


def main() -> None:
    """Measure and keep the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--pace", type=float, default=1.0, help="seconds an image")
    parser.add_argument("--megapixels", type=float, help="enlarge the photographs to so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", default="instant-loop", help="file of rows")
    parser.add_argument(
        "--option", action="append", default=[], help="a further option of aral label, as --x=y"
    )
    chosen = parser.parse_args()
    key = {
        "folder": chosen.photos.parent.name if chosen.photos.name == "train" else chosen.photos.name,
        "count": chosen.count,
        "budget": chosen.budget,
        "pace": chosen.pace,
        "megapixels": chosen.megapixels,
        "options": chosen.option,
        "seed": chosen.seed,
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photos"
        truth = copied(chosen.photos, folder, chosen.count, chosen.megapixels, chosen.seed)
        classes = sorted(set(truth.values()))
        server = LabelServer(
            folder, [f"--classes={','.join(classes)}", f"--budget={chosen.budget}", *chosen.option]
        )
        values = measure(server, folder, truth, classes, chosen.budget, chosen.pace)
    KeptRows(chosen.rows).keep(key, values)


def copied(source: Path, target: Path, count: int, megapixels: float | None, seed: int) -> dict[str, str]:
    """Copy images under names that say nothing; class by name."""
    files = sorted(path for path in source.glob("*/*") if path.is_file())
    random.Random(seed).shuffle(files)
    target.mkdir()
    truth = {}
    for number, path in enumerate(files[:count]):
        name = f"photo-{number:06d}{path.suffix.lower()}"
        if megapixels is None:
            shutil.copyfile(path, target / name)
        else:
            with Image.open(path) as image:
                scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
                size = (round(image.width * scale), round(image.height * scale))
                image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(
                    target / name, "JPEG", quality=88
                )
        truth[name] = path.parent.name
    return truth


class Watcher(threading.Thread):
    """A second tab: notes when the page has which model, of how many labels."""

    def __init__(self, server: LabelServer) -> None:
        super().__init__(daemon=True)
        self._page = Page(server.another_browser(), "Watcher")
        self.models: list[tuple[float, int, int]] = []
        self.messages: list[tuple[float, str]] = []
        self.trainer_bytes = 0
        self.reading_done = 0.0
        self._server = server
        self.ending = threading.Event()

    def run(self) -> None:
        """Look until told to end."""
        model = None
        while not self.ending.wait(LOOK_SECONDS):
            status = self._page.status()
            now = time.monotonic()
            message = f"{status['training']['phase']}: {status['training']['message']}"
            if not self.messages or self.messages[-1][1] != message:
                self.messages.append((now, message))
            if status["model"] != model:
                model = status["model"]
                newest = self._page.browser.get("/api/round")["model"]
                self.models.append((now, model, newest["trained_on"]))
            self.trainer_bytes = max(self.trainer_bytes, trainer_memory(self._server.pid))


def trainer_memory(server: int) -> int:
    """The most memory of the server's training worker so far, in bytes."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            status = (path / "status").read_text()
            if f"PPid:\t{server}\n" in status and b"training_worker" in (path / "cmdline").read_bytes():
                line = next(each for each in status.splitlines() if each.startswith("VmHWM:"))
                return 1024 * int(line.split()[1])
        except (OSError, StopIteration):
            continue
    return 0


def measure(
    server: LabelServer, folder: Path, truth: dict[str, str], classes: list[str], budget: int, pace: float
) -> dict[str, Any]:
    """Start the command and label until the budget is spent and nothing more is trained."""
    begun = time.monotonic()
    server.start()
    assert server.browser is not None
    page = Page(server.browser, "Ann")
    while not page.cards:
        page.refill()
        time.sleep(LOOK_SECONDS)
    first_image = time.monotonic() - begun
    watcher = Watcher(server)
    watcher.start()
    ids = {each["name"]: each["id"] for each in page.browser.get("/api/project")["classes"]}
    given: list[tuple[float, str, str]] = []
    first_suggestion = None
    next_at = time.monotonic()
    polled_at, query = time.monotonic(), None
    while len(given) < budget:
        if time.monotonic() - polled_at > (POLL_SECONDS if query and query[1] else FIRST_POLL_SECONDS):
            polled_at, status = time.monotonic(), page.status()
            news = (status["query"], status["model"] is not None)
            if news != query:
                query = news
                page.renew()
        page.refill()
        if not page.cards:
            time.sleep(LOOK_SECONDS)
            continue
        if first_suggestion is None and page.cards[0]["suggestion"]:
            first_suggestion = time.monotonic() - begun
        next_at = max(next_at + pace, time.monotonic())
        time.sleep(max(0.0, next_at - time.monotonic()))
        name = page.cards[0]["name"]
        page.give("class", ids[truth[name]])
        page.send()
        given.append((time.monotonic(), truth[name], name))
    ended = time.monotonic()
    while (
        time.monotonic() - ended < MOST_REST_SECONDS
        and time.monotonic() - watcher.messages[-1][0] < REST_SECONDS
    ):
        time.sleep(0.5)
    watcher.ending.set()
    watcher.join()
    memory = server.most_memory()
    server.stop()
    models, strategies, trained_on = outcome(folder)
    second = second_class(given)
    second_trained = second_class([each for each in given if each[2] in trained_on])
    by_model = [
        each for each in strategies if each not in ("by chance", "random", "k-means-centres", "centroids")
    ]
    after_first = strategies[strategies.index(by_model[0]) :] if by_model else []
    refined = [each for each in models if each.method not in ("linear", "")]
    return {
        "first image": round(first_image, 2),
        "first suggestion": round(first_suggestion, 2) if first_suggestion else None,
        "second class": round(second - begun, 2),
        "second class of training labels": round(second_trained - begun, 2),
        "first model after second class": round(watcher.models[0][0] - second, 2) if watcher.models else None,
        "learned after": learned_after(given, watcher, budget),
        "labelled in": round(ended - begun, 1),
        "training labels": len(strategies),
        "chosen by a model": len(by_model),
        "share of those after its first choice": len([e for e in after_first if e in by_model])
        / max(1, len(after_first)),
        "strategies": strategies,
        "models": [(round(at - begun, 1), number, trained) for at, number, trained in watcher.models],
        "refined": [(each.trained_on, each.method, each.reason, round(each.seconds, 1)) for each in refined],
        "accuracy": models[-1].estimate.accuracy if models and models[-1].estimate else None,
        "server MB": round(memory / 2**20),
        "trainer MB": round(watcher.trainer_bytes / 2**20),
        "messages": [(round(at - begun, 1), text) for at, text in watcher.messages][:200],
        "load": os.getloadavg()[0],
    }


def second_class(given: Sequence[tuple[float, str, str]]) -> float:
    """When the first answer of another class than the first one was given."""
    return next(at for at, label, _ in given if label != given[0][1])


def outcome(folder: Path) -> tuple[list[ModelRecord], list[str], set[str]]:
    """The models of the project; what chose the images of training labels, in the order of the answers; their names."""
    with Project.open(folder) as project:
        labels = [each for each in project.labels.all() if each.use == "training"]
        provenance = project.labels.provenance()
        strategies = [provenance[each.image_id].strategy for each in sorted(labels, key=lambda one: one.seq)]
        names = {project.images.get(each.image_id).name for each in labels}
        return project.models.all(), strategies, names


def learned_after(given: Sequence[tuple[float, str, str]], watcher: Watcher, budget: int) -> dict[str, Any]:
    """Seconds from each tenth answer to the first new model afterwards."""
    waits = []
    for place in range(10, len(given) + 1, 10):
        at = given[place - 1][0]
        later = [when for when, *_ in watcher.models if when > at]
        if later:
            waits.append(round(later[0] - at, 2))
    return {"each": waits, "median": statistics.median(waits) if waits else None}


if __name__ == "__main__":
    main()
