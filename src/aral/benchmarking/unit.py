"""What a worker does with one unit of a grid: its run, from wherever it was left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aral.benchmarking.nursery import Report
from aral.benchmarking.runs import load_data, run
from aral.benchmarking.spec import validated
from aral.errors import BadInput, Stopped
from aral.loop import Observer
from aral.loop.lock import FolderLock

WORK = "aral.benchmarking.unit:work"
LOCK_SECONDS = 600.0
"""How long to wait for a folder that a worker of a killed grid still holds: it ends after the step, query or
evaluation it is in."""


class Reporter(Observer):
    """Passes progress on, steps at most twice a second.

    Args:
        report: takes a message.
    """

    PAUSE_SECONDS = 0.5

    def __init__(self, report: Report) -> None:
        self._report = report
        self._reported = 0.0

    def stage(self, round_number: int, what: str) -> None:
        """Pass it on."""
        self._report({"round": round_number, "stage": what})

    def step(self, round_number: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Pass it on, now and then."""
        if step == steps or time.monotonic() - self._reported > self.PAUSE_SECONDS:
            self._reported = time.monotonic()
            self._report({"round": round_number, "step": step})

    def evaluated(self, round_number: int, labelled: int, numbers: Mapping[str, float]) -> None:
        """Pass the accuracy on."""
        self._report({"round": round_number, "labelled": labelled, "accuracy": numbers["accuracy"]})

    def event(self, kind: str, message: str) -> None:
        """Pass it on."""
        self._report({"event": f"{kind}: {message}"[:500]})


def work(request: Mapping[str, Any], report: Report, stopping: Callable[[], bool]) -> None:
    """Run or resume a unit.

    Args:
        request: ``spec``, the settings; ``folder``, the run folder; ``root``, the folder of data sets or None.
        report: takes progress.
        stopping: asked after every step.

    Raises:
        BadInput: the data or the folder do not fit the settings.
        Stopped: ``stopping`` said so.
        RunFailed: training failed.
    """
    spec, folder = validated(request["spec"]), Path(request["folder"])
    wait_for_folder(folder, stopping)
    data = load_data(spec, Path(request["root"]) if request["root"] else None)
    run(spec, data, folder, Reporter(report), stopping)


def wait_for_folder(folder: Path, stopping: Callable[[], bool], seconds: float = LOCK_SECONDS) -> None:
    """Return when nobody holds a run folder any more.

    Raises:
        BadInput: it was held all the time; names the process.
        Stopped: ``stopping`` said so.
    """
    deadline = time.monotonic() + seconds
    while folder.is_dir():
        try:
            FolderLock(folder).release()
        except BadInput:
            if time.monotonic() > deadline:
                raise
            if stopping():
                raise Stopped("Stopped before the run began.", "Run the same command again.") from None
        else:
            return
