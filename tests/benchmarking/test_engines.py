"""Every engine runs the same units with the same results, whichever process is killed when."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aral.benchmarking import (
    EngineSettings,
    GridSpec,
    Job,
    State,
)
from aral.benchmarking.jobs import execute
from aral.benchmarking.remote import UnitResources
from aral.testing import make_slurm_commands

FAKE = "tests.benchmarking.fake_work:work"
UNIT = UnitResources(threads=1, bytes=200 << 20, gpus=0)
TOKEN = "ab" * 32
SUBMITIT = EngineSettings("slurm", slurm=("cluster=local",))
SLURM = EngineSettings("slurm", slurm=("partition=short", "time=7", "mem=3G", "reservation=ours"))
GRID = GridSpec(
    name="engines",
    data="digits",
    methods=("supervised+random", "linear+entropy"),
    seeds=(0, 1),
    settings=(
        "pool_size=100",
        "test_size=60",
        "rounds.budget=20",
        "rounds.query_size=10",
        "learner.training.steps=20",
    ),
)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers import the fake work from wherever the tests are started."""
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)


PYTHONPATH = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))


class Cluster:
    """A Ray cluster of one or more nodes, all processes of this machine."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._folder = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
        self._nodes: list[subprocess.Popen[bytes]] = []
        port = self.address.partition(":")[2]
        self.start(
            "--head",
            f"--port={port}",
            "--num-cpus=2",
            "--include-dashboard=false",
            f"--temp-dir={self._folder.name}",
        )

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a node and wait until it answers."""
        memory = ("--object-store-memory=80000000", "--memory=2000000000", "--num-gpus=0")
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        fast = {
            f"RAY_health_check_{name}": "1000" for name in ("initial_delay_ms", "period_ms", "timeout_ms")
        }
        node = subprocess.Popen(
            [*command, *memory, *options],
            env=os.environ | fast | {"PYTHONPATH": PYTHONPATH, "RAY_health_check_failure_threshold": "2"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._nodes.append(node)
        host, _, port = self.address.partition(":")
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return node
            except OSError:
                assert node.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)

    def vanish(self, node: subprocess.Popen[bytes]) -> None:
        """Kill all processes of a node but its workers, which lose their connection."""
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def stop(self) -> None:
        for node in self._nodes:
            if node.poll() is None:
                node.terminate()
        for node in self._nodes:
            try:
                node.wait(20)
            except subprocess.TimeoutExpired:
                self.vanish(node)
        self._folder.cleanup()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        patch.delenv("RAY_ADDRESS", raising=False)
        started = Cluster()
        try:
            yield started
        finally:
            started.stop()


@pytest.fixture(scope="module")
def slurm_commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slurm")
    make_slurm_commands(folder)
    return folder


@pytest.fixture
def slurm(slurm_commands: Path, monkeypatch: pytest.MonkeyPatch) -> EngineSettings:
    monkeypatch.setenv("PATH", str(slurm_commands), prepend=os.pathsep)
    return SLURM


@pytest.fixture(params=["local", "ray", "submitit", "slurm"])
def engine(request: pytest.FixtureRequest) -> EngineSettings:
    match request.param:
        case "local":
            return EngineSettings()
        case "ray":
            return EngineSettings("ray", address=request.getfixturevalue("cluster").address)
        case "submitit":
            return SUBMITIT
    settings: EngineSettings = request.getfixturevalue("slurm")
    return settings


def fake(folder: Path, name: str, action: str, times: int = 0) -> Job:
    request = {
        "action": action,
        "times": times,
        "starts": str(folder / name),
        "log": str(folder / f"{name}.log"),
    }
    return Job(name, request)


def starts(folder: Path, name: str) -> int:
    return len((folder / name).read_text().splitlines())


def test_a_dead_worker_is_replaced_at_most_three_times_and_a_failure_with_a_reason_is_not(
    tmp_path: Path, engine: EngineSettings
) -> None:
    jobs = [
        fake(tmp_path, "fine", "report"),
        fake(tmp_path, "killed three times", "killed", 3),
        fake(tmp_path, "killed four times", "killed", 4),
        fake(tmp_path, "broken once", "error", 1),
        fake(tmp_path, "refused", "bad input"),
        fake(tmp_path, "last", "report"),
    ]
    unit = UnitResources(threads=2, bytes=UNIT.bytes, gpus=0)
    execute(jobs, 2, engine.opener(FAKE, unit, tmp_path))
    found = {job.name: (job.state, job.deaths, job.failure.code) for job in jobs}
    assert found == {
        "fine": (State.DONE, 0, 0),
        "killed three times": (State.DONE, 3, 0),
        "killed four times": (State.FAILED, 4, 1),
        "broken once": (State.DONE, 1, 0),
        "refused": (State.FAILED, 0, 2),
        "last": (State.DONE, 0, 0),
    }
    assert [starts(tmp_path, job.name) for job in jobs] == [1, 4, 4, 2, 1, 1]
    accuracies = [job.progress.accuracy for job in jobs]
    assert accuracies == [0.1, 0.4, None, 0.2, None, 0.1]
    assert jobs[4].failure.problem == "The request is wrong.\nAsk for something else."
    assert "4 times" in jobs[2].failure.problem and "signal 9" in jobs[2].failure.problem
    assert "an unexpected error" in (tmp_path / "broken once.log").read_text()
    assert (tmp_path / "fine").read_text().split()[1] == "2"  # OMP_NUM_THREADS
    assert (tmp_path / "fine.log").read_text() == "printed by the worker\n"


def test_a_stop_lets_workers_save_and_starts_no_more(tmp_path: Path, engine: EngineSettings) -> None:
    jobs = [fake(tmp_path, name, "wait") for name in ("one", "two", "three")]
    begun = [tmp_path / "one", tmp_path / "two"]
    execute(jobs, 2, engine.opener(FAKE, UNIT, tmp_path), None, lambda: all(path.exists() for path in begun))
    assert [job.state for job in jobs] == [State.STOPPED] * 3
    assert [job.deaths for job in jobs] == [0, 0, 0]
    assert all(path.with_suffix(".saved").exists() for path in begun)
    assert not (tmp_path / "three").exists()


def test_a_worker_that_its_machine_stopped_goes_on_and_is_not_dead_if_it_did_a_step(
    tmp_path: Path, engine: EngineSettings
) -> None:
    jobs = [fake(tmp_path, "one", "stopped by its machine", 2)]
    execute(jobs, 1, engine.opener(FAKE, UNIT, tmp_path))
    # The first start did a step, the second none.
    assert (jobs[0].state, jobs[0].deaths, jobs[0].progress.accuracy) == (State.DONE, 1, 0.3)
