"""The hinge losses against hand arithmetic: margins, shares, and where the gradient ends."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aral.losses import adversarial, hinge

from .by_hand import DTYPES, gradients, near

LABELLED, UNLABELLED, GENERATED = [1.5, -0.5], [0.3, -2.0, 4.0], [-1.5, 2.5]


@DTYPES
def test_discriminator_loss_by_hand(dtype: torch.dtype) -> None:
    real = 0.25 * (0 + 1.5) / 2 + 0.75 * (0.7 + 3.0 + 0) / 3
    generated = (0 + 3.5) / 2
    found = hinge.discriminator_loss(
        *(torch.tensor(values, dtype=dtype) for values in (LABELLED, UNLABELLED, GENERATED)),
        labelled_share=0.25,
    )
    assert found.item() == near(real + generated, dtype)


def test_generator_loss_by_hand() -> None:
    assert hinge.generator_loss(torch.tensor(GENERATED)).item() == pytest.approx(-0.5)


def test_images_beyond_the_margin_give_no_gradient() -> None:
    def loss(labelled: torch.Tensor, unlabelled: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
        return hinge.discriminator_loss(labelled, unlabelled, generated, labelled_share=0.5)

    found = gradients(loss, *(torch.tensor(values) for values in (LABELLED, UNLABELLED, GENERATED)))
    assert found[0].tolist() == [0.0, -0.25]
    torch.testing.assert_close(found[1], torch.tensor([-1 / 6, -1 / 6, 0.0]))
    assert found[2].tolist() == [0.0, 0.5]


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=5), st.lists(st.floats(-50, 50), min_size=1))
def test_generators_loss_falls_as_the_discriminators_rises(one: list[float], other: list[float]) -> None:
    """Raising every generated logit is what G wants and what D never likes."""
    real, made = torch.tensor(one), torch.tensor(other)
    before, after = (hinge.discriminator_loss(real, real, value, 0.5) for value in (made, made + 1))
    assert 0 <= before <= after + 1e-5
    assert hinge.generator_loss(made + 1) < hinge.generator_loss(made)


@pytest.mark.parametrize("module", [hinge, adversarial])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_pool_without_a_share_may_be_empty(module, share: float) -> None:
    """An empty pool's mean is NaN: it must not enter, not even with weight zero."""
    present, none, made = torch.tensor(LABELLED), torch.empty(0), torch.tensor(GENERATED)
    pools = (present, none) if share else (none, present)
    both = module.discriminator_loss(present, present, made, labelled_share=0.5)
    torch.testing.assert_close(module.discriminator_loss(*pools, made, labelled_share=share), both)
