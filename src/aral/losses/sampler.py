"""The adversarial game of the sampler S and the encoder E (eq. 2, 4, 5 and 6), on logits of 'labelled'.

a = softplus; z = E(x, y). Both functions return nats per image.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus


def sampler_loss(
    labelled_logits: Float[Tensor, " L"], unlabelled_logits: Float[Tensor, " U"]
) -> Float[Tensor, ""]:
    """Eq. 4 and 6: a(−S(z_L)) + a(S(z_U)), each term a mean over its images; minimised by S.

    The caller detaches the latents. The value is 2·log 2 where S = 0.
    """
    return softplus(-labelled_logits).mean() + softplus(unlabelled_logits).mean()


def encoder_loss(
    labelled_logits: Float[Tensor, " L"], unlabelled_logits: Float[Tensor, " U"]
) -> Float[Tensor, ""]:
    """Adversarial term of eq. 2 and 5: a(−S(z_L)) + a(−S(z_U)), each term a mean; minimised by E, with S frozen.

    It is small when S takes both sets for labelled.
    """
    return softplus(-labelled_logits).mean() + softplus(-unlabelled_logits).mean()
