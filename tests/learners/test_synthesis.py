"""Query synthesis on a generator and a classifier whose most uncertain images are known."""

from __future__ import annotations

import math

import pytest
import torch
from aral.learners.spec import Net
from torch import Tensor, nn

from aral.learners.nets import Nets
from aral.learners.synthesis import synthesise
from aral.networks.interface import Discriminator, Generator
from aral.randomness import Stream


class Paint(Generator):
    """An image is its two latents, shifted by the class."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor([[0.5, 0.0], [-0.5, 0.0]]))

    def forward(self, latents: Tensor, class_probs: Tensor) -> Tensor:
        shift = class_probs @ self.shift if class_probs.shape[1] else torch.zeros(2)
        return (latents + shift).reshape(-1, 1, 1, 2)


class FirstPixel(Discriminator):
    """Two classes, told by the sign of the first pixel: most uncertain where it is 0."""

    feature_size = 2

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(2.0))

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def classify(self, features: Tensor) -> Tensor:
        return self.slope * torch.stack([features[:, 0], -features[:, 0]], dim=1)

    def realness(self, features: Tensor, latents: Tensor, class_probs: Tensor) -> Tensor:
        return features.sum(dim=1)


def nets(conditional: bool = True) -> Nets:
    modules = {Net.GENERATOR: Paint(), Net.DISCRIMINATOR: FirstPixel()}
    return Nets(modules, latent_size=2, class_count=2, conditional=conditional)


@pytest.mark.parametrize("conditional", [True, False])
def test_images_come_to_the_boundary(conditional: bool) -> None:
    known = nets(conditional)
    made = synthesise(known, known.discriminator, 6, Stream.root(0), steps=100)
    assert made.images.shape == (6, 1, 1, 2)
    assert made.images[:, 0, 0, 0].abs().max() < 0.1
    assert made.entropies.min() > 0.95 * math.log(2)


def test_the_latent_that_does_not_matter_stays() -> None:
    known = nets()
    start = synthesise(known, known.discriminator, 6, Stream.root(0), steps=0)
    made = synthesise(known, known.discriminator, 6, Stream.root(0), steps=30)
    torch.testing.assert_close(start.latents[:, 1].sort().values, made.latents[:, 1].sort().values)
    assert start.class_probs.sum(dim=0).tolist() == [3, 3]


@pytest.mark.parametrize("rate", [0.1, 30.0])
def test_the_most_uncertain_come_first_and_none_gets_worse(rate: float) -> None:
    """Even with a rate that throws the latents about."""
    known = nets()
    start = synthesise(known, known.discriminator, 8, Stream.root(1), steps=0)
    made = synthesise(known, known.discriminator, 8, Stream.root(1), steps=5, rate=rate)
    assert (made.entropies.diff() <= 0).all()
    assert (made.entropies >= start.entropies).all()
    again = torch.special.entr(known.discriminator(made.images).softmax(dim=1)).sum(dim=1)
    torch.testing.assert_close(again, made.entropies)


def test_no_network_is_changed_and_no_gradient_is_left() -> None:
    known = nets()
    before = [
        parameter.detach().clone() for module in known.modules.values() for parameter in module.parameters()
    ]
    with torch.no_grad():  # as in prediction
        made = synthesise(known, known.discriminator, 3, Stream.root(0))
    after = [parameter for module in known.modules.values() for parameter in module.parameters()]
    assert all(
        torch.equal(one, other) and other.grad is None for one, other in zip(before, after, strict=True)
    )
    assert not made.images.requires_grad and not made.latents.requires_grad


def test_the_stream_decides() -> None:
    known = nets()
    one, same, other = (
        synthesise(known, known.discriminator, 3, Stream.root(seed)).images for seed in (0, 0, 1)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)
