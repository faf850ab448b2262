"""Bad input to every command: exit code 2, one screen, what was wrong, and nothing made or changed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aral.annotation import Project, SyncResult
from aral.annotation.images import Images
from aral.cli.printing import printable
from aral.testing import save_noise

MOST_LINES = 30

PLACES = ("missing", "file.txt", "empty", "line\nbreak", "\x1b[31mred", "empty.png")
FOLDER_COMMANDS = (
    ("label", "{}", "--no-browser"),
    ("serve", "{}"),
    ("sync", "{}"),
    ("status", "{}"),
    ("status", "{}", "--json"),
    ("export", "{}", "out"),
    ("import", "{}", "empty"),
    ("import", "project", "{}"),
    ("predict", "{}", "project"),
    ("predict", "project", "{}"),
    ("doctor", "{}", "--restore"),
    ("report", "{}"),
    ("resume", "{}"),
    ("run", "{}"),
)

HUGE = "99999999999999999999999"
NUMBERS = ("nan", "-1", "1e999", "0.5.1", "", "٣x", HUGE)
NUMBER_OPTIONS = (
    ("label", "project", "--budget"),
    ("label", "project", "--estimate-share"),
    ("label", "project", "--estimate-size"),
    ("label", "project", "--port"),
    ("label", "project", "--query-size"),
    ("label", "project", "--max-pixels"),
    ("label", "project", "--threads"),
    ("sync", "project", "--watch"),
    ("predict", "project", "project", "--max-pixels"),
    ("run", "digits", "--budget"),
    ("run", "digits", "--query-size"),
    ("run", "digits", "--steps"),
    ("report", "empty", "--accuracy"),
)

WORDS = (
    ("label", "project", "--classes", "a,Typo"),
    ("label", "project", "--method", "nothing"),
    ("label", "project", "--effort", "nothing"),
    ("label", "project", "--set", "nothing=1"),
    ("label", "project", "--estimate-size", "3", "--estimate-share", "0.1"),
    ("label", "project", "--project", "file.txt"),
    ("label", "project", "--labels", "missing.csv"),
    ("export", "project", "out", "--format", "nothing"),
    ("export", "project", "project"),
    ("export", "project", "file.txt"),
    ("import", "project", "99", "--undo"),
    ("doctor", "--restore"),
    ("run", "nothing"),
    ("run", "digits", "--method", "nothing"),
    ("run", "digits", "--set", "nothing"),
    ("compare", "digits", "--methods", "nothing"),
    ("figures", "nothing"),
    ("settings", "nothing"),
    ("list", "nothing"),
    ("nothing",),
)


@pytest.fixture
def things(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, and places that are none; what is accepted by mistake ends at once."""

    def accepted(*arguments: object, **more: object) -> None:
        raise SystemExit(0)

    for name in ("aral.cli.serving.serve_project", "aral.cli.label.serve_project", "aral.benchmarking.run"):
        monkeypatch.setattr(name, accepted)
    (here / "empty").mkdir()
    (here / "file.txt").write_text("text")
    (here / "empty.png").touch()
    (here / "line\nbreak").mkdir()
    for number in range(4):
        save_noise(here / "project" / f"{number}.png", number)
    with Project.create_or_open(here / "project", class_names=("a", "b")) as project:
        project.images.sync()
    return here


def contents(folder: Path) -> dict[str, int]:
    """All files but locks and what SQLite leaves, with their sizes."""
    return {
        str(file.relative_to(folder)): file.stat().st_size
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix != ".lock" and not file.name.endswith(("-wal", "-shm"))
    }


def check(
    aral: Callable[..., int], capsys: pytest.CaptureFixture[str], things: Path, words: tuple[str, ...]
) -> None:
    before = contents(things)
    assert aral(*words) == 2, words
    said = capsys.readouterr()
    assert said.err.strip() and len(said.err.splitlines()) <= MOST_LINES
    assert "Traceback" not in said.err and "\x1b" not in said.err + said.out
    assert contents(things) == before, words


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", FOLDER_COMMANDS, ids=" ".join)
def test_places_that_are_not_what_they_should_be(aral, capsys, things: Path, command, place: str) -> None:
    check(aral, capsys, things, tuple(word.format(place) for word in command))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("command", NUMBER_OPTIONS, ids=" ".join)
def test_numbers_out_of_range(aral, capsys, things: Path, command, number: str) -> None:
    if command[0] == "run" and number == HUGE:
        return  # as many labels and steps as there are images and time
    check(aral, capsys, things, (*command, number))


@pytest.mark.parametrize("command", WORDS, ids=" ".join)
def test_unknown_names_and_contradictions(aral, capsys, things: Path, command) -> None:
    check(aral, capsys, things, command)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space is left"),
        (errno.EROFS, "read only"),
        (errno.EMFILE, "Too many files"),
        (errno.EIO, "reports an error"),
    ],
)
def test_errors_of_the_machine_are_one_line(
    aral, capsys, things: Path, monkeypatch, number: int, words: str
) -> None:
    def fail(*arguments: object, **more: object) -> SyncResult:
        raise OSError(number, "faked", "some\x1bfile")

    monkeypatch.setattr(Images, "sync", fail)
    assert aral("sync", "project") == 1
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said and len(said.splitlines()) == 2
    assert "\x1b" not in said


def test_names_do_not_act_on_the_terminal(aral, capsys, here: Path) -> None:
    hostile = "\x1b[2Jgone\x07\u202e\x9b31m"
    save_noise(here / "photos" / "0.png", 0)
    with Project.create_or_open(here / "photos", class_names=(hostile, "b")) as project:
        project.images.sync()
    assert aral("status", "photos") == 0
    said = capsys.readouterr()
    assert "gone" in said.out and printable(said.out + said.err) == said.out + said.err
    assert aral("label", "photos", "--classes", hostile + "x", "--no-browser") == 2
    said = capsys.readouterr()
    assert printable(said.err) == said.err and "gone" in said.err


def test_what_is_printed() -> None:
    assert printable("a\nb\tc é 図") == "a\nb\tc é 図"
    assert printable("\x1b[31m\r\x00\udc80\u202e") == "\\x1b[31m\\r\\x00\\udc80\\u202e"


def test_a_run_that_is_read_only_is_reported_elsewhere(
    aral, capsys, here: Path, finished_run: Path, monkeypatch
) -> None:
    run = Path(shutil.copytree(finished_run, here / "run"))
    before = contents(run)
    access = os.access

    def without_writing(path: Path, mode: int, **more: bool) -> bool:
        return not (path == Path("run") and mode & os.W_OK) and access(path, mode, **more)

    monkeypatch.setattr(os, "access", without_writing)
    monkeypatch.setattr(os, "supports_effective_ids", {os.access})
    assert aral("report", "run", "--target", "elsewhere") == 0
    assert "read only" in capsys.readouterr().err
    assert (here / "elsewhere" / "report.html").exists() and contents(run) == before
