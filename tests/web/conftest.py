"""A small project of generated images, clients with and without the cookie, servers in other processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from aral.annotation import Project
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


def paint(path: Path, number: int, size: tuple[int, int] = (96, 72)) -> None:
    """Write an image of noise that depends on the number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).save(path)


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Photos and a project made of them, once; tests work on copies of the project."""
    root = tmp_path_factory.mktemp("web")
    photos, folder = root / "photos", root / "project"
    for number in range(IMAGES):
        paint(photos / f"IMG_{number:03d}.png", number)
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
