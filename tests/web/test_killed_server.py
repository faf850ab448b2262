"""The server is killed during labelling: no acknowledged answer is lost or doubled, and the page continues."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Thread

import pytest

from aral.annotation import Project
from aral.testing import save_noise
from aral.web import served
from tests.web.conftest import CLASSES, ServerProcess, event

KILLS = 3
"""``benchmarks/labelling_kills.py`` kills a hundred times."""

IMAGES = 600
"""More than are labelled between so many kills."""


class Person:
    """Labels as the page does: sends an answer again, under the same key, until it is acknowledged."""

    def __init__(self, port: int, cookie: str) -> None:
        self._port = port
        self._cookie = cookie
        self.sent: dict[str, dict[str, object]] = {}
        self.acknowledged: set[str] = set()
        self.shown = -1

    def ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            headers = {"cookie": self._cookie, "content-type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, content
            return dict(json.loads(content))
        finally:
            connection.close()

    def label(self) -> None:
        """Label until the server is gone."""
        try:
            while True:
                waiting = [each for key, each in self.sent.items() if key not in self.acknowledged]
                if not waiting:
                    self.look()
                    new = event(self.shown, class_id=self.shown % 3)
                    self.sent[str(new["key"])] = new
                    waiting = [new]
                receipts = self.ask("POST", "/api/answers", {"events": waiting})["receipts"]
                self.acknowledged |= {each["key"] for each in receipts}  # type: ignore[attr-defined]
        except (OSError, HTTPException):
            pass

    def look(self) -> int:
        """The image that is shown next; -1 when there is none."""
        cards = self.ask("GET", "/api/next?annotator=Ann&count=1&tab=one")["cards"]
        self.shown = cards[0]["image_id"] if cards else -1  # type: ignore[index]
        if self.shown < 0:
            raise OSError("everything is labelled")
        return self.shown


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    photos = tmp_path / "photos"
    for number in range(IMAGES):
        save_noise(photos / f"IMG_{number:04d}.png", number, (8, 6))
    with Project.create_or_open(photos, tmp_path / "project", CLASSES, budget=IMAGES) as opened:
        opened.images.sync()
        yield opened


def test_kills_of_the_server_lose_no_acknowledged_answer(
    project: Project, serve_in_process: Callable[[Project], ServerProcess]
) -> None:
    with served(project, port=0) as running:  # chooses the port and the secret, which stay
        port, cookie = running.port, f"aral-{running.port}={running.security.secret}"
    person = Person(port, cookie)
    moments = random.Random(11)
    for _ in range(KILLS):
        server = serve_in_process(project)
        if person.shown >= 0 and len(person.acknowledged) == len(person.sent):
            last = person.shown
            assert person.look() != last, "what is answered is not shown again"
        before = len(person.acknowledged)
        labelling = Thread(target=person.label)
        labelling.start()
        while len(person.acknowledged) == before and labelling.is_alive():
            time.sleep(0.01)  # on a busy machine the first answer takes long
        time.sleep(moments.uniform(0.05, 0.25))
        server.kill()
        labelling.join()
        check(project.folder, person)
    assert len(person.acknowledged) >= KILLS
    # The page after the next start sends again what was under way, and nothing is there twice.
    with served(project):
        person.ask("POST", "/api/answers", {"events": list(person.sent.values())})
        person.acknowledged = set(person.sent)
        labelled = {label.image_id: label.class_id for label in project.labels.all()}
        assert labelled == {image: image % 3 for image in labelled} and len(labelled) == len(person.sent)
        shown = person.look()
    with served(project):
        assert person.look() == shown, "a page that was loaded again shows the same image"
    check(project.folder, person)


def check(folder: Path, person: Person) -> None:
    """Each acknowledged answer is in the project, each answer at most once, and none that was not sent."""
    with Project.open(folder) as after:
        saved = [
            (each.image_id, each.class_id) for each in after.annotations.history("Ann", count=10 * IMAGES)
        ]
        assert len(saved) == len(set(saved)) == after.labels.counts().labelled == len(after.labels.all())
    images = {key: each["image_id"] for key, each in person.sent.items()}
    acknowledged = {images[key] for key in person.acknowledged}
    assert acknowledged <= {image for image, _ in saved} <= set(images.values())
