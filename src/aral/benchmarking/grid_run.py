"""Runs a grid in a folder: checks fairness, runs what is not finished yet, and records what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aral.benchmarking.capacity import free_bytes, most_bytes_needed, processors, worker_count
from aral.benchmarking.executor import Job, State, Watcher, execute, log_path
from aral.benchmarking.grid import GridSpec, Unit, full_units, units
from aral.benchmarking.grid_record import record_result
from aral.benchmarking.grid_result import Difference, GridResult, UnitResult
from aral.benchmarking.pairing import check_pairings
from aral.benchmarking.parity import check_equal, verify
from aral.benchmarking.runs import check_budget, data_fingerprint, load_data
from aral.benchmarking.spec import RunSpec, validated
from aral.benchmarking.unit import WORK
from aral.data import DataSet
from aral.errors import BadInput, RunFailed
from aral.loop.lock import FolderLock
from aral.loop.reading import store_reading
from aral.loop.rows import Stage


@dataclass(frozen=True)
class Resources:
    """Where to run, and on what data; nothing here changes a result.

    Attributes:
        workers: units at once; None: as many as cores and memory allow.
        data_root: folder with data sets; None: as :func:`aral.data.load` has it.
        download: whether missing data may be downloaded.
        work: what a worker does.
    """

    workers: int | None = None
    data_root: Path | None = None
    download: bool = False
    work: str = WORK


def run_grid(
    grid: GridSpec,
    folder: Path,
    resources: Resources | None = None,
    watcher: Watcher | None = None,
    stopping: Callable[[], bool] = lambda: False,
    differences: Sequence[Difference] = (),
) -> GridResult:
    """Run a grid, or go on with one that was stopped or killed; finished units are not run again.

    The folder gets ``grid.json``, one run folder a unit, and ``logs/``. A killed grid loses at most what the
    units in flight did since their last checkpoint, and ends with the same results.

    Args:
        grid: what to compare.
        folder: where; made if missing.
        resources: workers and data.
        watcher: hears of progress.
        stopping: asked a few times a second; true stops with everything saved.
        differences: recorded with the grid, and shown in its reports.

    Raises:
        BadInput: the grid is wrong or unfair, a learner cannot answer its acquisition, the data are missing,
            or another process runs it.
        RunFailed: the folder cannot be written.
    """
    resources = resources or Resources()
    compared = units(grid)
    check_equal(compared, grid.allow_unequal)
    data = load_data(compared[0].spec, resources.data_root, resources.download)
    full = full_units(grid, len(data.pool))
    check_pairings((*compared, *full), data.pool.shape, data.class_count)
    for unit in compared:
        check_budget(unit.spec, data)
    _make(folder)
    lock = FolderLock(folder)
    try:
        fingerprint = data_fingerprint(data)
        jobs = {
            unit.name: _job(unit, folder, len(data.pool), fingerprint, resources)
            for unit in (*compared, *full)
        }
        record_result(grid, folder, differences, None)
        watcher = watcher or Watcher()
        watcher.planned(list(jobs.values()))
        specs = [unit.spec for unit in (*compared, *full)]
        _execute(grid.threads, specs, data, list(jobs.values()), resources, watcher, stopping)
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
        record_result(grid, folder, differences, result)
    finally:
        lock.release()
    _check_verified(result)
    return result


def _execute(
    threads: int,
    specs: Sequence[RunSpec],
    data: DataSet,
    jobs: Sequence[Job],
    resources: Resources,
    watcher: Watcher,
    stopping: Callable[[], bool],
) -> None:
    left = [job for job in jobs if job.state is not State.DONE]
    fitting = worker_count(len(left), threads, most_bytes_needed(specs, data), processors(), free_bytes())
    execute(left, resources.workers or fitting, threads, watcher, stopping, resources.work)


def _job(unit: Unit, folder: Path, pool_size: int, fingerprint: str, resources: Resources) -> Job:
    spec = unit.spec
    request = {
        "spec": json.loads(spec.model_dump_json()),
        "folder": str(folder / unit.name),
        "log": str(log_path(folder, unit.name)),
        "root": None if resources.data_root is None else str(resources.data_root.absolute()),
    }
    rounds = -(-min(spec.rounds.budget, pool_size) // spec.rounds.query_size)
    job = Job(unit.name, request, rounds, spec.learner.training.steps)
    accuracy = finished_accuracy(unit, folder, pool_size, fingerprint)
    if accuracy is not None:
        job.state, job.accuracy = State.DONE, accuracy
    return job


def finished_accuracy(unit: Unit, folder: Path, pool_size: int, fingerprint: str) -> float | None:
    """The last test accuracy of a unit that is done, by its own record; None if it is not, or is unreadable."""
    try:
        with store_reading(folder / unit.name) as store:
            recorded, found = store.setting("spec"), store.setting("data fingerprint")
            rounds, spent = store.rounds(), len(store.answers())
            accuracies = store.metrics("accuracy")
            query = store.query(len(rounds))
    except (BadInput, RunFailed):
        return None  # the worker will find out and say why
    if not isinstance(recorded, dict) or validated(recorded) != unit.spec:
        return None
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
        job.accuracy,
        job.deaths,
        job.problem,
        job.code,
    )


def _make(folder: Path) -> None:
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
                f"The methods of seed {parity.seed} were not treated alike: {'; '.join(parity.differences)}.",
                "Give another folder, or add --allow-unequal, which every report will say.",
            )
