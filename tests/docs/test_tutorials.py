"""Tutorials are executed from top to bottom: Python blocks in one namespace, commands as a user types them."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aral.cli.app import app

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
PATIENCE = 120.0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def execute(name: str) -> dict[str, Any]:
    """Run every block of a tutorial in the working folder; gives what its Python blocks defined."""
    text = (TUTORIALS / name).read_text()
    space: dict[str, Any] = {}
    for language, block in re.findall(r"^```(python|sh)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if language == "python":
            exec(block, space)
            continue
        for line in block.splitlines():
            program, *words = shlex.split(line, comments=True)
            assert program == "aral"
            if words[0] == "label":
                serve_for_a_while(words)
                continue
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, f"{line}: {done.output} {done.exception!r}"
    return space


def serve_for_a_while(words: list[str]) -> None:
    """``aral label`` until the import is done and, where there are labels, a classifier is trained; then Ctrl+C."""
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "aral", *words, "--no-browser", "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        assert server.stdout is not None
        said = ""
        while "could not be read" not in said:
            line = server.stdout.readline()
            assert line, said
            said += line
        deadline = time.monotonic() + PATIENCE
        while (facts := status(words[1]))["counts"]["labelled"] and not facts["models"]:
            assert facts["training"]["phase"] != "failed" and time.monotonic() < deadline, facts["training"]
            time.sleep(0.2)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


def status(photos: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(CliRunner().invoke(app, ["status", photos, "--json"]).stdout)
    return facts


def test_label_a_folder(here: Path) -> None:
    space = execute("label-a-folder.md")
    assert len(space["predictions"]) == 60
    assert space["right"] > 40  # chance: 20
    assert (here / "out" / "README.md").exists()


def test_compare_methods(here: Path) -> None:
    space = execute("compare-methods.md")
    assert len(space["records"]) == 6
    assert all(len(record.rounds) == 2 for record in space["records"])
    assert (here / "comparison" / "comparison.html").exists()
    assert list((here / "runs" / "compare-digits").glob("*.html"))


def test_select_images(here: Path) -> None:
    space = execute("select-images.md")
    assert len(space["labelled"]) == 60 == len(set(space["labelled"]))
    assert space["accuracy"] > 0.8  # chance: 0.1
