"""A folder of one's own to give commands in."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, without any data set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARAL_DATA", str(tmp_path / "data"))
    return tmp_path
