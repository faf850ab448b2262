"""A step by several processes, or in parts one after another, is the step of one process with the whole batch."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from aral.errors import BadInput
from aral.learners import Engine, LearnerSettings, Task
from aral.parallel import ALONE, Group, joined
from aral.randomness import Stream
from aral.testing import planted_pool, tiny_settings
from aral.types import LabelledSet

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["aral.learners", "aral.testing"])

PERCEPTRONS = {"sampler_width": 8, "hidden_noise": 0.5}
"""A small S: where hundreds of its units have gradients near zero, Adam makes steps of their rounding errors."""
BIGGAN = {"scale": "biggan", "channels": 4, "encoder_widths": (8, 8, 8, 8), "block_dropout": 0.2}

FIVE_STEPS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "paper": ("aral", {}),
    "labels' shares, pseudo-labels": ("aral", {"prior": "labels", "pseudo_labels": True, "confidence": 0.4}),
    "released": ("aral:released", {}),
    "released, no encoder": ("aral:released:no-encoder", {}),
    "supervised": ("supervised", {}),
    "supervised, also in two parts": ("supervised", {"training": {"accumulate": 2}}),
    "pseudo-label": ("pseudo-label", {"entropy": 1.0}),
    "vaal": ("vaal", {}),
    "vaal, authors": ("vaal:authors", {}),
    "bgadl": ("bgadl", {}),
    "no co-training": ("no-co-training", {}),
}
"""Losses and weights are compared after five steps."""

FIRST_STEP: Mapping[str, tuple[str, dict[str, Any]]] = {
    "convolutions": (
        "aral",
        {
            "networks": {
                "scale": "conv32",
                "encoder_widths": (4, 4, 4),
                "generator_widths": (4, 4, 4),
                "discriminator_width": 4,
            }
        },
    ),
    "S3GAN and VGG16": (
        "no-co-training",
        {
            "networks": BIGGAN,
            "separate_gan": {"rotation": 1.0, "rotation_of_generated": 0.2},
            "classifier": {"width": 4, "hidden_size": 8},
        },
    ),
}
"""Large networks: with few images, later steps of Adam amplify rounding."""

CASES = {**FIVE_STEPS, **FIRST_STEP}


def settings_of(case: str, accumulate: int | None = None) -> LearnerSettings:
    learner, settings = CASES[case]
    table = {"networks": PERCEPTRONS, **settings}
    if accumulate is not None:
        table["training"] = {"accumulate": accumulate}
    return tiny_settings(learner, **table)


def trained(settings: LearnerSettings, group: Group = ALONE, steps: int = 5) -> dict[str, Tensor]:
    """Losses by step and name, and the whole state."""
    small = settings.networks.scale == "mlp"
    pool, _ = planted_pool(60, 3, Stream.root(0).child("planted").child("pool"), 6 if small else 32)
    learner = settings.build(Task(pool.shape, 3, Stream.root(1), group=group))
    learner.set_pool(pool, Stream.root(3))
    ids = np.arange(6)
    learner.start_round(0, LabelledSet(pool.subset(ids), ids % 3, 3), pool.without(ids), Stream.root(2))
    found: dict[str, Tensor] = {}
    for index in range(steps):
        losses = learner.step(index)
        assert not losses.skipped
        found |= {f"loss {index} {name}": torch.tensor(value) for name, value in losses.values.items()}
    return found | learner.state_dict()


def train_in_group(rank: int, port: int, folder: str) -> None:
    """All cases in one process of two; the results are in a file a case."""
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    with joined(60) as group:
        for number, case in enumerate(CASES):
            found = trained(settings_of(case), group, 5 if case in FIVE_STEPS else 1)
            save_file(found, Path(folder) / f"{number}-{rank}.safetensors")


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, int], dict[str, Tensor]]]:
    """Losses and state of a case in the process of a rank."""
    folder = tmp_path_factory.mktemp("group")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    processes = [SERVER.Process(target=train_in_group, args=(rank, port, str(folder))) for rank in (0, 1)]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(240)
        assert [process.exitcode for process in processes] == [0, 0]
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()
    numbers = {case: number for number, case in enumerate(CASES)}
    yield lambda case, rank: load_file(folder / f"{numbers[case]}-{rank}.safetensors")


def assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        close = torch.allclose(found[name].double(), expected[name].double(), tolerance, tolerance)
        assert close, (name, found[name], expected[name])


@pytest.mark.parametrize("case", FIVE_STEPS)
def test_two_processes_train_as_one_does(case: str, of_two: Callable[[str, int], dict[str, Tensor]]) -> None:
    alone = trained(settings_of(case, accumulate=1))
    assert_same(of_two(case, 0), alone, 1e-5)


@pytest.mark.parametrize("case", FIRST_STEP)
def test_two_processes_make_the_first_step_of_large_networks_as_one_does(
    case: str, of_two: Callable[[str, int], dict[str, Tensor]]
) -> None:
    """Losses of all phases, each after the networks of the phase before have moved; statistics; first moments."""
    alone, found = trained(settings_of(case), steps=1), of_two(case, 0)
    assert found.keys() == alone.keys()
    for name, value in alone.items():
        if name.startswith("loss") or name.endswith(("exp_avg", "running_mean", "running_var")):
            assert (found[name] - value).abs().max() <= 2e-5 * max(1.0, float(value.abs().max())), name


@pytest.mark.parametrize("case", CASES)
def test_all_processes_have_the_same_losses_and_weights(
    case: str, of_two: Callable[[str, int], dict[str, Tensor]]
) -> None:
    first, second = of_two(case, 0), of_two(case, 1)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


WITHOUT_STATISTICS: Mapping[str, LearnerSettings] = {
    "supervised": settings_of("supervised", 4),
    "pseudo-label": settings_of("pseudo-label", 4),
    "paper": tiny_settings(
        "aral",
        networks={**PERCEPTRONS, "encoder_sizes": (), "generator_sizes": ()},
        weights={"feature_matching": 0.0},
        training={"accumulate": 4},
    ),
}
"""No batch norm and no feature matching, whose statistics would be those of a part."""


@pytest.mark.parametrize("case", WITHOUT_STATISTICS)
def test_parts_one_after_another_train_as_the_whole_batch_does(case: str) -> None:
    settings = WITHOUT_STATISTICS[case]
    whole = settings.model_copy(update={"training": settings.training.model_copy(update={"accumulate": 1})})
    assert_same(trained(settings), trained(whole), 1e-5)
    assert settings.build(Task((1, 6, 6), 3, Stream.root(1))).remark == ""


def test_it_is_said_which_statistics_are_those_of_a_part() -> None:
    def remark(case: str) -> str:
        return settings_of(case, 2).build(Task((1, 6, 6), 3, Stream.root(1))).remark

    assert "Feature matching and batch norm use the statistics of one part" in remark("paper")
    assert "Batch norm uses the statistics of one part" in remark("vaal")


class Kept:
    """Numbers that are kept for a gradient, now and at most."""

    now = most = 0

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        Kept.now += tensor.numel()
        Kept.most = max(Kept.most, Kept.now)

    def __del__(self) -> None:
        Kept.now -= self.tensor.numel()


@pytest.mark.parametrize(("case", "share"), [("supervised", 0.4), ("paper", 0.6)])
def test_parts_one_after_another_keep_less_for_the_gradient(case: str, share: float) -> None:
    """E's and G's first pass are kept for all parts, because a later phase needs them."""
    most = []
    for accumulate in (1, 4):
        learner, settings = CASES[case]
        batches = {"labelled_batch": 64, "accumulate": accumulate}
        if case == "paper":
            batches["unlabelled_batch"] = 64
        Kept.now = Kept.most = 0
        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            trained(tiny_settings(learner, training=batches, networks=PERCEPTRONS, **settings), steps=1)
        most.append(Kept.most)
    assert most[1] < share * most[0], most


@pytest.mark.parametrize("learner", ["graph-ssl", "fixmatch", "linear"])
def test_a_method_whose_step_depends_on_the_whole_batch_is_refused(learner: str) -> None:
    settings = tiny_settings("supervised") if learner == "linear" else tiny_settings(learner)
    if learner == "linear":
        from aral.learners import LinearSettings

        settings = LinearSettings()
    assert isinstance(settings.build(Task((1, 6, 6), 3, Stream.root(1))), Engine)
    with pytest.raises(BadInput, match=r"depends on its whole batch.*2 processes"):
        settings.build(Task((1, 6, 6), 3, Stream.root(1), group=Group(0, 2)))


@pytest.mark.parametrize(
    ("case", "training", "size", "hint"),
    [
        ("supervised", {"labelled_batch": 9}, 2, "labelled_batch=10"),
        ("paper", {"unlabelled_batch": 10}, 4, "unlabelled_batch=12"),
        ("supervised", {"labelled_batch": 8, "accumulate": 3}, 4, "labelled_batch=12"),
        ("paper", {"labelled_batch": 8, "unlabelled_batch": 8, "accumulate": 8}, 1, "unlabelled_batch=16"),
        ("S3GAN and VGG16", {"unlabelled_batch": 12}, 2, "unlabelled_batch=16"),
    ],
)
def test_batches_that_cannot_be_divided_are_refused_with_what_to_set(
    case: str, training: dict[str, int], size: int, hint: str
) -> None:
    def build(**changed: int) -> Engine:
        table = {"networks": PERCEPTRONS, **CASES[case][1], "training": training | changed}
        side = 32 if case in FIRST_STEP else 6
        task = Task((1, side, side), 3, Stream.root(1), group=Group(0, size))
        made = tiny_settings(CASES[case][0], **table).build(task)
        assert isinstance(made, Engine)
        return made

    with pytest.raises(BadInput, match=f"--set learner.training.{hint}"):
        build()
    name, _, value = hint.partition("=")
    build(**{name: int(value)})
