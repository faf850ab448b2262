"""One run by two processes, as torchrun starts them: its results, who writes, stops, and processes that die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from aral.benchmarking import Method, follow_run, resolve
from aral.cli import main
from aral.errors import BadInput
from aral.loop.reading import store_reading
from aral.parallel import Group, Message
from tests.cli.conftest import Aral

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["aral.cli.run", "aral.benchmarking.runs", "aral.reports.run_report"])

SMALL = ("--seed=3", "--threads=1", "--pool-size=60", "--test-size=40", "--query-size=4")
SUPERVISED = (
    "run",
    "digits",
    "--method=supervised+random",
    *SMALL,
    "--set=learner.training.labelled_batch=8",
)
ADVERSARIAL = (
    "run",
    "digits",
    "--method=aral",
    *SMALL,
    "--steps=4",
    "--budget=8",
    "--set=learner.training.labelled_batch=8",
    "--set=learner.training.unlabelled_batch=8",
    "--set=learner.networks.encoder_sizes=[8]",
    "--set=learner.networks.generator_sizes=[8]",
    "--set=learner.networks.discriminator_sizes=[8]",
    "--set=learner.networks.sampler_width=8",
)


def command(words: tuple[str, ...], rank: int, port: int, folder: str) -> None:
    """A command in a process of two, in a working folder of its own; what it prints is in ``printed`` beside that."""
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    os.chdir(folder)
    printed = os.open(f"{folder}.printed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(printed, stream)
    sys.argv = ["aral", *words]
    main()


class Pair:
    """Two processes that run one command.

    Args:
        words: of the command.
        folder: below which each has a working folder.
    """

    def __init__(self, words: tuple[str, ...], folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        self.folders = [folder / f"rank-{rank}" for rank in (0, 1)]
        self.processes: list[BaseProcess] = []
        for rank, own in enumerate(self.folders):
            own.mkdir(parents=True, exist_ok=True)
            process = SERVER.Process(target=command, args=(words, rank, port, str(own)))
            process.start()
            self.processes.append(process)

    def codes(self) -> list[int | None]:
        """Exit codes, once both have ended."""
        for process in self.processes:
            process.join(90)
        return [process.exitcode for process in self.processes]

    def signal(self, rank: int, number: int) -> None:
        pid = self.processes[rank].pid
        assert pid is not None
        os.kill(pid, number)

    def printed(self, rank: int) -> str:
        path = Path(f"{self.folders[rank]}.printed")
        return path.read_text() if path.exists() else ""

    def wait_for(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not happened():
            assert time.monotonic() < deadline and all(each.is_alive() for each in self.processes)
            time.sleep(0.01)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    """Starts a command in two processes; they are killed after the test."""
    started: list[Pair] = []

    def start(*words: str) -> Pair:
        started.append(Pair(words, tmp_path / "two"))
        return started[-1]

    yield start
    for each in started:
        for process in each.processes:
            process.kill()
            process.join()


def outcome(folder: Path) -> dict[str, Any]:
    """Queries and accuracies of a run."""
    with store_reading(folder) as store:
        rounds = [row.round for row in store.rounds() if row.evaluated_at is not None]
        queries = [store.query(number) for number in rounds]
        accuracies = [row.value for row in store.metrics("accuracy")]
    return {
        "queries": [query.ids.tolist() for query in queries if query is not None],
        "accuracies": accuracies,
    }


def processes_of(folder: Path) -> object:
    with store_reading(folder) as store:
        return store.setting("processes")


def test_two_processes_end_as_one_does_and_one_of_them_writes(
    aral: Aral, here: Path, pair: Callable[..., Pair]
) -> None:
    assert aral(*ADVERSARIAL, "--folder=alone") == 0
    both = pair(*ADVERSARIAL, "--folder=together")
    assert both.codes() == [0, 0], both.printed(0) + both.printed(1)
    assert outcome(both.folders[0] / "together") == outcome(here / "alone")
    assert (both.folders[0] / "together" / "report.html").stat().st_size
    assert processes_of(both.folders[0] / "together") == 2 and processes_of(here / "alone") is None
    assert list(both.folders[1].iterdir()) == [] and both.printed(1) == ""


def test_a_stopped_and_a_killed_process_lose_nothing_and_one_process_can_finish(
    aral: Aral, here: Path, pair: Callable[..., Pair]
) -> None:
    words = (*SUPERVISED, "--steps=600", "--budget=8", "--folder=run")
    first = pair(*words)
    folder = first.folders[0] / "run"
    first.wait_for((folder / "checkpoints").exists)
    first.signal(1, signal.SIGTERM)
    assert first.codes() == [130, 0]
    assert "everything is saved" in first.printed(0)

    second = pair(*words)
    second.wait_for(lambda: "round 0:" in second.printed(0))
    second.signal(1, signal.SIGKILL)
    assert second.codes() == [1, -signal.SIGKILL]
    assert "Another process of this run has ended" in second.printed(0)

    assert aral("resume", str(folder)) == 0
    assert aral(*words) == 0
    finished, alone = outcome(folder), outcome(here / "run")
    assert finished["queries"] == alone["queries"]
    assert finished["accuracies"] == pytest.approx(alone["accuracies"], abs=0.026)


def test_the_others_end_when_the_leading_process_dies(pair: Callable[..., Pair]) -> None:
    both = pair(*SUPERVISED, "--steps=600", "--budget=4", "--folder=run")
    both.wait_for((both.folders[0] / "run" / "checkpoints").exists)
    both.signal(0, signal.SIGKILL)
    assert both.codes() == [-signal.SIGKILL, 1]
    assert "Another process of this run has ended" in both.printed(1)


def test_a_batch_that_cannot_be_divided_is_refused_before_anything_is_written(
    pair: Callable[..., Pair],
) -> None:
    both = pair(*SUPERVISED, "--set=learner.training.labelled_batch=9", "--folder=run")
    assert both.codes() == [2, 0]
    assert "--set learner.training.labelled_batch=10" in both.printed(0)
    assert [list(folder.iterdir()) for folder in both.folders] == [[], []]


def test_a_process_that_finds_other_images_ends() -> None:
    spec = resolve("digits", Method.parse("supervised+random"), threads=1, pool_size=60, test_size=20)

    class Told(Group):
        """A process that is told of a run on other images."""

        def receive(self, stop: bool = False) -> Message:
            return Message("run", {"spec": spec.model_dump_json(), "pool": "of other images"})

    with pytest.raises(BadInput, match=r"Process 1 finds other images of 'digits'"):
        follow_run(Told(1, 2))
