"""Projects on read-only media: they are looked at and exported, and nothing is made beside them."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from aral.annotation import Project, examine, export, status
from aral.annotation.database import FILE_NAME
from aral.errors import BadInput
from aral.testing import answer_event

NOBODY = 65534


@pytest.fixture
def outside() -> Iterator[Path]:
    """A folder that another user can reach."""
    folder = Path(mkdtemp(prefix="aral-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    for each in (folder, *folder.rglob("*")):
        if each.is_dir():
            each.chmod(0o755)
    shutil.rmtree(folder)


@contextmanager
def without_access(folder: Path) -> Iterator[None]:
    """Within the block nothing in a folder can be written, by root either, and nothing in it has changed after it."""
    before = {each: each.stat().st_mtime_ns for each in folder.rglob("*")}
    for each in (folder, *before):
        each.chmod(0o555 if each.is_dir() else 0o444)
    is_root = os.geteuid() == 0
    if is_root:  # permissions do not bind root
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
    assert {each: each.stat().st_mtime_ns for each in folder.rglob("*")} == before


Locked = Callable[[bool], Path]


@pytest.fixture
def make_copy(project: Project, photos: Path, outside: Path) -> Locked:
    """Copies photos with their project, with two answers, to media of its own; with or without a log left behind."""

    def make(with_log: bool) -> Path:
        project.annotations.append_many([answer_event(0, 0), answer_event(1, 1)])
        if not with_log:
            project.close()
        return shutil.copytree(photos, outside / "photos", ignore=shutil.ignore_patterns("*-shm"))

    return make


@pytest.mark.parametrize("with_log", [False, True])
def test_a_read_only_project_is_read_with_its_log(make_copy: Locked, outside: Path, with_log: bool) -> None:
    photos = make_copy(with_log)
    log = photos / ".aral" / f"{FILE_NAME}-wal"
    assert (log.exists() and log.stat().st_size > 0) == with_log
    (outside / "out").mkdir(mode=0o777)
    (outside / "out").chmod(0o777)
    with without_access(photos):
        with Project.open(photos) as project:
            assert project.read_only and project.labels.counts().labelled == 2
            found = status(project)
            assert found.facts["read only"] is True and "read only" in found.sentences[0]
            with pytest.raises(BadInput, match="read only"):
                project.annotations.append(answer_event(2, 0))
            with pytest.raises(BadInput, match="read only"):
                project.settings.add_to_budget(3)
            export(project, outside / "out" / "export", ("csv", "jsonl"))
        checks = {check.name: check for check in examine(photos)}
        assert "read only" in checks["permissions"].found and checks["database"].verdict == "good"
        assert checks["photos"].verdict == "good"
        with pytest.raises(BadInput, match="cannot be stored"):
            Project.create_or_open(photos)
    assert len((outside / "out" / "export" / "labels.csv").read_text().splitlines()) == 3


def test_an_older_project_is_read_without_migrating_it(make_copy: Locked) -> None:
    photos = make_copy(False)
    path = photos / ".aral" / FILE_NAME
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "project-layout-1.sql").read_text())
    with without_access(photos), Project.open(photos) as project:
        assert project.classes.all()


def test_a_writable_project_is_not_read_only(project: Project) -> None:
    assert not project.read_only and status(project).facts["read only"] is False
