"""Eq. 7, 8 and 10 on a toy problem whose joints can be written down: does E's sign decide the outcome?

Images x are 0 (labelled) or 1 (unlabelled), latents z are 0, 1 or 2, each equally likely. E is a table q(z|x), G a
table p(x|z), and D a free table over pairs (x, z), so that nothing but the losses can go wrong. The pair is matched
when p(x) q(z|x) = p(z) p(x|z).

For fixed E and G the minimum of eq. 8 is D*(x, z) = log p(x) q(z|x) − log p(z) p(x|z). With a(+D), E moves the
mass of each x from pairs that G makes too rarely to pairs that G makes too often, and G does the opposite: both
shrink D*, and the only interior point of rest is a match. With the printed a(−D), E does what D wants: it moves
mass to where D is surest of 'real', that is, *away* from G's pairs. G follows in x but cannot change p(z), so E
ends with all mass of each x on one z. Two images cannot cover three latents in this way, and the joints stay at
least a third apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from aral.losses.adversarial import discriminator_loss, encoder_loss, generator_loss, shared_mean

LABELLED_SHARE = 0.4
IMAGES = torch.tensor([LABELLED_SHARE, 1 - LABELLED_SHARE], dtype=torch.float64)
LATENTS = torch.full((3,), 1 / 3, dtype=torch.float64)
EncoderLoss = Callable[[Tensor, Tensor, float], Tensor]


def encoder_loss_as_printed(labelled: Tensor, unlabelled: Tensor, labelled_share: float) -> Tensor:
    """Eq. 10 with the printed sign, a(−D(x, E(x, y), y))."""
    return shared_mean(softplus(-labelled), softplus(-unlabelled), labelled_share)


def joints(encoder: Tensor, generator: Tensor) -> tuple[Tensor, Tensor]:
    """p(x) q(z|x) and p(z) p(x|z), each 2×3."""
    return IMAGES[:, None] * encoder.softmax(dim=1), LATENTS * generator.softmax(dim=0)


def best_discriminator(encoder: Tensor, generator: Tensor) -> Tensor:
    real, generated = joints(encoder, generator)
    return (real.log() - generated.log()).detach()


def expected_encoder_loss(loss: EncoderLoss, logits: Tensor, encoder: Tensor) -> Tensor:
    """Exact mean over z ~ q(z|x) of the labelled image 0 and the unlabelled image 1; D is frozen."""
    table = torch.stack(
        [torch.stack([loss(a[None], b[None], LABELLED_SHARE) for b in logits[1]]) for a in logits[0]]
    )
    labelled, unlabelled = encoder.softmax(dim=1)
    return labelled @ table @ unlabelled


def expected_generator_loss(logits: Tensor, generator: Tensor) -> Tensor:
    """Exact mean over z ~ p(z) and x ~ p(x|z); D is frozen."""
    table = torch.stack([generator_loss(logit[None]) for logit in logits.flatten()]).view_as(logits)
    return (LATENTS * generator.softmax(dim=0) * table).sum()


def play(loss: EncoderLoss, seed: int, steps: int = 150, rate: float = 4.0) -> tuple[Tensor, Tensor]:
    """Gradient descent of E and G, D at its optimum before each step; the two joints at the end."""
    random = torch.Generator().manual_seed(seed)
    encoder, generator = (
        torch.randn(2, 3, generator=random, dtype=torch.float64).requires_grad_() for _ in range(2)
    )
    for _ in range(steps):
        logits = best_discriminator(encoder, generator)
        (down_e,) = torch.autograd.grad(expected_encoder_loss(loss, logits, encoder), encoder)
        (down_g,) = torch.autograd.grad(expected_generator_loss(logits, generator), generator)
        encoder = (encoder - rate * down_e).detach().requires_grad_()
        generator = (generator - rate * down_g).detach().requires_grad_()
    real, generated = joints(encoder, generator)
    return real.detach(), generated.detach()


def total_variation(one: Tensor, other: Tensor) -> float:
    return 0.5 * (one - other).abs().sum().item()


def dependence(joint: Tensor) -> float:
    """Total variation between a joint and the product of its margins."""
    return total_variation(joint, joint.sum(dim=1, keepdim=True) * joint.sum(dim=0))


def discriminator_value(real: Tensor, generated: Tensor) -> float:
    """Eq. 8 at D*: 2 log 2 for a perfect match, less the better D can tell the joints apart."""
    logits = real.log() - generated.log()
    return ((real * (1 + (-logits).exp()).log()).sum() + (generated * (1 + logits.exp()).log()).sum()).item()


@pytest.mark.parametrize("seed", range(4))
def test_opposing_encoder_reaches_equilibrium(seed: int) -> None:
    real, generated = play(encoder_loss, seed)
    assert total_variation(real, generated) < 1e-3
    # E inverts G: p(z|x) of either joint.
    torch.testing.assert_close(
        real / real.sum(dim=1, keepdim=True),
        generated / generated.sum(dim=1, keepdim=True),
        atol=1e-3,
        rtol=0,
    )
    assert discriminator_value(real, generated) == pytest.approx(2 * math.log(2), abs=1e-4)
    assert dependence(real) > 0.05  # x and z go together; the match is not that of independent tables


@pytest.mark.parametrize("seed", range(4))
def test_cooperating_encoder_does_not(seed: int) -> None:
    real, generated = play(encoder_loss_as_printed, seed)
    assert total_variation(real, generated) > 0.3
    assert discriminator_value(real, generated) < 1.2  # D wins: 2 log 2 is 1.386
    assert (real / IMAGES[:, None]).amax(dim=1).min() > 0.99  # E is left with one latent for each image


def test_a_match_is_a_point_of_rest_for_both_players() -> None:
    """At p(x) q(z|x) = p(z) p(x|z), D* = 0 and neither E nor G has a slope."""
    matched = torch.tensor([[0.2, 0.1, 0.1], [2 / 15, 7 / 30, 7 / 30]], dtype=torch.float64)
    encoder, generator = matched.log().requires_grad_(), matched.log().requires_grad_()
    logits = best_discriminator(encoder, generator)
    assert logits.abs().max() < 1e-12
    (down_e,) = torch.autograd.grad(expected_encoder_loss(encoder_loss, logits, encoder), encoder)
    (down_g,) = torch.autograd.grad(expected_generator_loss(logits, generator), generator)
    assert down_e.abs().max() < 1e-12 and down_g.abs().max() < 1e-12


def test_the_log_ratio_is_the_optimum_of_the_discriminator_loss() -> None:
    """Batches with exact counts: no slope of eq. 8 at D*, and every other table is worse."""
    labelled, unlabelled = torch.tensor([5, 3, 2]), torch.tensor([2, 4, 4])  # out of 10 of x = 0 and of x = 1
    generated = torch.tensor([[6, 1, 3], [2, 4, 4]])  # out of 20
    real = torch.stack([LABELLED_SHARE * labelled / 10, (1 - LABELLED_SHARE) * unlabelled / 10]).double()
    best = (real.log() - (generated / 20).double().log()).requires_grad_()

    def loss(logits: Tensor) -> Tensor:
        return discriminator_loss(
            logits[0].repeat_interleave(labelled),
            logits[1].repeat_interleave(unlabelled),
            logits.flatten().repeat_interleave(generated.flatten()),
            LABELLED_SHARE,
        )

    (slope,) = torch.autograd.grad(loss(best), best)
    assert slope.abs().max() < 1e-7
    for cell in range(6):
        for step in (0.1, -0.1):
            moved = best.detach().clone()
            moved.view(-1)[cell] += step
            assert loss(moved) > loss(best)
    assert loss(best).item() == pytest.approx(discriminator_value(real, (generated / 20).double()), abs=1e-6)
