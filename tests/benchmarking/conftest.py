"""Jobs of fake work, for the tests of workers and of engines; one token for all clusters of Ray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aral.benchmarking import Job


@pytest.fixture(scope="session", autouse=True)
def ray_token() -> Iterator[str]:
    """The token of every cluster that a test starts: Ray reads it once in a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", token := "ab" * 32)
        yield token


def fake(folder: Path, name: str, action: str, times: int = 0) -> Job:
    """A job that does what :mod:`tests.benchmarking.fake_work` has for an action; its files are in the folder."""
    request = {
        "action": action,
        "times": times,
        "starts": str(folder / name),
        "log": str(folder / f"{name}.log"),
    }
    return Job(name, request)


def starts(folder: Path, name: str) -> int:
    """How often a job has been started."""
    return len((folder / name).read_text().splitlines())
