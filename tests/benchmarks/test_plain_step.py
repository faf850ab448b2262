"""The plain step is a second derivation of the package's: without noise, the gradients of every phase are the same."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from aral.learners.aral import Aral, AralSettings
from aral.learners.engine import Batch
from aral.learners.interface import Task
from aral.learners.nets import Nets
from aral.randomness import Stream

SMALL = {
    "scale": "mlp",
    "encoder_sizes": (12, 10),
    "generator_sizes": (12, 10),
    "discriminator_sizes": (16, 12, 8),
    "input_noise": 0.0,
    "hidden_noise": 0.0,
}
WEIGHTS = {
    "trd": 0.3,
    "beta": 0.7,
    "adv": 0.4,
    "gan": 0.9,
    "cls": 1.1,
    "generated": 0.6,
    "feature_matching": 0.8,
    "labelled_share": 0.3,
}
"""Of one size, so that no term is lost among the others."""


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that measures both steps."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("train_step")


@pytest.mark.parametrize("objective", ["paper", "released"])
@pytest.mark.parametrize("others", [{}, {"sampler_sees": "sample", "matching_norm": "absolute"}])
def test_gradients_are_those_of_the_package(
    benchmarks: ModuleType, objective: str, others: dict[str, str]
) -> None:
    settings = AralSettings.model_validate(
        {
            "objective": objective,
            "networks": SMALL,
            "latent_size": 5,
            "weights": WEIGHTS,
            "training": {"labelled_batch": 20, "unlabelled_batch": 30, "precision": "float32"},
            **others,
        }
    )
    material = benchmarks.Material((1, 6, 6))
    stage, stream = material.stage(settings), Stream.root(1)
    nets = Nets.build(settings, Task(material.pool.shape, benchmarks.CLASSES, stream), stream, True, _none)
    for module in nets.modules.values():
        module.train()
    batch = Batch(stage, 0, 1000, torch.device("cpu"), None, None)
    plain = benchmarks.PlainStep(settings, nets).phases(batch)
    compared = 0
    for phase in Aral(settings).training_step(nets, batch):
        ours = sum((term.weight * term.compute() for term in phase.terms), torch.zeros(()))
        trains, loss = next(plain)
        theirs = loss()
        assert trains == phase.trains
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
        parameters = [p for net in sorted(trains) for p in nets.modules[net].parameters()]
        one, other = gradients(ours, parameters), gradients(theirs, parameters)
        for found, expected in zip(one, other, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * largest(other))
        compared += 1
        with torch.no_grad():  # both go on with the same networks, which have moved
            for parameter, gradient in zip(parameters, other, strict=True):
                parameter -= 0.01 * gradient
    assert compared == 3


def _none(*_: object) -> dict[object, object]:
    return {}


def gradients(loss: Tensor, parameters: list[torch.nn.Parameter]) -> list[Tensor]:
    found = torch.autograd.grad(
        loss, parameters, allow_unused=True, retain_graph=True, materialize_grads=True
    )
    assert any(bool(each.abs().sum() > 0) for each in found)
    return list(found)


def largest(of: list[Tensor]) -> float:
    return max(float(each.abs().max()) for each in of)
