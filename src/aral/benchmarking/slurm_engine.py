"""Units as jobs of SLURM, through submitit; or as processes of this machine through submitit's local executor.

A job calls :func:`run_slurm_job` with a text. It has a fork server of its own, so environment and logs are those of
local workers. Preemption and the time limit are announced by signals: the unit saves and its job ends, and the
coordinator submits another one, which resumes it. Requeuing by SLURM and submitit's own checkpoints are not used.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aral.benchmarking.remote import Handle, UnitResources, run_job
from aral.benchmarking.workers import note_signals
from aral.errors import BadInput, RunFailed

MOST_JOBS = 100
"""Jobs at once unless told otherwise: clusters limit how many a user may submit."""

DEFAULT_MINUTES = 60
"""Time limit of a job; a longer unit goes on in another one."""

STATE_SECONDS = 30.0
"""How often SLURM is asked for the states of all jobs, in one call of sacct."""

LOOK_SECONDS = 1.0
"""How often it is looked whether jobs have left a result, which submitit's files show."""

END_SECONDS = 5.0
"""How long processes of the local executor may take to end after their unit."""

SUBMIT_FOLDER = "slurm"
"""In the folder of logs: scripts, and what jobs print before and after their unit."""

LOCAL = "local"
"""``cluster=local``: submitit's local executor."""

OF_THE_UNIT = {
    "array": "one job runs one unit",
    "cpus_per_task": "use --threads",
    "ntasks": "a unit is one task",
    "ntasks_per_node": "a unit is one task",
    "nodes": "a unit runs on one node",
    "signal": "use signal_delay_s",
}
"""Options that aral sets, and what to do instead."""

LISTS = ("setup", "teardown", "srun_args")
"""Options of submitit that may be repeated."""

INSTALL = "Install it: pip install 'aral[slurm]'"


def check_slurm(options: Sequence[str]) -> None:
    """Before the data are read: is submitit installed, is this a machine of a SLURM cluster, are the options valid.

    Raises:
        BadInput: no; says what to type.
    """
    if importlib.util.find_spec("submitit") is None:
        raise BadInput("--engine slurm needs submitit, which is not installed.", INSTALL)
    if parsed(options).get("cluster", "slurm") == LOCAL:
        return
    missing = [command for command in ("sbatch", "srun", "scancel") if shutil.which(command) is None]
    if missing:
        raise BadInput(
            f"--engine slurm needs the commands of SLURM, and {', '.join(missing)} cannot be found.",
            "Run it on a login node of the cluster. To try it on this machine: --slurm cluster=local",
        )


