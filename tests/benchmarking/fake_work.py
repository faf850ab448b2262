"""Work that does what its request says, for tests of workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aral.benchmarking.jobs import Report
from aral.errors import BadInput, Stopped
from aral.lock import FolderLock


def work(request: Mapping[str, Any], report: Report, stopping: Callable[[], bool]) -> None:
    """Leave a line for each start, then die, fail, wait or report an accuracy."""
    starts_file = Path(request["starts"])
    with starts_file.open("a") as file:
        file.write(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}\n")
    starts = len(starts_file.read_text().splitlines())
    print("printed by the worker")
    match request["action"]:
        case "killed" if starts <= request["times"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case "error" if starts <= request["times"]:
            raise RuntimeError("an unexpected error")
        case "bad input":
            raise BadInput("The request is wrong.", "Ask for something else.")
        case "stopped by its machine" if starts <= request["times"]:
            preempted(starts, report)
            wait(starts_file, stopping)
        case "alone":
            alone(starts_file, starts, stopping)
        case "wait":
            wait(starts_file, stopping)
        case "wait for another" if starts == 1:
            wait(starts_file, stopping, lambda: any(starts_file.parent.glob("*.saved")))
    report({"round": 0, "labelled": 1, "accuracy": starts / 10})


def preempted(starts: int, report: Report) -> None:
    """Be asked to stop as SLURM does, by a signal to all processes of a job; the first start has done a step."""
    if starts == 1:
        report({"round": 0, "step": 1})
    for process in (os.getppid(), os.getpid()):
        os.kill(process, signal.SIGUSR2)


def wait(starts_file: Path, stopping: Callable[[], bool], over: Callable[[], bool] = lambda: False) -> None:
    """Until it is asked to stop, then save; or until something else has happened."""
    while not stopping():
        if over():
            return
        time.sleep(0.01)
    starts_file.with_suffix(".saved").write_text("saved")
    raise Stopped("Stopped; saved.", "Go on.")


def alone(starts_file: Path, starts: int, stopping: Callable[[], bool]) -> None:
    """Hold a lock, as a unit does that of its run folder; the first start holds it until it is asked to stop."""
    lock = FolderLock(starts_file.parent, "alone.lock", seconds=30.0)
    with starts_file.with_suffix(".order").open("a") as file:
        file.write(f"begin {starts}\n")
        file.flush()
        while starts == 1 and not stopping():
            time.sleep(0.01)
        file.write(f"end {starts}\n")
    lock.release()
