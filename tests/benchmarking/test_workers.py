"""Workers: retries, stops, and results that do not depend on which process was killed when."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from aral.benchmarking import GridObserver, GridSpec, Job, Resources, State, grid_toml, run, run_grid, units
from aral.benchmarking.capacity import (
    bytes_needed,
    free_bytes,
    most_bytes_needed,
    parameter_count,
    worker_count,
)
from aral.benchmarking.grid_run import wait_for_folder
from aral.benchmarking.jobs import execute
from aral.benchmarking.methods import Method
from aral.benchmarking.runs import load_data
from aral.benchmarking.spec import resolve
from aral.benchmarking.workers import LocalEngine
from aral.data.named import digits
from aral.errors import BadInput, Stopped
from aral.lock import FolderLock
from aral.loop.reading import store_reading
from tests.benchmarking.conftest import fake, starts

FAKE = "tests.benchmarking.fake_work:work"
TINY = (
    "pool_size=100",
    "test_size=60",
    "rounds.budget=20",
    "learner.training.steps=3",
    "learner.training.labelled_batch=8",
    "learner.training.unlabelled_batch=8",
    "learner.latent_size=4",
    "learner.networks.encoder_sizes=[16]",
    "learner.networks.generator_sizes=[16]",
    "learner.networks.discriminator_sizes=[16, 16]",
    'rounds.first_query="random"',
)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers import the fake work from wherever the tests are started."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)


def test_a_dead_fork_server_is_replaced_and_a_stop_lets_workers_save_and_starts_no_more(
    tmp_path: Path,
) -> None:
    jobs = [fake(tmp_path, "one", "wait"), fake(tmp_path, "two", "wait")]
    saved = [tmp_path / "one.saved", tmp_path / "two.saved"]
    killed: list[int] = []

    class Killer(GridObserver):
        def changed(self, job: Job, news: str) -> None:
            if news == "started" and not killed:
                assert job.process is not None
                killed.append(parent(job.process))
                os.kill(killed[0], signal.SIGKILL)

    execute(
        jobs,
        1,
        lambda: LocalEngine(FAKE, 3),
        Killer(),
        lambda: saved[0].exists() and (tmp_path / "two").exists(),
    )
    assert parent(os.getpid()) != killed[0]
    assert [job.state for job in jobs] == [State.STOPPED, State.STOPPED]
    assert [job.deaths for job in jobs] == [1, 0]
    # The first saved when its fork server died; the second ran in the next one, and saved when it was stopped.
    assert [path.exists() for path in saved] == [True, True]
    assert starts(tmp_path, "one") == starts(tmp_path, "two") == 1
    assert (tmp_path / "two").read_text().split()[1] == "3"


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def results(folder: Path) -> dict[str, object]:
    """All results of a unit without durations, and its last weights."""
    with store_reading(folder) as store:
        found: dict[str, object] = {
            "metrics": [
                (row.round, row.step, row.name, row.value)
                for row in store.metrics()
                if not row.name.endswith("seconds")
            ],
            "queries": [store.query(row.round).ids.tolist() for row in store.rounds()],  # type: ignore[union-attr]
            "labels": store.labels.answers(),
        }
    last = sorted((folder / "checkpoints").iterdir())[-1]
    return found | {"checkpoint": last.name, "weights": (last / "tensors.safetensors").read_bytes()}


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def holder(folder: Path) -> int | None:
    """The process that holds a run folder now."""
    text = (folder / "lock").read_text() if (folder / "lock").exists() else ""
    process = int(text.split()[0]) if text else 0
    return process if process and alive(process) else None


def kill_the_coordinator(grid: Path, folder: Path) -> None:
    """Start the grid as a user does, kill two workers, then the coordinator while it runs others."""
    command = [sys.executable, "-m", "aral", "compare", "--grid", str(grid), "--folder", str(folder)]
    coordinator = subprocess.Popen([*command, "--workers", "2"], stderr=subprocess.DEVNULL)
    try:
        _kill_workers(coordinator, folder, 2)
        left = _workers(coordinator, folder)
    finally:
        coordinator.kill()
        coordinator.wait()
    deadline = time.monotonic() + 300
    while any(alive(process) for process in left):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _kill_workers(coordinator: subprocess.Popen[bytes], folder: Path, count: int) -> None:
    """Kill so many of the processes that hold a unit, one after the other."""
    killed: set[int] = set()
    while len(killed) < count:
        process = min(_workers(coordinator, folder) - killed)
        if _kill(process):
            killed.add(process)
        while alive(process):
            time.sleep(0.005)


def _workers(coordinator: subprocess.Popen[bytes], folder: Path) -> set[int]:
    """The processes that hold units, as soon as there are any."""
    deadline = time.monotonic() + 300
    while True:
        assert coordinator.poll() is None and time.monotonic() < deadline
        found = {process for path in folder.glob("*-seed*") if (process := holder(path)) is not None}
        if found:
            return found
        time.sleep(0.005)


class RandomKiller(GridObserver):
    """Kills the first worker of every job at a random moment."""

    def __init__(self) -> None:
        self._random = random.Random(5)
        self._seen: set[str] = set()

    @property
    def killed(self) -> int:
        return len(self._seen)

    def changed(self, job: Job, news: str) -> None:
        if news == "started" and job.name not in self._seen and job.process is not None:
            self._seen.add(job.name)
            threading.Timer(self._random.uniform(0, 0.6), _kill, (job.process,)).start()


def _kill(process: int) -> bool:
    """Whether it still ran."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_grid_survives_kills_of_workers_and_of_the_coordinator(tmp_path: Path) -> None:
    methods = ("random", "vaal", "aral+aral-diverse")
    grid = GridSpec(name="kills", data="digits", methods=methods, seeds=(0, 1, 2), settings=TINY)
    calm = run_grid(grid, tmp_path / "calm", Resources(workers=2))
    assert [unit.state for unit in calm.units] == [State.DONE] * 9
    file = tmp_path / "grid.toml"
    file.write_text(grid_toml(grid))
    storm_folder = tmp_path / "storm"
    kill_the_coordinator(file, storm_folder)
    unfinished = [unit for unit in calm.units if not (storm_folder / unit.name / "checkpoints").exists()]
    assert unfinished
    killer = RandomKiller()
    storm = run_grid(grid, storm_folder, Resources(workers=2), killer)
    assert killer.killed >= 5 and any(unit.deaths for unit in storm.units)
    assert [unit.state for unit in storm.units] == [State.DONE] * 9
    assert storm.parity == calm.parity
    assert [(unit.name, unit.accuracy) for unit in storm.units] == [(u.name, u.accuracy) for u in calm.units]
    for unit in calm.units:
        assert results(storm_folder / unit.name) == results(tmp_path / "calm" / unit.name), unit.name
    # A unit in a grid is the same as a run by itself.
    alone = units(grid)[2]
    run(alone.spec, load_data(alone.spec), tmp_path / "alone")
    assert results(tmp_path / "alone") == results(tmp_path / "calm" / alone.name)


