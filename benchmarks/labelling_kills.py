"""Answers while the server is killed again and again: none may be lost, doubled or on the wrong image.

    python benchmarks/labelling_kills.py --kills 100

Starts ``aral label`` as people do, its import and trainer with it, and labels over HTTP as the page does, with
its cards ahead and its outbox. The server is killed (SIGKILL) at random moments after it is ready, half of the
times while a request of answers is under way, and started again. Some answers are given for many images at
once, some are taken back, some are skips. The row goes to results/labelling-kills.json.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from answer_audit import audit
from kept_rows import KeptRows
from label_server import LabelServer
from page_client import Page, Unreachable
from photo_folders import write_digits

DIGITS = ",".join(map(str, range(10)))
QUICK = (
    "learner.training.steps=20",
    "learner.pretraining.steps=20",
    "learner.pretraining.imitation_steps=10",
)
PAUSE_SECONDS = 0.02
IMAGES_A_KILL = 120
SPARE = 200


class Person(threading.Thread):
    """Labels without a break, whether the server is there or not.

    Args:
        page: their tab.
        truth: class by file name.
        seed: of their choices.
    """

    def __init__(self, page: Page, truth: Mapping[str, int], seed: int) -> None:
        super().__init__(daemon=True)
        self.page = page
        self.sending = threading.Event()
        self.ending = threading.Event()
        self.cut_off = 0
        self.idle_seconds = 0.0
        self.trouble: BaseException | None = None
        self._truth = truth
        self._rng = np.random.default_rng(seed)
        self._last: dict[str, Any] | None = None

    def run(self) -> None:
        """Go on until asked to end and everything is saved."""
        try:
            while not self.ending.is_set() or self.page.outbox:
                self._turn()
        except BaseException as error:
            self.trouble = error

    def _turn(self) -> None:
        try:
            self.page.refill()
        except Unreachable:
            pass  # there may be cards on the page
        if not self.ending.is_set():
            self._act()
        if not self.page.outbox:
            self.idle_seconds += PAUSE_SECONDS
        self._send()
        time.sleep(self._rng.exponential(PAUSE_SECONDS))

    def _act(self) -> None:
        """One answer, some at once, or one taken back."""
        chance = self._rng.random()
        if chance < 0.05 and self._last is not None:
            self.page.undo(self._last["image_id"])
            self.page.cards.appendleft(self._last)
            self._last = None
            return
        for _ in range(min(len(self.page.cards), int(self._rng.integers(2, 13)) if chance > 0.9 else 1)):
            self._last = self.page.cards[0]
            if chance < 0.1:
                self.page.give("skip")
            else:
                self.page.give("class", self._truth[self._last["name"]])

    def _send(self) -> None:
        self.sending.set()
        try:
            self.page.send()
        except Unreachable:
            self.cut_off += 1
            time.sleep(0.1)
        finally:
            self.sending.clear()


def main() -> None:
    """Kill, start again, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--longest", type=float, default=3.0, help="seconds from ready to the kill, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--kept", default="labelling-kills", help="name of the file of rows, or a .json path")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        photos = Path(folder) / "photos"
        truth = write_digits(photos, IMAGES_A_KILL * chosen.kills + SPARE, chosen.seed)
        options = ["--classes", DIGITS, *(part for each in QUICK for part in ("--set", each))]
        server = LabelServer(photos, options if chosen.train else [*options, "--no-train"])
        values = measure(server, truth, chosen)
        values |= audit(photos / ".aral", [values.pop("page")]).as_row()
    key = {"kills": chosen.kills, "seed": chosen.seed, "train": chosen.train, "longest": chosen.longest}
    KeptRows(chosen.kept).keep(key, {"images": len(truth), **values})


def measure(server: LabelServer, truth: Mapping[str, int], chosen: argparse.Namespace) -> dict[str, Any]:
    """Label and kill; gives the page and figures."""
    rng = np.random.default_rng(chosen.seed)
    first = server.start()
    person = Person(Page(server.another_browser(), "Ann"), truth, chosen.seed)
    begin = time.monotonic()
    person.start()
    ready = []
    for _ in range(chosen.kills):
        time.sleep(rng.uniform(0, chosen.longest))
        if rng.random() < 0.5:
            person.sending.wait(1.0)
            time.sleep(rng.uniform(0, 0.005))
        server.kill()
        ready.append(server.start())
        if server.browser is not None and server.browser.port != person.page.browser.port:
            person.page.browser = server.another_browser()  # its port was taken meanwhile
        if person.trouble is not None:
            raise person.trouble
    person.ending.set()
    person.join()
    if person.trouble is not None:
        raise person.trouble
    seconds = time.monotonic() - begin
    return {
        "page": person.page,
        "seconds": round(seconds, 1),
        "first_ready_seconds": round(first, 2),
        "ready_p50_seconds": round(float(np.percentile(ready, 50)), 2),
        "ready_p95_seconds": round(float(np.percentile(ready, 95)), 2),
        "requests_cut_off": person.cut_off,
        "saved_but_not_told": person.page.repeated,
        "idle_seconds": round(person.idle_seconds, 1),
        "statuses": dict(sorted(person.page.browser.statuses.items())),
        "locked": person.page.browser.locked + sum("locked" in line for line in server.output),
        "exit_code": server.stop(),
    }


if __name__ == "__main__":
    main()
