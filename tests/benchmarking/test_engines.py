"""Every engine runs the same units with the same results, whichever process is killed when."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aral.benchmarking import (
    EngineSettings,
    GridObserver,
    GridSpec,
    Job,
    Resources,
    State,
    grid_toml,
    run_grid,
)
from aral.benchmarking.engines import resources_of
from aral.benchmarking.jobs import execute
from aral.benchmarking.methods import Method
from aral.benchmarking.ray_engine import RayTasks
from aral.benchmarking.remote import RemoteEngine, UnitResources, run_job
from aral.benchmarking.slurm_engine import parsed
from aral.benchmarking.spec import resolve
from aral.errors import BadInput
from aral.lock import FolderLock
from aral.loop.reading import store_reading
from aral.testing import make_slurm_commands
from tests.benchmarking.conftest import fake, starts

FAKE = "tests.benchmarking.fake_work:work"
UNIT = UnitResources(threads=1, bytes=200 << 20, gpus=0)
SUBMITIT = EngineSettings("slurm", slurm=("cluster=local",))
SLURM = EngineSettings("slurm", slurm=("partition=short", "time=7", "mem=3G", "reservation=ours"))
GRID = GridSpec(
    name="engines",
    data="digits",
    methods=("random",),
    seeds=(0, 1),
    settings=(
        "pool_size=100",
        "test_size=60",
        "rounds.budget=50",
        "rounds.query_size=10",
        'rounds.first_query="random"',
        "learner.training.steps=20",
        "learner.training.labelled_batch=8",
        "learner.networks.discriminator_sizes=[16, 16]",
    ),
)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers import the fake work from wherever the tests are started."""
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)


PYTHONPATH = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def descendants(process: int) -> list[int]:
    """A process and all below it."""
    found = [process]
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in children.read_text().split():
            found += descendants(int(child))
    return found


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
        """Kill all processes of a node but those of aral, which lose their connection."""
        for process in descendants(node.pid):
            if b"from aral." not in Path(f"/proc/{process}/cmdline").read_bytes():
                os.kill(process, signal.SIGKILL)
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
def cluster(ray_token: str) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", ray_token)
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


# Grids


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


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the grid, run on this machine without a disturbance."""
    folder = tmp_path_factory.mktemp("calm")
    result = run_grid(GRID, folder, Resources(workers=2))
    assert [unit.state for unit in result.units] == [State.DONE] * 2
    return folder


def assert_same_results(folder: Path, calm: Path) -> None:
    names = sorted(path.name for path in calm.glob("*-seed*"))
    assert len(names) == 2
    for name in names:
        assert results(folder / name) == results(calm / name), name


class Killer(GridObserver):
    """Kills a worker, a fork server, and what the scheduler started, each after a round of some unit.

    A start of a unit is killed once: reports that were under way when it was killed do not count as another start.
    """

    def __init__(self, generations: list[int]) -> None:
        self.left = generations  # above the worker
        self.killed: set[tuple[str, int]] = set()
        self.said = ""

    def engine(self, description: str) -> None:
        self.said = description

    def changed(self, job: Job, news: str) -> None:
        start = (job.name, job.deaths)
        running = job.process is not None and start not in self.killed
        if news == "evaluated" and job.progress.round < 4 and self.left and running:
            process = job.process
            try:
                for _ in range(self.left[0]):
                    process = parent(process)
                os.kill(process, signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                return  # it was killed a moment ago
            self.killed.add(start)
            self.left.pop(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ray", "submitit"])
def test_results_are_those_of_local_workers_whatever_is_killed(
    tmp_path: Path, calm: Path, name: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    ray = name == "ray"
    engine = EngineSettings("ray", request.getfixturevalue("cluster").address) if ray else SUBMITIT
    killer = Killer([2, 1, 0] if ray else [2, 0])
    deaths = len(killer.left)
    result = run_grid(GRID, tmp_path, Resources(workers=2, engine=engine), killer)
    assert [unit.state for unit in result.units] == [State.DONE] * 2
    assert not killer.left and sum(unit.deaths for unit in result.units) == deaths
    assert_same_results(tmp_path, calm)
    assert capsys.readouterr().out == ""  # which is for results
    assert "each unit takes 1 CPU, 0." in killer.said and "GB of memory" in killer.said
    # One place for logs and progress; nothing of the engine is left but what SLURM's jobs printed.
    left = {path.name for path in (tmp_path / "logs").iterdir() if path.suffix != ".log"}
    assert left == (set() if ray else {"slurm"})
    assert not list(tmp_path.glob("logs/**/*.pkl"))


THAT_END = (b"from aral.", b"submitit", b"raylet", b"gcs_server", b"ray::IDLE", b"ray::run_job")
"""In the commands of processes that end soon after the coordinator."""


def processes_with(mark: str) -> dict[int, bytes]:
    """Processes that inherited a mark in their environment, with their commands."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found[int(path.parent.name)] = path.with_name("cmdline").read_bytes()
        except OSError:
            pass
    return found


