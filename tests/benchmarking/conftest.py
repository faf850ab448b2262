"""Jobs of fake work, for the tests of workers and of engines."""

from __future__ import annotations

from pathlib import Path

from aral.benchmarking import Job


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
