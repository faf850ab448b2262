"""A project whose database is on a server, as users type it: one machine serves the page, another one trains."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aral.testing import PostgresServer, save_digits

SECONDS = 60.0


@pytest.fixture
def photos(here: Path) -> Path:
    save_digits(here / "photos", 6)
    return here / "photos"


@pytest.mark.usefixtures("postgres")
def test_mistakes_name_what_to_do(
    aral, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARAL_DATABASE", f"postgresql:///labels?host={photos}")
    assert aral("label", str(photos), "--no-browser") == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert aral("label", str(photos), "--database", "postgresql://ann:secret@server/labels") == 2
    said = capsys.readouterr().err
    assert "~/.pgpass" in said and "secret" not in said
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert aral("label", str(photos), "--no-browser") == 2
    assert "pip install 'aral[postgres]'" in capsys.readouterr().err
    assert aral("train-worker", str(photos)) == 2


def test_the_training_worker_is_elsewhere(
    aral, photos: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    def wait(condition: Callable[[dict], bool]) -> dict:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            capsys.readouterr()
            if (photos / ".aral" / "database.json").exists() and aral("status", str(photos), "--json") == 0:
                facts: dict = json.loads(capsys.readouterr().out)
                if condition(facts):
                    return facts
            time.sleep(0.2)
        raise AssertionError("it never happens")

    command = [sys.executable, "-m", "aral"]
    served = subprocess.Popen(
        [*command, "label", photos, "--no-browser", "--no-train", "--database", postgres.address()]
    )
    worker = None
    try:
        facts = wait(lambda facts: facts["images"] == 6 and facts["training"]["phase"] == "off")
        assert facts["training worker"] is None and facts["database"].startswith("owner@")
        worker = subprocess.Popen([*command, "train-worker", photos])
        facts = wait(lambda facts: facts["training"]["message"] == "Waiting for a second class.")
        assert facts["training worker"]["pid"] == worker.pid
        worker.kill()
        facts = wait(lambda facts: facts["training"]["message"] == "The training worker has ended.")
        assert facts["training worker"] is None
        served.send_signal(signal.SIGINT)
        assert served.wait(SECONDS) == 130
    finally:
        for process in (served, worker):
            if process is not None:
                process.kill()
                process.wait()
