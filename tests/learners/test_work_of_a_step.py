"""How much work a training step of ARAL is, in counts: passes, copies and waits. Time is measured by benchmarks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from aral.testing import tiny_settings

L, U = 8, 12
"""Labelled and unlabelled images of a step; as many are generated as there are unlabelled ones."""

PASSES = {
    # D̃ on all it sees and ŷ in phase D; D̃(x) and D̃(G(z, y)) in phase E+G. G makes x_g once and decodes once.
    "paper": {"D": [L + U + U, U, L + U, U], "E": [L + U], "G": [U, L + U], "S": [L + U, L + U]},
    # The same, with ŷ after phase D, and feature matching to unlabelled images alone.
    "released": {"D": [L + U + U, U, U, U], "E": [L + U], "G": [U, L + U], "S": [L + U, L + U]},
}


class Operators(TorchDispatchMode):
    """Counts operators within its block, with the count of numbers in their results."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[str, int]] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.found[func._overloadpacket.__name__, result.numel()] += 1
        else:
            self.found[func._overloadpacket.__name__, 0] += 1
        return result

    def of(self, name: str, numbers: int) -> int:
        """How often an operator had a result of at least so many numbers."""
        return sum(n for (found, size), n in self.found.items() if found == name and size >= numbers)


def started(start: Any, objective: str) -> Any:
    training = {"labelled_batch": L, "unlabelled_batch": U}
    learner = start(tiny_settings("aral", objective=objective, training=training))
    learner.step(0)
    return learner


@pytest.mark.parametrize("objective", ["paper", "released"])
def test_no_pass_is_made_twice(objective: str, start: Any) -> None:
    learner, passes = started(start, objective), {name: [] for name in "DEGS"}
    nets = learner.nets
    of = {"D": nets.discriminator.trunk, "E": nets.encoder, "G": nets.generator, "S": nets.sampler}

    def noted(name: str) -> Any:
        return lambda module, inputs: passes[name].append(len(inputs[0]))

    hooks = [module.register_forward_pre_hook(noted(name)) for name, module in of.items()]
    learner.step(1)
    for hook in hooks:
        hook.remove()
    assert passes == PASSES[objective]


@pytest.mark.parametrize(("objective", "phases"), [("paper", 2), ("released", 3)])
def test_normalised_weights_are_computed_once_for_the_passes_of_a_phase(
    objective: str, phases: int, start: Any
) -> None:
    """The released objective computes ŷ after D has moved, so its weights are needed once more."""
    learner = started(start, objective)
    trunk = sum(isinstance(layer, nn.Linear) for layer in learner.nets.discriminator.trunk.modules())
    with Operators() as operators:
        learner.step(1)
    computed = operators.of("_weight_norm_interface", 0)
    # C is a normalised layer as well: it is used in phase D and for ŷ.
    assert computed <= phases * trunk + 2 * 2


@pytest.mark.parametrize("objective", ["paper", "released"])
def test_images_are_converted_once_and_nothing_else_is_copied(objective: str, start: Any) -> None:
    learner = started(start, objective)
    image = learner.nets.encoder.body[0].in_features - 3
    with Operators() as operators:
        learner.step(1)
    assert operators.of("_to_copy", L * image) == 2, "labelled and unlabelled images, from 8 bits"
    assert operators.of("clone", L * image) == operators.of("copy_", L * image) == 0


@pytest.mark.parametrize("objective", ["paper", "released"])
def test_logging_does_not_wait_for_each_number(objective: str, start: Any) -> None:
    """A number that leaves a GPU is a wait: one check for each phase. Losses leave together, as a list."""
    learner = started(start, objective)
    with Operators() as operators:
        losses = learner.step(1)
    of_classes = (
        2 * 2
    )  # `one_hot` checks classes twice, those of the labels and of z and y, before they are moved
    assert operators.found["_local_scalar_dense", 0] == len({"D", "S", "E+G"}) + of_classes
    totals = [losses.values[f"total {phase}"] for phase in ("D", "S", "E+G")]
    assert (
        losses.values["tell labelled from unlabelled"] == totals[1] and len(set(losses.values.values())) > 6
    )
