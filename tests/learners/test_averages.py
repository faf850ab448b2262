"""Whose batch norm statistics an average has: those of the images it labelled, else those of what it follows."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from aral.learners.averages import Averages
from aral.learners.spec import Net
from aral.networks.discriminators import RealnessHead, TrunkDiscriminator
from torch import Tensor, nn

from aral.learners.nets import Nets

STATISTICS = {"trunk.1.running_mean", "trunk.1.running_var", "trunk.1.num_batches_tracked"}


def judge() -> TrunkDiscriminator:
    """Of images of two pixels: batch norm of each, dropout, two logits by weights of unit spectral norm."""
    trunk = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2), nn.Dropout(0.5))
    classes = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2))
    return TrunkDiscriminator(trunk, 2, classes, RealnessHead(2, 2, 2))


def averages(decay: float = 0.9) -> tuple[Nets, Averages]:
    torch.manual_seed(0)
    nets = Nets({Net.DISCRIMINATOR: judge(), Net.PARTITION: judge()}, 2, 2, True)
    return nets, Averages(nets, decay)


def state(averages: Averages, net: Net = Net.DISCRIMINATOR) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in averages.modules[net].state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def trained(nets: Nets) -> None:
    """What a step leaves behind: other weights, statistics of images around 10."""
    for module in nets.modules.values():
        module.train()(10 + torch.randn(8, 1, 1, 2))
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.rand_like(parameter))
        module(torch.randn(8, 1, 1, 2) + 10)


def test_labels_are_by_the_statistics_of_the_images_themselves_and_these_are_remembered() -> None:
    """Two rows are one standard deviation from their mean, whatever they are: ±1 but for batch norm's 1e-5."""
    _, found = averages()
    assert not any(layer.training for module in found.modules.values() for layer in module.modules())
    before = state(found)
    linear = cast(TrunkDiscriminator, found.discriminator).class_layer
    signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    logits = found.label(torch.tensor([[[[30.0, 5.0]]], [[[10.0, 15.0]]]]))
    torch.testing.assert_close(logits, linear(signs).detach(), atol=1e-5, rtol=1e-5)
    after = state(found)
    assert changed(before, after) == STATISTICS
    torch.testing.assert_close(after["trunk.1.running_mean"], 0.1 * torch.tensor([20.0, 10.0]))
    assert not found.modules[Net.DISCRIMINATOR].training, "dropout is on"


def test_an_average_that_labelled_keeps_its_statistics_for_that_step_only() -> None:
    nets, found = averages()
    trained(nets)
    found.label(torch.randn(8, 1, 1, 2))
    before = state(found)
    found.follow(1000)
    after = state(found)
    assert not changed(before, after) & STATISTICS
    assert {"trunk.1.weight", "trunk.1.bias", "class_layer.bias"} <= changed(before, after)
    assert any("_u" in name for name in changed(before, after)), "the spectral norm's vectors stayed behind"
    of_groups = state(found, Net.PARTITION)
    assert (of_groups["trunk.1.running_mean"] > 0.05).all(), "P labelled nothing and follows"
    found.follow(1001)
    third = state(found)
    assert STATISTICS <= changed(after, third)
    newest = nets.modules[Net.DISCRIMINATOR].state_dict()["trunk.1.running_mean"]
    torch.testing.assert_close(
        third["trunk.1.running_mean"],
        0.9 * after["trunk.1.running_mean"] + 0.1 * newest,
        atol=1e-6,
        rtol=1e-6,
    )


def test_without_an_average_nobody_labels() -> None:
    with pytest.raises(ValueError, match="nothing is averaged"):
        averages(decay=0.0)[1].label(torch.randn(2, 1, 1, 2))