def kill_the_coordinator(grid: Path, folder: Path, *options: str) -> None:
    """Start the grid as a user does, and kill the command while units run; everything that it started ends."""
    mark = f"aral-test-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "aral", "compare", "--grid", str(grid), "--folder", str(folder)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    temporary = tempfile.mkdtemp(prefix="ray-")  # a short path: it is that of a socket
    coordinator = subprocess.Popen(
        [*command, "--workers=2", *options],
        env=environment | {"MARK": mark, "TMPDIR": temporary},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 100
        while not any((path / "checkpoints").exists() for path in unfinished(folder)):
            assert coordinator.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        coordinator.kill()
        coordinator.wait()
    deadline = time.monotonic() + 60
    while any(name in command for command in processes_with(mark).values() for name in THAT_END):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for process in processes_with(mark):  # agents of Ray, which look for its lost servers for a minute
        os.kill(process, signal.SIGKILL)
    shutil.rmtree(temporary)


def unfinished(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*-seed*") if not finished(path)]


def finished(folder: Path) -> bool:
    try:
        with store_reading(folder) as store:
            return store.setting("budget spent") is True
    except BadInput:
        return False


@pytest.mark.slow
def test_a_killed_coordinator_leaves_no_process_and_another_engine_finishes(
    tmp_path: Path, calm: Path
) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(grid_toml(GRID))
    folder = tmp_path / "grid"
    kill_the_coordinator(file, folder, "--engine=ray")
    assert unfinished(folder) or len(list(folder.glob("*-seed*"))) < 2
    kill_the_coordinator(file, folder, "--engine=slurm", "--slurm=cluster=local")
    result = run_grid(GRID, folder, Resources(workers=2))
    assert [unit.state for unit in result.units] == [State.DONE] * 2
    assert_same_results(folder, calm)


# Ray


def test_a_job_of_a_node_that_vanishes_goes_on_elsewhere(tmp_path: Path, cluster: Cluster) -> None:
    node = cluster.start(f"--address={cluster.address}", "--num-cpus=2")
    jobs = [fake(tmp_path, name, "wait for another") for name in ("one", "two")]  # one on each node
    vanished: list[float] = []

    def stopping() -> bool:
        if not vanished and all((tmp_path / job.name).exists() for job in jobs):
            vanished.append(time.monotonic())
            cluster.vanish(node)
        return False

    unit = UnitResources(threads=2, bytes=UNIT.bytes, gpus=0)
    engine = EngineSettings("ray", cluster.address)
    execute(jobs, 2, engine.opener(FAKE, unit, tmp_path), None, stopping)
    assert [job.state for job in jobs] == [State.DONE, State.DONE]
    assert sorted(job.deaths for job in jobs) == [0, 1]
    assert sorted(job.progress.accuracy or 0 for job in jobs) == [0.1, 0.2]


def test_a_cluster_of_its_own_refuses_a_wrong_token_and_has_no_dashboard(cluster: Cluster) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    tasks = RayTasks(None, UNIT)
    try:
        import ray

        assert signal.getsignal(signal.SIGTERM) is handler  # Ray has its own, which saves nothing

        address = ray.get_runtime_context().gcs_address
        assert ray.cluster_resources()["memory"] >= UNIT.bytes and not tasks.obstacle()
        assert not ray._private.worker._global_node.webui_url
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        refused = subprocess.run(
            [sys.executable, "-c", "import sys, ray; ray.init(address=sys.argv[1])", address],
            env=os.environ | {"RAY_AUTH_TOKEN": "cd" * 32, "RAY_NUM_REDIS_GET_RETRIES": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert refused.returncode != 0 and "InvalidAuthToken" in refused.stderr
    finally:
        tasks.close()


def test_a_task_that_fits_no_node_is_named(tmp_path: Path, cluster: Cluster) -> None:
    unit = UnitResources(threads=1, bytes=UNIT.bytes, gpus=1)
    tasks = RayTasks(cluster.address, unit)
    with RemoteEngine(tasks, tmp_path, FAKE, 1) as engine:
        engine.start(fake(tmp_path, "one", "report"))
        (message,) = engine.messages(5.0)
        assert "1 GPU" in message["event"]
        engine.stop()
        (message,) = engine.messages(5.0)
        assert "out of the queue" in message["died"]
    assert not (tmp_path / "one").exists()


# SLURM


def newest_script(folder: Path) -> str:
    return max(folder.glob("*.script"), key=lambda path: int(path.stem)).read_text()


def test_what_a_unit_needs_and_the_options_are_in_the_script(
    tmp_path: Path, slurm: EngineSettings, slurm_commands: Path
) -> None:
    unit = UnitResources(threads=2, bytes=1_500_000_000, gpus=1)
    jobs = [fake(tmp_path, "one", "report")]
    execute(jobs, 1, slurm.opener(FAKE, unit, tmp_path))
    assert jobs[0].state is State.DONE
    lines = set(newest_script(slurm_commands).splitlines())
    asked = {
        "cpus-per-task=2",
        "gpus-per-node=1",
        "job-name=one",
        "mem=3G",
        "nodes=1",
        "partition=short",
        "reservation=ours",
        "time=7",
    }
    assert {f"#SBATCH --{each}" for each in asked} <= lines
    jobs = [fake(tmp_path, "two", "report")]
    plain = EngineSettings("slurm")
    execute(jobs, 1, plain.opener(FAKE, UnitResources(1, 1_500_000_000, 0), tmp_path))
    text = newest_script(slurm_commands)
    assert "#SBATCH --mem=2GB" in text and "#SBATCH --time=60" in text and "gpus" not in text
    jobs = [fake(tmp_path, "three", "report")]
    special = EngineSettings("slurm", slurm=("mem-per-cpu=2G", "gres=gpu:a100:1"))
    execute(jobs, 1, special.opener(FAKE, unit, tmp_path))
    text = newest_script(slurm_commands)
    assert "--mem-per-cpu=2G" in text and "--gres=gpu:a100:1" in text
    assert "--mem=" not in text and "--gpus" not in text


def test_a_refused_submission_is_the_reason_of_a_unit(
    tmp_path: Path, slurm: EngineSettings, slurm_commands: Path
) -> None:
    jobs = [fake(tmp_path, "one", "report"), fake(tmp_path, "two", "report")]
    refusing = slurm_commands / "refusing"
    refusing.touch()
    try:
        execute(jobs[:1], 1, slurm.opener(FAKE, UNIT, tmp_path))
    finally:
        refusing.unlink()
    assert jobs[0].state is State.FAILED and jobs[0].failure.code == 1
    assert "QOSMaxSubmitJobPerUserLimit" in jobs[0].failure.problem
    assert "--workers" in jobs[0].failure.problem


def test_control_c_in_the_terminal_reaches_no_job(tmp_path: Path) -> None:
    job, sent = fake(tmp_path, "one", "wait"), []

    class Terminal(GridObserver):
        def changed(self, job: Job, news: str) -> None:
            if news == "started":
                process = job.process or 0
                for _ in range(3):  # fork server, job, submitit's controller
                    process = parent(process)
                    os.kill(process, signal.SIGINT)
                sent.append(time.monotonic())

    def stopping() -> bool:
        return bool(sent) and time.monotonic() - sent[0] > 0.5

    execute([job], 1, SUBMITIT.opener(FAKE, UNIT, tmp_path), Terminal(), stopping)
    assert (job.state, job.deaths) == (State.STOPPED, 0)
    assert (tmp_path / "one.saved").exists()


def test_options_are_parsed() -> None:
    options = ["time=120", "--mail-user=a@b.c", "exclusive=true", "setup=module load a", "setup=source b"]
    assert parsed(options) == {
        "time": 120,
        "mail_user": "a@b.c",
        "exclusive": True,
        "setup": ["module load a", "source b"],
    }
    for wrong in ("time", "time=2:00:00", "nodes=2", "cpus-per-task=4", "cluster=other"):
        with pytest.raises(BadInput, match=wrong.partition("=")[0].replace("-", ".")):
            parsed([wrong])
    with pytest.raises(BadInput, match="twice"):
        parsed(["qos=a", "qos=b"])


# Files and locks


class Processes:
    """A scheduler whose jobs are processes of this machine; it can be made to believe that one has ended."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.believed_dead: set[int] = set()

    def submit(self, name: str, text: str) -> Any:
        code = "import sys; from aral.benchmarking.remote import run_job; run_job(sys.argv[1])"
        self.processes.append(subprocess.Popen([sys.executable, "-c", code, text]))
        return len(self.processes) - 1

    def ended(self, handles: list[Any]) -> Mapping[Any, Mapping[str, Any]]:
        dead = {one: {"died": "the node does not answer"} for one in handles if one in self.believed_dead}
        gone = {one: {} for one in handles if self.processes[one].poll() is not None}
        return gone | dead

    def obstacle(self) -> str:
        return ""

    def cancel(self, handle: Any) -> None:
        """The node cannot be reached."""

    def close(self) -> None:
        for process in self.processes:
            process.wait(30)


def test_a_unit_never_runs_twice_at_once_on_a_node_that_is_only_cut_off(tmp_path: Path) -> None:
    scheduler = Processes()
    job = fake(tmp_path, "one", "alone")
    order = tmp_path / "one.order"

    def stopping() -> bool:
        if order.exists() and order.read_text():
            scheduler.believed_dead.add(0)
        return False

    execute([job], 1, lambda: RemoteEngine(scheduler, tmp_path, FAKE, 1), None, stopping)
    assert (job.state, job.deaths, job.progress.accuracy) == (State.DONE, 1, 0.2)
    assert order.read_text().splitlines() == ["begin 1", "end 1", "begin 2", "end 2"]


def task_of(job: Job, messages: Path) -> str:
    """What the engine gives to a scheduler."""
    return json.dumps(
        {
            "job": job.name,
            "request": job.request,
            "messages": str(messages / "one.1.jsonl"),
            "work": FAKE,
            "threads": 1,
            "folder": str(messages.parent),
            "coordinator": "login7",
        }
    )


def test_machines_that_do_not_share_files_or_locks_run_nothing(tmp_path: Path) -> None:
    job = fake(tmp_path, "one", "report")
    task = task_of(job, messages := tmp_path / "messages-1")
    answer = json.loads(run_job(task))
    assert answer["failed"] == 2 and "does not see the folder" in answer["problem"]
    messages.mkdir()
    assert run_job(task) == ""  # the lock of the coordinator looks free
    first, last = map(json.loads, (messages / "one.1.jsonl").read_text().splitlines())
    assert first["failed"] == 2 and "two machines could run one unit" in first["problem"]
    assert last == {"job": "one", "exit": 2}
    assert not (tmp_path / "one").exists()
    lock = FolderLock(messages, "coordinator.lock")
    assert run_job(task) == ""
    lock.release()
    assert starts(tmp_path, "one") == 1
    assert json.loads((messages / "one.1.jsonl").read_text().splitlines()[-1]) == {"job": "one", "exit": 0}


def test_a_job_ends_when_it_is_asked_to_or_its_coordinator_is_gone(tmp_path: Path) -> None:
    code = "import sys; from aral.benchmarking.remote import run_job; run_job(sys.argv[1])"
    messages = {name: tmp_path / f"messages-{name}" for name in ("asked", "dead", "replaced")}
    locks, processes = {}, {}
    for name, folder in messages.items():
        folder.mkdir()
        locks[name] = FolderLock(folder, "coordinator.lock")
        task = task_of(fake(tmp_path, name, "wait"), folder)
        processes[name] = subprocess.Popen([sys.executable, "-c", code, task])
    try:
        deadline = time.monotonic() + 60
        while not all((tmp_path / name).exists() for name in messages):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not list(tmp_path.glob("*.saved"))
        (messages["asked"] / "one.1.stop").touch()
        locks["dead"].release()
        shutil.rmtree(messages["replaced"])
        for name, process in processes.items():
            assert process.wait(30) == 0, name
            assert (tmp_path / f"{name}.saved").exists()
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
        for lock in locks.values():
            lock.release()


def test_resources_are_the_threads_and_a_graphics_card_where_one_is_used() -> None:
    spec = resolve("digits", Method.parse("random"))
    assert resources_of([spec], 2, 10) == UnitResources(2, 10, 0)
    card = spec.model_copy(update={"device": "cuda"})
    assert resources_of([spec, card], 1, 10) == UnitResources(1, 10, 1)
    assert str(UnitResources(2, 1_500_000_000, 1)) == "2 CPUs, 1.5 GB of memory, 1 GPU"
