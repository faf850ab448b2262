"""The hinge form of the GAN's losses (Lim and Ye 2017; Miyato et al. 2018), on logits of 'real'.

BigGAN and S3GAN (Lučić et al. 2019) train with it. It replaces a(−D) by max(0, 1 − D) on the real side and
a(D) by max(0, 1 + D) on the generated one, so images beyond the margin give D no gradient.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import relu

from aral.losses.adversarial import shared_mean


def discriminator_loss(
    labelled_logits: Float[Tensor, " L"],
    unlabelled_logits: Float[Tensor, " U"],
    generated_logits: Float[Tensor, " G"],
    labelled_share: float,
) -> Float[Tensor, ""]:
    """max(0, 1 − D) averaged over real images plus max(0, 1 + D) over generated ones; at least 0.

    Minimised by D. ``labelled_share`` (in [0, 1]) is the weight of labelled images among the real ones.
    """
    real = shared_mean(relu(1.0 - labelled_logits), relu(1.0 - unlabelled_logits), labelled_share)
    return real + relu(1.0 + generated_logits).mean()


def generator_loss(generated_logits: Float[Tensor, " G"]) -> Float[Tensor, ""]:
    """−D(G(z, y)), unbounded; minimised by G, D frozen."""
    return -generated_logits.mean()
