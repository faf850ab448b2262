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
from aral.loop.lock import FolderLock


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
            if starts == 1:
                report({"round": 0, "step": 1})
            for process in (os.getppid(), os.getpid()):  # as SLURM does, to all processes of a job
                os.kill(process, signal.SIGUSR2)
            while not stopping():
                time.sleep(0.01)
            raise Stopped("Stopped; saved.", "Go on.")
        case "alone":
            lock = FolderLock(starts_file.parent, "alone.lock", seconds=30.0)
            with starts_file.with_suffix(".order").open("a") as file:
                file.write(f"begin {starts}\n")
                file.flush()
                while starts == 1 and not stopping():
                    time.sleep(0.01)
                file.write(f"end {starts}\n")
            lock.release()
        case "wait" | "wait once" if starts == 1 or request["action"] == "wait":
            while not stopping():
                time.sleep(0.01)
            starts_file.with_suffix(".saved").write_text("saved")
            raise Stopped("Stopped; saved.", "Go on.")
    report({"round": 0, "labelled": 1, "accuracy": starts / 10})
