"""The game of the sampler S and the encoder E (eq. 2, 5 and 6), on logits of 'labelled'."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus


def sampler_loss(
    labelled_logits: Float[Tensor, " L"], unlabelled_logits: Float[Tensor, " U"]
) -> Float[Tensor, ""]:
    """Eq. 4 and 6: a(−S(z_L)) + a(S(z_U)), a = softplus; each pool's mean counts the same.

    For S alone: the latents are detached by the caller. At S = 0 everywhere the value is 2·log 2.
    """
    return softplus(-labelled_logits).mean() + softplus(unlabelled_logits).mean()


def encoder_loss(
    labelled_logits: Float[Tensor, " L"], unlabelled_logits: Float[Tensor, " U"]
) -> Float[Tensor, ""]:
    """Adversarial part of eq. 2 and 5: a(−S(z_L)) + a(−S(z_U)): E wants both pools to look labelled.

    For E alone: S is frozen while this term is minimised.
    """
    return softplus(-labelled_logits).mean() + softplus(-unlabelled_logits).mean()