def parsed(options: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` options as a table; values are text, numbers, true, or lists.

    Raises:
        BadInput: an option has no value, is given twice, or is set by aral.
    """
    table: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        key = key.strip().removeprefix("--").replace("-", "_")
        if not (key and equals and value):
            raise BadInput(
                f"--slurm {option} has no value.", "Write KEY=VALUE, such as --slurm partition=gpu"
            )
        if key in OF_THE_UNIT:
            raise BadInput(f"--slurm {option} cannot be set.", f"{OF_THE_UNIT[key].capitalize()}.")
        if key in LISTS:
            table.setdefault(key, []).append(value)
        elif key in table:
            raise BadInput(f"--slurm {key} is given twice.", "Give it once.")
        elif key in ("time", "signal_delay_s"):
            if not value.isdecimal() or int(value) < 1:
                unit = "minutes" if key == "time" else "seconds"
                raise BadInput(
                    f"--slurm {option} is no number of {unit}.", f"Give whole {unit}: --slurm {key}=120"
                )
            table[key] = int(value)
        else:
            table[key] = True if value == "true" else value
    if table.get("cluster", "slurm") not in ("slurm", LOCAL):
        raise BadInput(f"--slurm cluster={table['cluster']} is neither slurm nor {LOCAL}.", "Leave it out.")
    return table


class SlurmJobs:
    """Schedules jobs by SLURM.

    Args:
        options: of sbatch, as ``KEY=VALUE``; those that submitit does not know are passed on as they are.
        unit: what each job sets aside.
        logs: the folder of logs; gets a folder for submitit.

    Raises:
        BadInput: an option is wrong.
    """

    def __init__(self, options: Sequence[str], unit: UnitResources, logs: Path) -> None:
        check_slurm(options)
        import submitit

        logging.getLogger("submitit").setLevel(logging.ERROR)  # its warnings would go to the standard output
        self._refused = (
            submitit.core.utils.FailedJobError,
            submitit.core.utils.FailedSubmissionError,
            OSError,
        )
        table = parsed(options)
        self._is_local = table.pop("cluster", "slurm") == LOCAL
        self._folder = (logs / SUBMIT_FOLDER).absolute()
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._executor = submitit.AutoExecutor(self._folder, LOCAL if self._is_local else "slurm")
        own = {
            "timeout_min": table.pop("time", DEFAULT_MINUTES),
            "nodes": 1,
            "tasks_per_node": 1,
            "cpus_per_task": unit.threads,
        }
        if not table.keys() & {"mem_per_cpu", "mem_per_gpu"}:  # sbatch takes one of them
            own["mem_gb"] = math.ceil(unit.bytes / 1e9)
        if unit.gpus and not table.keys() & {"gres", "gpus", "gpus_per_node", "gpus_per_task"}:
            own["gpus_per_node"] = unit.gpus
        self._executor.update_parameters(**own)
        if not self._is_local:
            known = set(submitit.SlurmExecutor._valid_parameters())
            ours = {f"slurm_{key}": value for key, value in table.items() if key in known}
            others = {key.replace("_", "-"): value for key, value in table.items() if key not in known}
            self._executor.update_parameters(**ours, slurm_additional_parameters=others)
        self._jobs: list[Handle] = []
        self._looked = self._asked = time.monotonic()

    def submit(self, name: str, text: str) -> Handle:
        """Submit a job.

        Raises:
            RunFailed: SLURM refused it.
        """
        self._executor.update_parameters(name=name)
        try:
            with _without_interrupts():
                job = self._executor.submit(run_slurm_job, text)
        except self._refused as error:
            reason = " ".join(str(error).split())[-500:]
            raise RunFailed(
                f"SLURM took no job: {reason}",
                "Options of sbatch: --slurm KEY=VALUE. Fewer jobs at once: --workers N",
            ) from error
        self._jobs.append(job)
        return job

    def ended(self, handles: list[Handle]) -> Mapping[Handle, Mapping[str, Any]]:
        """Jobs that have left a result, or that SLURM says have ended."""
        now = time.monotonic()
        if not handles or now - self._looked < (0.0 if self._is_local else LOOK_SECONDS):
            return {}
        self._looked = now
        if now - self._asked > STATE_SECONDS:
            self._asked = now
            handles[0].get_info(mode="force")  # of all jobs
        return {job: self._last_message(job) for job in handles if job.done()}

    def _last_message(self, job: Handle) -> Mapping[str, Any]:
        return {"died": f"job {job.job_id} ended as {job.state}, see {job.paths.stderr}"}

    def obstacle(self) -> str:
        """SLURM refuses what it cannot run."""
        return ""

    def cancel(self, handle: Handle) -> None:
        """Take a job out of the queue, or end it."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            if self._is_local:
                if not handle.done():
                    os.kill(int(handle.job_id), signal.SIGTERM)
            else:
                handle.cancel(check=False)

    def close(self) -> None:
        """Cancel the jobs that are left."""
        if self._is_local:  # the last ones are about to end
            self._wait()
        for job in self._jobs:
            if not job.done():
                self.cancel(job)
        if self._is_local:
            self._wait()
        for job in self._jobs:
            for path in (job.paths.submitted_pickle, job.paths.result_pickle):
                path.unlink(missing_ok=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline and not all(job.done() for job in self._jobs):
            time.sleep(0.05)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started in this block do not get Ctrl+C, which is meant for the coordinator alone."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_slurm_job(text: str) -> str:
    """Run a job in the process that SLURM started; its signals ask the unit to save and end."""
    received = note_signals()  # in place of submitit's handlers, which requeue
    return run_job(text, lambda: bool(received))
