"""A small project of generated images, clients with and without the cookie, servers in other processes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from aral.annotation import ClassFigure, Estimate, ModelRecord, Project, ZeroShot
from aral.testing import save_noise
from aral.web import Security, make_app

PORT = 8427
BASE = f"http://127.0.0.1:{PORT}"
SECRET = "s" * 43
IMAGES = 72
CLASSES = ("cat", "dog", "bird")

SERVE = """
import sys, time
from pathlib import Path
from aral.annotation import Project
from aral.web import served
with Project.open(Path(sys.argv[1])) as project, served(project, annotator="Ann") as running:
    print(running.link(), flush=True)
    time.sleep(600)
"""


PAYLOADS = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)<&script>",
    "<svg onload=alert(1)>",
    "\"><img src=x onerror=alert(1)>",
    "'-alert(1)-'",
    "javascript:alert(1)",
    "{{7*7}} {% raw %} ${alert(1)}",
    "<iframe srcdoc='<script>alert(1)<&script>'>",
    "<style>*{display:none}<&style>",
    "<a href=javascript:alert(1)>x<&a>",
    "&lt;img src=x onerror=alert(1)&gt;",
    "\u202egnp.exe",
    "line\nbreak\ttab",
    "<!-- <base href=http:&&evil.example>",
    "constructor",
    "__proto__",
)  # fmt: skip
"""Names that try to become markup or code."""

_numbers = count()


def event(image_id: int, action: str = "class", class_id: int | None = 0, **more: Any) -> dict[str, Any]:
    """One answer under a key of its own."""
    return {
        "key": f"test-key-{next(_numbers):06d}",
        "image_id": image_id,
        "annotator": "Ann",
        "action": action,
        "class_id": class_id if action == "class" else None,
        **more,
    }


def record_model(
    project: Project, right: int = 8, measured: int = 10, late: int = 0, seconds: float = 2.0
) -> int:
    """Record a model that takes image ``i`` for class ``i mod 3``, the surer the larger ``i`` is."""
    class_ids = tuple(each.id for each in project.classes.all())
    ids = project.images.labelable_ids()
    sure = np.linspace(0.5, 0.95, len(ids)).astype(np.float32)
    rows = np.repeat(((1 - sure) / (len(class_ids) - 1))[:, None], len(class_ids), axis=1)
    rows[np.arange(len(ids)), ids % len(class_ids)] = sure
    estimate = Estimate(right / measured, 0.49, 0.94, measured, late)
    made = len(project.models.all())
    number = project.models.record(
        ModelRecord(
            round=made,
            folder=f"models/{made:04d}",
            trained_on=10 * (made + 1),
            seconds=seconds,
            class_ids=class_ids,
            estimate=estimate,
            per_class=tuple(
                ClassFigure(class_id, 4 + class_id, estimate if class_id else None) for class_id in class_ids
            ),
            confusion=tuple(
                tuple(5 if row == column else row for column in range(len(class_ids)))
                for row in range(len(class_ids))
            ),
            curve_point=(10 * (made + 1), right / measured),
        )
    )
    project.predictions.replace(number, ids, class_ids, rows)
    return number


def suggest_zero_shot(project: Project) -> int:
    """Zero-shot suggestions of class ``i mod 3`` for image ``i``, with a probability of 0.6."""
    ids, classes = project.images.labelable_ids(), project.classes.all()
    rows = np.full((ids.size, len(classes)), 0.2, dtype=np.float32)
    rows[np.arange(ids.size), ids % len(classes)] = 0.6
    made = ZeroShot("hf:tiny", "key", tuple((each.id, each.name) for each in classes), ids.size)
    return project.predictions.replace_by_zero_shot(made, ids, rows)


EXAMPLES = {"image_id": "0", "model_number": "1", "path": "page.css"}
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


def every_route(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and address of everything the application answers to."""
    for route in app.routes:
        if isinstance(route, Mount):
            yield "GET", f"{route.path}/page.css"
        elif isinstance(route, Route):
            address = re.sub(r"{(\w+)(:\w+)?}", lambda part: EXAMPLES[part[1]], route.path)
            for method in sorted(route.methods or ()):
                yield method, address
        else:
            raise AssertionError(f"a kind of route this test does not know: {route!r}")


def every_address(app: FastAPI) -> list[str]:
    """Every address once."""
    return sorted({address for _, address in every_route(app)})


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Photos and a project made of them, once; tests work on copies of the project."""
    root = tmp_path_factory.mktemp("web")
    photos, folder = root / "photos", root / "project"
    for number in range(IMAGES):
        save_noise(photos / f"IMG_{number:03d}.png", number, (96, 72))
    with Project.create_or_open(photos, folder, CLASSES, budget=200) as project:
        project.images.sync()
    return photos, folder


@pytest.fixture
def project(imported: tuple[Path, Path], tmp_path: Path) -> Iterator[Project]:
    """The project, fresh for every test."""
    photos, folder = imported
    own = tmp_path / "project"
    shutil.copytree(folder, own)
    with Project.create_or_open(photos, own) as opened:
        yield opened


@pytest.fixture(scope="session")
def reader(imported: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A browser with the cookie on a project that all tests share, for requests that change nothing."""
    photos, folder = imported
    own = tmp_path_factory.mktemp("shared") / "project"
    shutil.copytree(folder, own)
    rules = Security(SECRET, PORT)
    with (
        Project.create_or_open(photos, own) as opened,
        TestClient(
            make_app(opened, rules),
            base_url=BASE,
            cookies={rules.cookie_name: SECRET},
            raise_server_exceptions=False,
        ) as client,
    ):
        yield client


@pytest.fixture
def security() -> Security:
    """The rules of a server on this machine."""
    return Security(SECRET, PORT)


@pytest.fixture
def app(project: Project, security: Security) -> FastAPI:
    """The application."""
    return make_app(project, security)


@pytest.fixture
def stranger(app: FastAPI) -> Iterator[TestClient]:
    """A browser without the cookie."""
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(app: FastAPI, security: Security) -> Iterator[TestClient]:
    """A browser with the cookie."""
    cookies = {security.cookie_name: SECRET}
    with TestClient(app, base_url=BASE, cookies=cookies, raise_server_exceptions=False) as client:
        yield client


class ServerProcess:
    """A project's server in a process of its own, as ``aral label`` runs it.

    Attributes:
        link: opens the page once.
        pid: of the process.
    """

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", SERVE, str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self.link = self._process.stdout.readline().strip()

    def kill(self) -> None:
        """End it with SIGKILL; a second call does nothing."""
        with self._process as ending:
            ending.kill()


@pytest.fixture
def serve_in_process() -> Iterator[Callable[[Project], ServerProcess]]:
    """Starts the server of a project in a process of its own, on the project's last port."""
    with ExitStack() as stack:

        def start(project: Project) -> ServerProcess:
            started = ServerProcess(project.folder)
            stack.callback(started.kill)
            return started

        yield start
