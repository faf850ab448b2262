"""A step moves each weight by its own gradient, however gradient and weight lie in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from aral.learners.optimisers import NetOptimisers, laid_out_like
from aral.learners.phased import PhasedLearner
from aral.learners.spec import Adam, Model, Net, Optimisers, Training
from torch import nn

from aral.learners.nets import Nets
from aral.learners.supervised import supervised
from aral.networks import CompactFamily
from aral.networks.layers import ChannelsLast, GlobalMean
from aral.randomness import Stream

CPU = torch.device("cpu")


def conv_learner() -> PhasedLearner:
    family = CompactFamily(widths=(4, 6))
    return supervised(Model(networks=family), (3, 12, 12), 2, Stream.root(0), CPU)


def test_a_gradient_is_laid_out_like_its_weight() -> None:
    weight = torch.arange(24.0).reshape(2, 3, 2, 2)
    gradient = weight.contiguous(memory_format=torch.channels_last)
    assert gradient.stride() != weight.stride()
    found = laid_out_like(gradient, weight)
    assert found.stride() == weight.stride()
    assert torch.equal(found, weight)
    assert laid_out_like(weight, weight) is weight


def test_the_first_adam_step_of_a_convolution_has_the_sign_of_its_gradient() -> None:
    """Adam's first step is −rate·g/(|g| + ε): its sign is known for every single weight."""
    learner = conv_learner()
    module = learner.nets.discriminator
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 12, 12))).float()
    loss = module(images).square().sum()
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    before = [parameter.detach().clone() for parameter in parameters]
    optimisers = NetOptimisers(learner.nets, Model(networks=learner._model.networks))
    assert optimisers.descend(loss, frozenset({Net.DISCRIMINATOR}), 0, 10)
    odd_layout = 0
    for parameter, old, gradient in zip(parameters, before, gradients, strict=True):
        if gradient is None:
            assert torch.equal(parameter, old)
            continue
        odd_layout += gradient.stride() != parameter.stride()
        clear = gradient.abs() > 1e-4
        moved = (parameter - old).detach()
        assert torch.equal(moved[clear].sign(), -gradient[clear].sign())
    assert odd_layout, "no gradient was stored in another order: the test shows nothing"


def convolutions() -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    made = nn.Sequential(ChannelsLast(), nn.Conv2d(3, 4, 3), nn.LeakyReLU(), nn.Conv2d(4, 2, 3), GlobalMean())
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return made


@pytest.mark.parametrize("steps", [1, 4])
def test_channels_last_convolutions_move_as_by_adam_without_fusion(steps: int) -> None:
    ours, theirs = convolutions(), convolutions()
    settings = Adam(rate=0.01, beta1=0.9, beta2=0.99)
    model = Model(optimisers=Optimisers(discriminator=settings), training=Training(flat_share=1))
    optimisers = NetOptimisers(Nets({Net.DISCRIMINATOR: ours}, 2, 2, True), model)
    plain = torch.optim.Adam(theirs.parameters(), lr=0.01, betas=(0.9, 0.99), foreach=False, fused=False)
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    for index in range(steps):
        assert optimisers.descend(ours(images).square().sum(), frozenset({Net.DISCRIMINATOR}), index, steps)
        plain.zero_grad()
        torch.autograd.backward(theirs(images).square().sum())
        plain.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_only_matrices_and_kernels_decay_and_by_rate_times_decay() -> None:
    """With gradients of zero Adam stands still, so all that a step does is the decay."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    settings = Adam(rate=0.1, weight_decay=0.5)
    model = Model(optimisers=Optimisers(discriminator=settings), training=Training(flat_share=0))
    optimisers = NetOptimisers(Nets({Net.DISCRIMINATOR: net}, 2, 2, True), model)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    loss = sum((parameter * 0).sum() for parameter in net.parameters())
    assert isinstance(loss, torch.Tensor)
    assert optimisers.descend(loss, frozenset({Net.DISCRIMINATOR}), 0, 10)
    assert optimisers.descend(loss, frozenset({Net.DISCRIMINATOR}), 5, 10)
    kept = (1 - 0.1 * 0.5) * (1 - 0.05 * 0.5)  # the second rate has fallen to a half
    for parameter, old in zip(net.parameters(), before, strict=True):
        torch.testing.assert_close(parameter, kept * old if parameter.ndim > 1 else old)


def test_moments_return_to_their_weights_where_some_decay() -> None:
    model = Model(
        optimisers=Optimisers(discriminator=Adam(rate=0.01, weight_decay=0.1)),
        training=Training(flat_share=1),
    )
    one, other = convolutions(), convolutions()
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    trains = frozenset({Net.DISCRIMINATOR})
    whole = NetOptimisers(Nets({Net.DISCRIMINATOR: one}, 2, 2, True), model)
    for index in range(4):
        whole.descend(one(images).square().sum(), trains, index, 4)
    halves = NetOptimisers(Nets({Net.DISCRIMINATOR: other}, 2, 2, True), model)
    for index in range(4):
        if index == 2:
            state = halves.state_dict()
            halves = NetOptimisers(Nets({Net.DISCRIMINATOR: other}, 2, 2, True), model)
            halves.load_state_dict(state)
        halves.descend(other(images).square().sum(), trains, index, 4)
    for whole_weight, resumed in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(whole_weight, resumed)
