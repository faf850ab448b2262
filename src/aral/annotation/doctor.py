"""Check an installation and a project: versions, memory, disk, permissions, database, photos, classifier."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aral.annotation import Project
from aral.annotation.classifier import Classifier
from aral.annotation.database import FILE_NAME
from aral.annotation.database_address import ADDRESS_NAME
from aral.annotation.portable import ONNX_PACKAGES
from aral.annotation.project import find_project
from aral.annotation.project_status import worker_sentence
from aral.errors import AralError
from aral.loop.database import is_read_only
from aral.plural import counted

Verdict = Literal["good", "note", "bad"]
LEAST_FREE = 2**30
LEAST_MEMORY = 2 * 2**30
NEEDED = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "safetensors",
    "pydantic",
    "fastapi",
    "uvicorn",
    "jinja2",
)


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        verdict: ``bad`` prevents labelling or training, ``note`` may do so later.
        found: what was found.
        hint: what to do; empty if nothing is needed.
    """

    name: str
    verdict: Verdict
    found: str
    hint: str = ""


def examine(folder: Path | None = None) -> list[Check]:
    """Check this machine and, if a folder is given, its project; nothing is changed."""
    checks = [_python(), *_packages(), _onnx(), _memory(), _disk(folder or Path.cwd())]
    if folder is not None:
        checks += list(_project(folder))
    return checks


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    good = sys.version_info >= (3, 11)
    return Check("Python", "good" if good else "bad", version, "" if good else "Use Python 3.11 or newer.")


def _packages() -> Iterator[Check]:
    for name in NEEDED:
        try:
            yield Check(name, "good", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "bad", "missing", f"Install it: pip install {name}")


def _onnx() -> Check:
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return Check("ONNX export", "note", "not installed", "To use it: pip install 'aral[onnx]'")
    return Check("ONNX export", "good", "installed")


def _memory() -> Check:
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return Check("memory", "note", "unknown")
    if free < LEAST_MEMORY:
        return Check("memory", "note", f"{_size(free)} free", "Close other programs if training is slow.")
    return Check("memory", "good", f"{_size(free)} free")


def _disk(folder: Path) -> Check:
    existing = next((each for each in (folder, *folder.parents) if each.exists()), Path.cwd())
    free = shutil.disk_usage(existing).free
    if free < LEAST_FREE:
        return Check("disk", "bad", f"{_size(free)} free at {existing}", "Free some space.")
    return Check("disk", "good", f"{_size(free)} free")


def _project(folder: Path) -> Iterator[Check]:
    try:
        project_folder = find_project(folder)
        yield _permissions(project_folder)
        if (project_folder / FILE_NAME).exists():
            yield _database(project_folder / FILE_NAME)
        with Project.open(folder) as project:
            if project.server:
                yield _server(project)
            yield _photos(project)
            yield _pixels(project)
            yield from _models(project)
            yield _training(project)
    except AralError as error:
        yield Check("project", "bad", error.problem, error.hint)


def _permissions(folder: Path) -> Check:
    mode = stat.S_IMODE(folder.stat().st_mode)
    name = FILE_NAME if (folder / FILE_NAME).exists() else ADDRESS_NAME
    if is_read_only(folder / name):
        return Check(
            "permissions",
            "note",
            f"{folder} is read only: nothing can be labelled here",
            f"chmod 700 {folder}",
        )
    if mode & 0o077:
        return Check(
            "permissions", "note", f"other users can read {folder} ({mode:o})", f"chmod 700 {folder}"
        )
    return Check("permissions", "good", f"{mode:o}")


def _database(path: Path) -> Check:
    if is_read_only(path):
        return Check("database", "good", "it is read only; opening it checks it")
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        (answer,) = connection.execute("PRAGMA quick_check").fetchone()
    except sqlite3.DatabaseError as error:
        answer = str(error)
    finally:
        connection.close()
    if answer != "ok":
        return Check(
            "database",
            "bad",
            str(answer),
            f"To put back a backup: aral doctor {path.parent} --restore",
        )
    return Check("database", "good", "the file is intact")


def _server(project: Project) -> Check:
    found = f"{project.server}; {worker_sentence(project.worker.current())}"
    if project.read_only:
        return Check("database", "note", f"{found} Nothing can be changed with the rights of this user.")
    return Check("database", "good", found)


def _photos(project: Project) -> Check:
    if not project.photos.is_dir():
        return Check("photos", "bad", f"{project.photos} is missing", "Is the drive connected?")
    count, unreadable = project.images.count(), len(project.images.unreadable())
    found = f"{counted(count, 'image')}, {unreadable} unreadable"
    if not count:
        return Check("photos", "bad", found, f"aral sync {project.photos}")
    return Check("photos", "note" if unreadable else "good", found)


def _pixels(project: Project) -> Check:
    file = project.images.pixels()
    ids = project.images.labelable_ids()
    rows = file.path.stat().st_size // file.row_bytes if file.path.exists() else 0
    if ids.size and int(ids[-1]) >= rows:
        return Check(
            "pixels",
            "bad",
            f"{counted(rows, 'row')} for {counted(int(ids[-1]) + 1, 'image')}",
            "Start a new project.",
        )
    return Check("pixels", "good", f"{file.channels}×{file.side}×{file.side}")


def _models(project: Project) -> Iterator[Check]:
    models = project.models.all()
    if not models:
        yield Check("classifier", "note", "none has been trained yet")
        return
    try:
        classifier = Classifier.load(project.folder / models[-1].folder)
        yield Check("classifier", "good", f"round {models[-1].round}, its checksums are correct")
    except AralError as error:
        yield Check(
            "classifier", "bad", error.problem, "Label some more images: the next round trains a new one."
        )
        return
    try:
        backbone = classifier.backbone()
        if backbone is not None:
            yield Check("backbone", "good", f"{backbone.name}, licence {backbone.licence}")
    except AralError as error:
        yield Check("backbone", "bad", error.problem, error.hint)


def _training(project: Project) -> Check:
    state = project.models.training_state()
    if state.phase == "failed":
        return Check("training", "bad", state.message, "Run aral label again.")
    return Check("training", "good", state.phase)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
