"""Jobs on other machines: an engine whose workers report through files in the grid's folder, which all machines share.

A scheduler (:class:`Scheduler`: Ray, SLURM) calls :func:`run_job` on some machine. It runs the job on a fork server of
its own (:mod:`aral.benchmarking.workers`) and appends the messages to a file, which the coordinator reads. Each start
of a job is an *attempt* with files of its own in a folder ``logs/messages-…`` of this coordinator:

- ``ATTEMPT.jsonl``: messages of the worker, one JSON object a line. The file is opened and closed for every message:
  this makes it visible on other machines (close-to-open consistency of NFS).
- ``ATTEMPT.lock``: held while :func:`run_job` runs. Free without a last message: the attempt is lost.
- ``ATTEMPT.stop``: made by the coordinator: save and exit.
- ``coordinator.lock``: held while the coordinator lives. Free: save and exit. Free at the start of a job: the file
  system does not show the locks of one machine to another, and nothing is run.

The lock of the run folder keeps a second attempt out while the first still writes, whatever the scheduler believes; see
:mod:`aral.lock` for what it needs. The last coordinator's folder is removed by the next one; attempts that still
run then miss their files, and save and exit.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from aral.benchmarking.jobs import Job
from aral.benchmarking.workers import LocalEngine
from aral.errors import AralError, BadInput
from aral.lock import FolderLock, is_held

COORDINATOR_LOCK = "coordinator.lock"

LOOK_SECONDS = 1.0
"""How often a running attempt looks whether it is asked to stop."""

LOCK_LOOK_SECONDS = 5.0
"""How often coordinator and attempts look whether the other side still holds its lock."""

READS_PER_SECOND = 100
"""Files of attempts that the coordinator opens in a second, so that hundreds of them do not load the file system."""

Handle = Any
"""What a scheduler calls a job of its own."""


@dataclass(frozen=True)
class UnitResources:
    """What the scheduler sets aside for each unit.

    Attributes:
        threads: processors.
        bytes: memory.
        gpus: graphics cards, 0 or 1.
    """

    threads: int
    bytes: int
    gpus: int

    def __str__(self) -> str:
        processors = "1 CPU" if self.threads == 1 else f"{self.threads} CPUs"
        cards = f", {self.gpus} GPU" if self.gpus else ""
        return f"{processors}, {self.bytes / 1e9:.1f} GB of memory{cards}"


@runtime_checkable
class Scheduler(Protocol):
    """Calls :func:`run_job` on a machine that has the resources."""

    def submit(self, name: str, text: str) -> Handle:
        """Queue a call with this text under a name.

        Raises:
            AralError: it was refused.
        """

    def ended(self, handles: list[Handle]) -> Mapping[Handle, Mapping[str, Any]]:
        """Those of the calls that have ended, with a last message: what :func:`run_job` returned, or ``died``: how.

        Raises:
            RunFailed: the scheduler is gone.
        """

    def obstacle(self) -> str:
        """Why calls may wait for a machine for ever; empty if nothing is known."""

    def cancel(self, handle: Handle) -> None:
        """Take a call out of the queue, or end its process at once."""

    def close(self) -> None:
        """Cancel what is left and disconnect."""


# The coordinator's side


@dataclass
class _Attempt:
    job: str
    handle: Handle
    messages: Path
    read: int = 0
    host: str = ""

    @property
    def lock(self) -> str:
        return self.messages.with_suffix(".lock").name

    def ask_to_stop(self) -> None:
        self.messages.with_suffix(".stop").touch(mode=0o600)


class RemoteEngine:
    """Runs jobs where a scheduler puts them.

    Args:
        scheduler: starts them; closed with the engine.
        logs: folder on a file system that all machines share; gets a folder for messages. No other coordinator may use
            it at the same time.
        work: what a worker does, as ``module:function``; see :data:`aral.benchmarking.jobs.Work`.
        threads: OpenMP threads of each worker.
    """

    ended = False

    def __init__(self, scheduler: Scheduler, logs: Path, work: str, threads: int) -> None:
        self._scheduler = scheduler
        self._work, self._threads = work, threads
        for old in logs.glob("messages-*"):
            shutil.rmtree(old, ignore_errors=True)
        self._folder = Path(mkdtemp(prefix="messages-", dir=logs.absolute()))
        self._lock = FolderLock(self._folder, COORDINATOR_LOCK, "The folder of messages")
        self._attempts: dict[str, _Attempt] = {}
        self._count = 0
        self._waiting: list[dict[str, Any]] = []
        self._looked = time.monotonic()

    def __enter__(self) -> RemoteEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for attempt in self._attempts.values():
            attempt.ask_to_stop()
        self._scheduler.close()
        self._lock.release()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self, job: Job) -> None:
        """Queue a worker."""
        self._count += 1
        messages = self._folder / f"{job.name}.{self._count}.jsonl"
        task = {
            "job": job.name,
            "request": job.request,
            "messages": str(messages),
            "work": self._work,
            "threads": self._threads,
            "folder": str(Path.cwd()),
            "coordinator": socket.gethostname(),
        }
        try:
            handle = self._scheduler.submit(job.name, json.dumps(task))
        except AralError as error:
            self._waiting += _failure(job.name, error)
            return
        self._attempts[job.name] = _Attempt(job.name, handle, messages)
        if self._count == 1 and (obstacle := self._scheduler.obstacle()):
            self._waiting.append({"job": job.name, "event": obstacle})

    def stop(self) -> None:
        """Ask all workers to save and exit; what waits for a machine is taken out of the queue."""
        for attempt in list(self._attempts.values()):
            attempt.ask_to_stop()
            if not attempt.host and not self._news_of(attempt):
                self._lost(attempt, "it was taken out of the queue")

    def messages(self, seconds: float) -> list[dict[str, Any]]:
        """Messages that arrive within so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            self._look()
            if self._waiting or time.monotonic() >= deadline:
                found, self._waiting = self._waiting, []
                return found
            time.sleep(min(seconds, max(0.05, len(self._attempts) / READS_PER_SECOND)))

    def _look(self) -> None:
        attempts = list(self._attempts.values())
        # Before the files are read: what was written before an attempt ended is then in them.
        ended = self._scheduler.ended([attempt.handle for attempt in attempts])
        gone = self._without_lock(attempts)
        for attempt in attempts:
            self._news_of(attempt)
            if attempt.job not in self._attempts:  # its last message has come
                continue
            if attempt.handle in ended:
                message = ended[attempt.handle]
                if "failed" in message:
                    self._waiting += [{"job": attempt.job, **message}, _exit(attempt.job, message["failed"])]
                    del self._attempts[attempt.job]
                else:
                    self._lost(attempt, message.get("died", "it ended without a last message"))
            elif attempt.job in gone:
                self._lost(attempt, "its process is gone")

    def _without_lock(self, attempts: list[_Attempt]) -> set[str]:
        """Jobs that have started and whose process no longer holds its lock."""
        if time.monotonic() - self._looked < LOCK_LOOK_SECONDS:
            return set()
        self._looked = time.monotonic()
        return {one.job for one in attempts if one.host and not is_held(self._folder, one.lock)}

    def _news_of(self, attempt: _Attempt) -> bool:
        """Queue what a worker has reported since the last look; whether there was anything."""
        try:
            with attempt.messages.open("rb") as file:
                file.seek(attempt.read)
                lines = file.read()
        except OSError:  # not there yet, or the file server has a moment of trouble
            return False
        whole = lines[: lines.rfind(b"\n") + 1]
        attempt.read += len(whole)
        for line in whole.splitlines():
            try:
                message = {"job": attempt.job} | json.loads(line)
            except ValueError:  # half a line of a machine that went down
                message = {"job": attempt.job, "event": f"an unreadable message of {attempt.host}"}
            if "died" in message:
                self._lost(attempt, message["died"])
                break
            attempt.host = message.get("host", attempt.host)
            self._waiting.append(message)
            if "exit" in message:
                self._attempts.pop(attempt.job, None)
        return bool(whole)

    def _lost(self, attempt: _Attempt, how: str) -> None:
        """Give an attempt up; should it still run behind a broken network, it finds the request to stop."""
        attempt.ask_to_stop()
        self._scheduler.cancel(attempt.handle)
        self._attempts.pop(attempt.job, None)
        where = f" on {attempt.host}" if attempt.host else ""
        self._waiting.append({"job": attempt.job, "died": f"{how}{where}"})


