"""Many people at once while the trainer trains: answers lost or doubled, errors of the server, waits.

    python benchmarks/labelling_crowd.py --annotators 8 --answers 500
    python benchmarks/labelling_crowd.py --annotators 40 --answers 60 --pause 0 --postgres \\
        --kept labelling-crowd-postgres

Every person has a tab with its cards ahead and its status line, as the page has; each answer is a request of
its own. They begin when the trainer's first training is under way. No image may be answered by two of them. The
row goes to results/labelling-crowd.json.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from answer_audit import audit
from aral.annotation import Project
from aral.annotation.training_worker import LOG
from aral.testing import PostgresServer, find_programs
from kept_rows import KeptRows
from label_server import LabelServer
from page_client import AHEAD, Browser, Page, Unreachable
from photo_folders import write_digits

DIGITS = ",".join(map(str, range(10)))
SMALL = (
    "learner.training.steps=40",
    "learner.pretraining.steps=30",
    "learner.pretraining.imitation_steps=12",
)
STATUS_SECONDS = 2.0
PATIENCE_SECONDS = 300.0


class Person(threading.Thread):
    """Gives so many answers and looks at the status line meanwhile.

    Args:
        page: their tab.
        truth: class by file name.
        count: how many answers.
        pause: seconds between two of them.
    """

    def __init__(self, page: Page, truth: Mapping[str, int], count: int, pause: float) -> None:
        super().__init__(daemon=True)
        self.page = page
        self.phases: Counter[str] = Counter()
        self.status_waits: list[float] = []
        self.failures: list[str] = []
        self.trouble: BaseException | None = None
        self._truth, self._count, self._pause = truth, count, pause
        self._looked = -STATUS_SECONDS

    def run(self) -> None:
        """Go on until everything is answered and saved."""
        try:
            while self._count or self.page.outbox:
                self._turn()
        except BaseException as error:
            self.trouble = error

    def _turn(self) -> None:
        try:
            self._look()
            if self._count:
                self.page.refill()
                self.page.give("class", self._truth[self.page.cards[0]["name"]])
                self._count -= 1
            self.page.send()
            time.sleep(self._pause)
        except Unreachable as error:
            self.failures.append(str(error))
            time.sleep(0.5)

    def _look(self) -> None:
        if time.monotonic() - self._looked < STATUS_SECONDS:
            return
        begin = time.perf_counter()
        status = self.page.status()
        self.status_waits.append(time.perf_counter() - begin)
        self.phases[status["training"]["phase"]] += 1
        self._looked = time.monotonic()


def main() -> None:
    """Serve, let all of them label, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--annotators", type=int, default=8)
    parser.add_argument("--answers", type=int, default=500, help="of each of them")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two answers of a person")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--postgres", action="store_true", help="on a Postgres server of its own, with flushes"
    )
    parser.add_argument("--kept", default="labelling-crowd", help="name of the file of rows, or a .json path")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        database = []
        if chosen.postgres:
            programs = find_programs()
            if programs is None:
                parser.error("there are no programs of Postgres on this machine")
            database = ["--database", stack.enter_context(PostgresServer(programs, flush=True)).address()]
        photos = Path(folder) / "photos"
        images = chosen.annotators * (chosen.answers + 2 * AHEAD)
        truth = write_digits(photos, images, chosen.seed)
        settings = [part for each in SMALL for part in ("--set", each)]
        server = LabelServer(photos, ["--classes", DIGITS, "--query-size", "50", *settings, *database])
        server.start()
        assert server.browser is not None
        wait_for_training(server.browser)
        pages = [Page(server.another_browser(), f"Person {n}") for n in range(chosen.annotators)]
        people = [Person(page, truth, chosen.answers, chosen.pause) for page in pages]
        values = measure(people) | {"exit_code": server.stop()}
        values |= audit(photos / ".aral", pages).as_row()
        values |= of_trainer(photos)
        values["locked"] += sum("locked" in line for line in server.output)
        values["tracebacks"] = sum("Traceback" in line for line in server.output)
    key = {name: vars(chosen)[name] for name in ("annotators", "answers", "pause", "seed")}
    if chosen.postgres:
        key["database"] = "postgres"
    KeptRows(chosen.kept).keep(key, {"images": images, **values})


def wait_for_training(browser: Browser) -> None:
    """Wait until the trainer trains."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while browser.get("/api/status", annotator="Nobody")["training"]["phase"] != "training":
        if time.monotonic() > deadline:
            raise RuntimeError("the trainer does not begin")
        time.sleep(0.1)


def measure(people: Sequence[Person]) -> dict[str, Any]:
    """Let all of them label; figures on answers, errors and waits."""
    begin = time.monotonic()
    for person in people:
        person.start()
    for person in people:
        person.join()
    seconds = time.monotonic() - begin
    for person in people:
        if person.trouble is not None:
            raise person.trouble
    statuses = sum((person.page.browser.statuses for person in people), Counter[int]())
    phases = sum((person.phases for person in people), Counter[str]())
    answer_waits = [1000 * wait for person in people for wait in person.page.waits]
    status_waits = [1000 * wait for person in people for wait in person.status_waits]
    return {
        "seconds": round(seconds, 1),
        "answers_per_second": round(len(answer_waits) / seconds, 1),
        **quantiles("answer", answer_waits),
        **quantiles("status", status_waits),
        "requests": sum(statuses.values()),
        "statuses": dict(sorted(statuses.items())),
        "server_errors": sum(count for status, count in statuses.items() if status >= 500),
        "failures": [failure for person in people for failure in person.failures][:10],
        "locked": sum(person.page.browser.locked for person in people),
        "phases_seen": dict(phases.most_common()),
    }


def quantiles(name: str, milliseconds: Sequence[float]) -> dict[str, float]:
    """Median, 95 % point and maximum."""
    values = {"p50": np.percentile(milliseconds, 50), "p95": np.percentile(milliseconds, 95)}
    values["max"] = np.max(milliseconds)
    return {f"{name}_{point}_ms": round(float(value), 1) for point, value in values.items()}


def of_trainer(photos: Path) -> dict[str, Any]:
    """How far the trainer came, and whether it complained."""
    with Project.open(photos) as project:
        models = project.models.all()
        log = (project.folder / LOG).read_text(errors="replace")
    return {
        "models": len(models),
        "trained_on": [model.trained_on for model in models],
        "trainer_log": log[-500:],
    }


if __name__ == "__main__":
    main()
