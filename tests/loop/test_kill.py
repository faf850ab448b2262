"""A run killed with SIGKILL at random moments and resumed ends bit-identical to an undisturbed one."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from aral.benchmarking import resolve, run
from aral.benchmarking.methods import Method
from aral.loop import Pace, Store
from aral.testing import planted_data

KILLS = 20
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["aral.benchmarking", "aral.testing"])


def spec():
    return resolve(
        "digits",
        Method.parse("aral"),
        [
            "rounds.query_size=5",
            "rounds.budget=20",
            "learner.latent_size=4",
            "learner.training.steps=60",
            "learner.training.labelled_batch=8",
            "learner.training.unlabelled_batch=8",
            "learner.networks.encoder_sizes=[16]",
            "learner.networks.generator_sizes=[16]",
            "learner.networks.discriminator_sizes=[16, 16]",
        ],
        threads=1,
    )


def work(folder: str) -> None:
    """What is killed: a run that saves as often as it can."""
    run(spec(), planted_data(200, 30), Path(folder), pace=Pace(checkpoint_seconds=0.2, log_steps=5))


def outcome(folder: Path) -> dict[str, object]:
    """Weights, selections, answers and metrics; times of day and durations are left out."""
    with Store.open(folder, create=False) as store:
        newest = store.checkpoints()[0].folder
        metrics = [row for row in store.metrics() if not row.name.endswith("seconds")]
        rounds = [row.round for row in store.rounds() if row.evaluated_at is not None]
        queries = []
        for number in rounds:
            query = store.query(number)
            assert query is not None
            queries.append((query.ids.tolist(), query.scores.tolist()))
        answers = store.answers()
        history = len(store.answer_history())
    with safe_open(folder / "checkpoints" / newest / "tensors.safetensors", "pt") as tensors:
        weights = {name: tensors.get_tensor(name).numpy().tobytes() for name in tensors.keys()}
    return {
        "weights": weights,
        "queries": queries,
        "answers": answers,
        "history": history,
        "metrics": metrics,
        "newest": newest,
    }


def start(folder: Path) -> multiprocessing.process.BaseProcess:
    process = SERVER.Process(target=work, args=(str(folder),))
    process.start()
    return process


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    undisturbed = start(tmp_path / "undisturbed")
    began = time.monotonic()
    undisturbed.join(300)
    lasted = time.monotonic() - began
    assert undisturbed.exitcode == 0
    moments = random.Random(7)
    folder, killed = tmp_path / "killed", 0
    while killed < KILLS:
        process = start(folder)
        # Long enough to reach every stage, short enough that twenty kills fit into one run.
        process.join(moments.uniform(0.02, max(0.4, lasted / 6)))
        if process.exitcode is None:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            killed += 1
        elif process.exitcode == 0:
            break
        else:
            pytest.fail(f"a resumed run failed with exit code {process.exitcode}")
    assert killed >= 10, "the run ended before it was killed often enough; make it longer"
    last = start(folder)
    last.join(300)
    assert last.exitcode == 0
    expected, found = outcome(tmp_path / "undisturbed"), outcome(folder)
    for part, value in expected.items():
        assert found[part] == value, part