def _failure(job: str, error: AralError) -> list[dict[str, Any]]:
    return [{"job": job, **_failed(error)}, _exit(job, error.exit_code)]


def _failed(error: AralError) -> dict[str, Any]:
    return {"failed": error.exit_code, "problem": error.problem, "hint": error.hint}


def _exit(job: str, code: int) -> dict[str, Any]:
    return {"job": job, "exit": code}


# On the other machine


def run_job(text: str, stopping: Callable[[], bool] = lambda: False) -> str:
    """Run a job on this machine, and write its messages to the shared folder.

    Args:
        text: the task as JSON: ``job``, ``request``, ``messages``, ``work``, ``threads``, ``folder``, ``coordinator``.
        stopping: whether the machine asks it to stop, a few times a second; it saves first.

    Returns:
        Empty; a last message as JSON if this machine does not see the shared folder.
    """
    task = json.loads(text)
    job, messages, host = task["job"], Path(task["messages"]), socket.gethostname()
    folder = messages.parent
    if not folder.is_dir():
        error = BadInput(
            f"{host} does not see the folder {folder} of {task['coordinator']}.",
            "Put it on a file system that all machines share: --folder DIR, of aral select --features DIR",
        )
        return json.dumps(_failed(error))
    if messages.with_suffix(".stop").exists():
        return ""
    try:
        _check_locks(folder, host, task["coordinator"])
        lock = FolderLock(folder, messages.with_suffix(".lock").name, f"Job {job}")
    except AralError as error:
        for message in _failure(job, error):
            _append(messages, message)
        return ""
    try:
        _run(task, messages, host, stopping)
    finally:
        lock.release()
    return ""


