"""The commands of labelling as a user types them: what they say, what they leave, how they end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aral.labelling import Trainer, TrainingOptions, read_options
from aral.project import Project
from tests.cli.test_commands import aral
from tests.labelling.conftest import CLASSES, OPTIONS, answer_cards, given, save_digits, work


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty-four digits as a project with a classifier."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    save_digits(folder, 24)
    with Project.create_or_open(folder, class_names=CLASSES, budget=20) as project:
        project.import_images()
        trainer = Trainer(project, OPTIONS)
        work(trainer)
        for _ in range(4):
            answer_cards(project, 4)
            work(trainer)
        trainer.close()
        assert project.models()
    return folder


def test_status_says_how_it_stands(photos: Path, monkeypatch, capsys) -> None:
    assert aral(monkeypatch, "status", str(photos)) == 0
    said = capsys.readouterr().out
    assert "24 images" in said and "16 of 20 labels" in said and "The page is not open" in said
    assert aral(monkeypatch, "status", str(photos / ".aral"), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["counts"]["labelled"], facts["page"], facts["training"]["phase"]) == (16, None, "off")


def test_doctor_with_and_without_a_project(photos: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    assert aral(monkeypatch, "doctor", str(photos)) == 0
    assert "good classifier" in capsys.readouterr().out
    (photos / ".aral" / "project.sqlite").write_bytes(b"\0" * 4096)
    assert aral(monkeypatch, "doctor", str(photos), "--json") == 1
    assert "bad" in {check["verdict"] for check in json.loads(capsys.readouterr().out)}


def test_export_predict_import(photos: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    assert aral(monkeypatch, "export", str(photos), "out", "--json") == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert "report.html" in files and "model/" in files
    for name in files:
        assert (tmp_path / "out" / name).exists(), name
    assert "http://" not in (tmp_path / "out" / "report.html").read_text().replace("http://www.w3.org", "")
    save_digits(tmp_path / "new", 3, first=60)
    assert aral(monkeypatch, "predict", "out", "new", "--target", "said.csv") == 0
    assert "3 images are classified" in capsys.readouterr().out
    assert len(Path("said.csv").read_text().splitlines()) == 4
    assert aral(monkeypatch, "import", str(photos), "out/labels.csv", "--annotator", "Zoe") == 0
    assert "16 labels are taken in" in capsys.readouterr().out
    with Project.open(photos) as project:
        assert project.answered_count().labelled == 16


def test_sync_takes_in_what_is_new(photos: Path, monkeypatch, capsys) -> None:
    save_digits(photos, 3, first=24)
    next(photos.glob("*-000.png")).unlink()
    assert aral(monkeypatch, "sync", str(photos)) == 0
    assert "3 new images, 1 gone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["status", "nowhere"], 2, "There is no project in nowhere."),
        (["predict", "photos", "nowhere"], 2, "There is no folder nowhere."),
        (["export", "photos", "photos"], 2, "belongs to the photos"),
        (["import", "photos", "labels.xls"], 2, "neither"),
        (["label", "nowhere"], 2, "There is no folder nowhere."),
        (["label", "photos", "--host", "0.0.0.0", "--no-browser", "--no-train"], 2, "--allow-remote"),
        (["label", "photos", "--method", "arall", "--no-browser"], 2, "Did you mean 'aral'"),
        (["label", "photos", "--threads", "0", "--no-browser"], 2, "Option threads"),
        (["export", "photos", "out", "--form", "jsonx"], 2, "Did you mean 'jsonl'"),
    ],
)
def test_what_is_wrong_is_said_in_words(photos: Path, monkeypatch, capsys, words, code, said) -> None:
    assert aral(monkeypatch, *words) == code
    problem = capsys.readouterr().err
    assert said in problem and "Traceback" not in problem


def start(photos: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "aral", "label", str(photos), "--no-browser", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def read_until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if found := re.search(pattern, line):
            return found
    raise AssertionError(said)


@pytest.mark.slow
def test_labelling_from_the_command_line(tmp_path: Path, monkeypatch, capsys) -> None:
    photos = tmp_path / "photos"
    for name in ("cat", "dog"):
        save_digits(photos / name, 5, first=0 if name == "cat" else 5)
    words = ("--effort", "quick", "--budget", "8")
    with start(photos, "--no-train", *words) as server:
        try:
            read_until(server, "Classes from the folders: cat, dog")
            link = read_until(server, r"The page is open at (http://127\.0\.0\.1:\d+/)\?token=")
            read_until(server, "10 images")
            with start(photos) as second:
                again = read_until(
                    second, r"This project is open already: (http://127\.0\.0\.1:\d+/)\?token="
                )
                assert second.wait(30) == 0
            assert again[1] == link[1]
            with Project.open(photos) as project:
                assert [each.name for each in project.classes()] == ["cat", "dog"]
                assert project.settings().budget == 8
                project.answer(given(0, 1))
            assert read_options(photos / ".aral") == TrainingOptions(effort="quick")
            server.send_signal(signal.SIGINT)
            read_until(server, "Everything is saved")
            assert server.wait(30) == 0
        finally:
            server.kill()
    with start(photos) as resumed:
        try:
            read_until(resumed, "10 images")
            log = photos / ".aral" / "trainer.log"
            deadline = time.monotonic() + 60
            with Project.open(photos) as project:
                assert project.answered_count().labelled == 1
                while (
                    project.training_state().phase not in ("training", "choosing")
                    and not project.queue_left()
                ):
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.1)
                resumed.send_signal(signal.SIGINT)
                assert resumed.wait(40) == 0
                assert project.training_state().phase == "off"
        finally:
            resumed.kill()
