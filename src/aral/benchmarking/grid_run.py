"""Runs a grid in a folder: checks fairness, runs the unfinished units on workers, and records the results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aral.benchmarking.capacity import free_bytes, most_bytes_needed, worker_count
from aral.benchmarking.engines import EngineSettings, resources_of
from aral.benchmarking.grid import GridSpec, Unit, full_units, units
from aral.benchmarking.hardware import AUTO, measured, processors
from aral.benchmarking.jobs import GridObserver, Job, Progress, Report, State, execute, log_path
from aral.benchmarking.pairing import check_pairings
from aral.benchmarking.parity import check_equal, verify
from aral.benchmarking.results import Difference, GridResult, UnitResult, write_result
from aral.benchmarking.runs import check_budget, data_fingerprint, load_data, recorded_hardware, run
from aral.benchmarking.spec import differences, validated
from aral.benchmarking.spending import BUDGET_SPENT
from aral.errors import BadInput, RunFailed
from aral.lock import FolderLock, is_held
from aral.loop import Observer, Stage
from aral.loop.reading import store_reading

WORK = "aral.benchmarking.grid_run:run_unit"
"""What a worker of a grid does."""

LOCK_SECONDS = 600.0
"""How long to wait for a run folder that a worker of a killed grid still holds: it exits after the step, query or
evaluation it is in. Also longer than a file server keeps the locks of a machine that is gone."""


@dataclass(frozen=True)
class Resources:
    """Where to run, and on what data; nothing here changes a result.

    Attributes:
        workers: units at once; None: as many as cores and memory allow, on a cluster all that it takes.
        data_root: folder with data sets; None: as for :func:`aral.data.load`.
        download: whether missing data may be downloaded.
        work: what a worker does, as ``module:function``.
        engine: what starts the workers.
    """

    workers: int | None = None
    data_root: Path | None = None
    download: bool = False
    work: str = WORK
    engine: EngineSettings = field(default_factory=EngineSettings)


def run_grid(
    grid: GridSpec,
    folder: Path,
    resources: Resources | None = None,
    observer: GridObserver | None = None,
    stopping: Callable[[], bool] = lambda: False,
    differences: Sequence[Difference] = (),
) -> GridResult:
    """Run a grid, or resume one that was stopped or killed; finished units are not run again.

    The folder gets ``grid.json``, one run folder for each unit, and ``logs/``. A killed grid loses at most what
    the running units did since their last checkpoint, and ends with the same results.

    Args:
        grid: what to compare.
        folder: the grid's folder; made if missing.
        resources: workers and data.
        observer: is told of progress.
        stopping: asked a few times a second; true stops with everything saved.
        differences: recorded with the grid, and shown in its reports.

    Raises:
        BadInput: the grid is wrong or unfair, a learner cannot answer its acquisition, the data are missing,
            the engine is not installed or does not answer, or another process runs the grid.
        RunFailed: the folder cannot be written, or the cluster is gone.
    """
    resources, observer = resources or Resources(), observer or GridObserver()
    resources.engine.check()
    grid = with_precision(grid, folder)
    compared = units(grid)
    check_equal(compared, grid.allow_unequal)
    data = load_data(compared[0].spec, resources.data_root, resources.download, observer.reading)
    full = full_units(grid, len(data.pool))
    check_pairings((*compared, *full), data.pool.shape, data.class_count)
    for unit in compared:
        check_budget(unit.spec, data)
    _make_folder(folder)
    lock = FolderLock(folder)
    try:
        fingerprint, pool_size = data_fingerprint(data), len(data.pool)
        jobs = {
            unit.name: _job(unit, folder, pool_size, fingerprint, resources) for unit in (*compared, *full)
        }
        write_result(grid, folder, differences, None)
        observer.planned(list(jobs.values()))
        unfinished = [job for job in jobs.values() if job.state is not State.DONE]
        specs = [unit.spec for unit in (*compared, *full)]
        needed = resources_of(specs, grid.threads, most_bytes_needed(specs, data))
        if resources.engine.is_local:
            workers = worker_count(len(unfinished), needed.threads, needed.bytes, processors(), free_bytes())
        else:
            workers = resources.engine.jobs_at_once(len(unfinished))
            observer.engine(f"Engine: {resources.engine}; each unit takes {needed}")
        opener = resources.engine.opener(resources.work, needed, folder / "logs")
        execute(unfinished, resources.workers or workers, opener, observer, stopping)
        parity = verify(compared, folder)
        result = GridResult(
            grid,
            folder,
            data.note,
            tuple(_result(unit, jobs[unit.name]) for unit in compared),
            tuple(_result(unit, jobs[unit.name]) for unit in full),
            tuple(parity[seed] for seed in grid.seeds),
            tuple(differences),
        )
        write_result(grid, folder, differences, result)
    finally:
        lock.release()
    _check_verified(result)
    return result


def with_precision(grid: GridSpec, folder: Path) -> GridSpec:
    """The grid with the precision of its recorded units in place of ``auto``, or the one that is measured."""
    if grid.precision != AUTO:
        return grid
    either, other = (
        units(grid.model_copy(update={"precision": precision})) for precision in ("float32", "bfloat16")
    )
    # Units whose precision is not ``auto`` do not say what was measured.
    asked = [one.name for one, two in zip(either, other, strict=True) if one.spec != two.spec]
    recorded = (recorded_hardware(folder / name) for name in asked)
    first = next((found for found in recorded if found is not None), None) or measured(either[0].spec.device)
    return grid.model_copy(update={"precision": first.precision})


def _job(unit: Unit, folder: Path, pool_size: int, fingerprint: str, resources: Resources) -> Job:
    spec = unit.spec
    request = {
        "spec": json.loads(spec.model_dump_json()),
        "folder": str((folder / unit.name).absolute()),
        "log": str(log_path(folder.absolute(), unit.name)),
        "root": None if resources.data_root is None else str(resources.data_root.absolute()),
    }
    job = Job(unit.name, request, spec.round_count(pool_size), spec.learner.training.steps)
    # Held: unfinished, and a store that another machine writes cannot be read safely.
    if is_held(folder / unit.name):
        return job
    accuracy = finished_accuracy(unit, folder, pool_size, fingerprint)
    if accuracy is not None:
        job.state, job.progress = State.DONE, Progress(accuracy=accuracy)
    return job


def finished_accuracy(unit: Unit, folder: Path, pool_size: int, fingerprint: str) -> float | None:
    """The last test accuracy of a finished unit by its own record; None if it is unfinished or unreadable."""
    try:
        with store_reading(folder / unit.name) as store:
            recorded, found = store.setting("spec"), store.setting("data fingerprint")
            whole = store.setting(BUDGET_SPENT) is True
            rounds, spent = store.rounds(), len(store.labels.answers())
            accuracies = store.metrics("accuracy")
            query = store.query(len(rounds))
    except (BadInput, RunFailed):
        return None  # the worker finds the reason and reports it
    if not isinstance(recorded, dict) or differences(validated(recorded), unit.spec):
        return None
    if unit.spec.oracle.is_exact:
        whole = spent >= min(unit.spec.rounds.budget, pool_size) and query is None
    evaluated = bool(rounds) and all(row.stage is Stage.EVALUATED for row in rounds)
    if found != fingerprint or not whole or not evaluated or not accuracies:
        return None
    return accuracies[-1].value


def _result(unit: Unit, job: Job) -> UnitResult:
    return UnitResult(
        unit.name,
        str(unit.spec.method),
        unit.spec.seed,
        job.state,
        job.progress.accuracy,
        job.deaths,
        job.failure.problem,
        job.failure.code,
    )


def _make_folder(folder: Path) -> None:
    try:
        (folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"The folder {folder} cannot be made: {error}.", "Give another: --folder DIR"
        ) from error


def _check_verified(result: GridResult) -> None:
    for parity in result.parity:
        if parity.differences and not result.grid.allow_unequal:
            raise BadInput(
                f"The methods of seed {parity.seed} were not run under equal conditions: "
                f"{'; '.join(parity.differences)}.",
                "Give another folder, or add --allow-unequal, which is noted in every report.",
            )


# What a worker does


def run_unit(request: Mapping[str, Any], report: Report, stopping: Callable[[], bool]) -> None:
    """Run or resume a unit inside a worker.

    Args:
        request: ``spec``, the settings; ``folder``, the run folder; ``root``, the folder of data sets or None.
        report: sends progress to the coordinator.
        stopping: asked after every step.

    Raises:
        BadInput: the data or the folder do not fit the settings.
        Stopped: ``stopping`` returned true.
        RunFailed: training failed.
    """
    spec, folder = validated(request["spec"]), Path(request["folder"])
    wait_for_folder(folder, stopping)
    data = load_data(spec, Path(request["root"]) if request["root"] else None)
    run(spec, data, folder, _Reporter(report), stopping)


def wait_for_folder(folder: Path, stopping: Callable[[], bool], seconds: float = LOCK_SECONDS) -> None:
    """Return as soon as no process holds a run folder.

    Raises:
        BadInput: it was held for all of ``seconds``; names the process.
        Stopped: ``stopping`` returned true.
    """
    if folder.is_dir():
        FolderLock(folder, seconds=seconds, stopping=stopping).release()


class _Reporter(Observer):
    """Sends the progress of a run to the coordinator, steps at most twice a second."""

    PAUSE_SECONDS = 0.5

    def __init__(self, report: Report) -> None:
        self._report = report
        self._reported = 0.0

    def stage(self, round_number: int, what: str) -> None:
        """Send it."""
        self._report({"round": round_number, "stage": what})

    def step(self, round_number: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Send it if the last one is long enough ago."""
        if step == steps or time.monotonic() - self._reported > self.PAUSE_SECONDS:
            self._reported = time.monotonic()
            self._report({"round": round_number, "step": step})

    def evaluated(self, round_number: int, labelled: int, numbers: Mapping[str, float]) -> None:
        """Send the accuracy."""
        self._report({"round": round_number, "labelled": labelled, "accuracy": numbers["accuracy"]})

    def event(self, kind: str, message: str) -> None:
        """Send it."""
        self._report({"event": f"{kind}: {message}"[:500]})