def _check_locks(folder: Path, host: str, coordinator: str) -> None:
    """Refuse to run where the coordinator's lock cannot be seen.

    Raises:
        BadInput: it cannot, or the coordinator has ended meanwhile.
    """
    if not is_held(folder, COORDINATOR_LOCK):
        raise BadInput(
            f"{host} does not see that {coordinator} has locked {folder / COORDINATOR_LOCK}: two machines could run "
            "one unit at once.",
            "Use a file system whose locks (flock) hold on all machines, such as NFS 4 without local_lock, or Lustre "
            "mounted with flock: --folder DIR, of aral select --features DIR",
        )


def _run(task: Mapping[str, Any], messages: Path, host: str, stopping: Callable[[], bool]) -> None:
    job, asked = task["job"], _Asked(messages, stopping)
    folder = Path(task["folder"])
    with (
        open_log(Path(task["request"]["log"])) as log,
        LocalEngine(task["work"], task["threads"], folder if folder.is_dir() else None, log) as engine,
    ):
        engine.start(Job(job, task["request"]))
        stopped = False
        while not engine.ended:
            if not stopped and asked():
                stopped = True
                engine.stop()
            for message in engine.messages(0.1):
                _append(messages, message | ({"host": host} if "process" in message else {}))
                if "exit" in message:
                    return
        _append(messages, {"job": job, "died": "the fork server died"})


def open_log(path: Path) -> Any:
    """A log of a unit, to append to; only its owner may read it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


class _Asked:
    """Whether an attempt is asked to stop: by its machine, by the coordinator, or because that is gone."""

    def __init__(self, messages: Path, stopping: Callable[[], bool]) -> None:
        self._messages, self._stopping = messages, stopping
        self._looked = self._looked_at_lock = time.monotonic()

    def __call__(self) -> bool:
        now = time.monotonic()
        if self._stopping():
            return True
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        if self._messages.with_suffix(".stop").exists():
            return True
        if now - self._looked_at_lock < LOCK_LOOK_SECONDS:
            return False
        self._looked_at_lock = now
        return not is_held(self._messages.parent, COORDINATOR_LOCK)


def _append(path: Path, message: Mapping[str, Any]) -> None:
    """Write a message as one line; the folder may be gone with its coordinator."""
    line = json.dumps(message).encode() + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except FileNotFoundError:
        return
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
