"""The nursery: a process that has imported everything once and forks a worker for each unit.

Started as ``python -c COMMAND MODULE:FUNCTION`` with :data:`COMMAND`. It reads one JSON object a line from its
standard input, ``{"unit": name, "log": file, ...}``, calls the function with it in a forked worker, and
writes one JSON object a line to its standard output: what the workers report, and how each ended.

Who dies takes nobody with it by surprise, and nobody lives on alone:

- The standard input ends when whoever started the nursery closes it or dies, SIGKILL included. Workers are then
  asked to stop; they save and end, and so does the nursery.
- Workers hold the reading end of a pipe that only the nursery can write to. It breaks when the nursery dies, and
  they stop by themselves after the step they are in.
- Until then the run folder's lock keeps anybody else out, so no unit is ever run twice at once.

Why not :mod:`multiprocessing`: its workers import the caller's ``__main__`` again, which calls for a guard in
every script, and they inherit the caller's environment, where the number of OpenMP threads must be set before
PyTorch is loaded. Nothing is pickled here.
"""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeAlias

from aral.errors import AralError

Report: TypeAlias = Callable[[Mapping[str, Any]], None]
"""Sends one message to whoever started the nursery."""

Work: TypeAlias = Callable[[Mapping[str, Any], Report, Callable[[], bool]], None]
"""What a worker does: takes the request, a way to report, and whether it is asked to stop."""

COMMAND = "from aral.benchmarking.nursery import main; main()"
CRASHED = 70
LONGEST_TEXT = 1000
"""Of a message, in characters: a line stays below 4096 bytes and thus arrives in one piece (PIPE_BUF)."""


class Nursery:
    """The loop of the process.

    Args:
        work: what each worker does.
        requests: descriptor to read requests from.
        reports: descriptor to write reports to.
    """

    PATIENCE_SECONDS = 0.05

    def __init__(self, work: Work, requests: int, reports: int) -> None:
        self._work = work
        self._requests = requests
        self._reports = reports
        self._workers: dict[int, str] = {}
        self._alive_to_read, self._alive_to_hold = os.pipe()

    def serve(self) -> None:
        """Start workers until the requests end, then ask those left to stop, and wait for them."""
        unread = b""
        open_for_requests = True
        while open_for_requests or self._workers:
            watched = [self._requests] if open_for_requests else []
            if select.select(watched, [], [], self.PATIENCE_SECONDS)[0]:
                read = os.read(self._requests, 1 << 16)
                *lines, unread = (unread + read).split(b"\n")
                for line in lines:
                    self._start(json.loads(line))
                if not read:
                    open_for_requests = False
                    for worker in self._workers:
                        os.kill(worker, signal.SIGTERM)
            self._reap()

    def _start(self, request: Mapping[str, Any]) -> None:
        worker = os.fork()
        if worker == 0:
            self._become_worker(request)
        self._workers[worker] = request["unit"]
        send(self._reports, {"unit": request["unit"], "process": worker})

    def _reap(self) -> None:
        while self._workers:
            worker, status = os.waitpid(-1, os.WNOHANG)
            if worker == 0:
                return
            unit = self._workers.pop(worker)
            send(self._reports, {"unit": unit, "exit": os.waitstatus_to_exitcode(status)})

    def _become_worker(self, request: Mapping[str, Any]) -> NoReturn:
        code = CRASHED
        try:
            asked: list[int] = []
            signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
            os.close(self._alive_to_hold)
            os.close(self._requests)
            log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)

            def stopping() -> bool:
                return bool(asked) or bool(select.select([self._alive_to_read], [], [], 0)[0])

            code = self._carry_out(request, stopping)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # the nursery's own clean-up is not the worker's

    def _carry_out(self, request: Mapping[str, Any], stopping: Callable[[], bool]) -> int:
        unit = request["unit"]
        try:
            self._work(request, lambda message: send(self._reports, {"unit": unit, **message}), stopping)
        except AralError as error:
            texts = {"problem": error.problem[:LONGEST_TEXT], "hint": error.hint[:LONGEST_TEXT]}
            send(self._reports, {"unit": unit, "failed": error.exit_code, **texts})
            return error.exit_code
        return 0


def send(descriptor: int, message: Mapping[str, Any]) -> None:
    """Write a message as one line; nobody may be listening any more."""
    with contextlib.suppress(BrokenPipeError):
        os.write(descriptor, json.dumps(message).encode() + b"\n")


def work_named(name: str) -> Work:
    """The function that ``module:function`` names."""
    work: Work = pkgutil.resolve_name(name)
    return work


def main() -> None:
    """Serve on the standard streams; whatever prints goes to the standard error instead."""
    # Some numerical libraries keep idle threads, and know how to be forked.
    warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
    reports = os.dup(1)
    os.dup2(2, 1)
    work = work_named(sys.argv[1])
    Nursery(work, 0, reports).serve()
    os._exit(0)  # taking PyTorch down in order would take seconds