def test_a_folder_that_is_held_is_waited_for(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(BadInput, match="in use by process"):
        wait_for_folder(tmp_path, lambda: False, seconds=0.1)
    with pytest.raises(Stopped):
        wait_for_folder(tmp_path, lambda: True)
    release = threading.Timer(0.2, lock.release)
    release.start()
    started = time.monotonic()
    wait_for_folder(tmp_path, lambda: False)
    assert time.monotonic() - started > 0.1
    release.join()
    wait_for_folder(tmp_path / "missing", lambda: False)


@pytest.mark.parametrize(
    ("units", "threads", "each", "cores", "free", "expected"),
    [
        (20, 1, 10, 8, 1000, 8),  # a worker a core
        (20, 3, 10, 8, 1000, 2),  # 3 + 3 threads of 8
        (20, 1, 300, 8, 1000, 3),  # memory for three
        (2, 1, 10, 8, 1000, 2),  # only two units
        (20, 16, 10, 8, 1000, 1),  # never none
        (20, 1, 5000, 8, 1000, 1),
        (20, 1, 10, 8, None, 8),
    ],
)
def test_workers_fit_cores_and_memory(
    units: int, threads: int, each: int, cores: int, free: int | None, expected: int
) -> None:
    assert worker_count(units, threads, each, cores, free) == expected


def test_free_memory_is_the_least_of_machine_and_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9000 kB\nMemAvailable:   5000 kB\n")
    assert free_bytes(meminfo, tmp_path) == 5000 * 1024
    (tmp_path / "memory.max").write_text("4000000\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 500\n")
    assert free_bytes(meminfo, tmp_path) == 1000500
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(meminfo, tmp_path) == 5000 * 1024
    assert free_bytes(tmp_path / "none", tmp_path) is None


def test_the_largest_unit_decides_how_many_fit() -> None:
    small, large = (resolve("digits", Method.parse(name)) for name in ("random", "graph-ssl"))
    images = digits()
    needed = [bytes_needed(spec, images) for spec in (small, large)]
    assert needed[0] != needed[1]
    assert most_bytes_needed([small, large], images) == max(needed)


def test_memory_grows_with_images_and_networks() -> None:
    grid = GridSpec(name="x", data="digits", methods=("aral",), seeds=(0,), settings=TINY)
    spec = units(grid)[0].spec
    data = load_data(spec)
    large = units(grid.model_copy(update={"settings": (*TINY, "learner.networks.encoder_sizes=[2000]")}))[
        0
    ].spec
    # E gains (64 + 10) * 1984 weights and 1984 biases, batch norm 2 * 1984, and 8 outputs of 1984 weights.
    gained = 1984 * (64 + 10 + 1 + 2 + 8)
    more_weights = parameter_count(large, data) - parameter_count(spec, data)
    assert gained <= more_weights <= 1.02 * gained
    assert bytes_needed(large, data) - bytes_needed(spec, data) == 24 * more_weights
    whole = spec.model_copy(update={"pool_size": None})
    more = bytes_needed(whole, load_data(whole)) - bytes_needed(spec, data)
    assert more == 9 * (1437 - 100) * 64
