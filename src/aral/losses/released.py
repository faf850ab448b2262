"""The GAN loss of the authors' released code, in which the class logits tell real from generated images.

D(x) = Z(x) / (Z(x) + 1) with Z = Σ exp(class logits), the K-class form of the semi-supervised GAN
(Salimans et al. 2016). There is no realness head c_rf: the logit of 'real' is the
logsumexp of the class logits.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus


def discriminator_loss(
    unlabelled_class_logits: Float[Tensor, "U K"], generated_class_logits: Float[Tensor, "G K"]
) -> Float[Tensor, ""]:
    """½·(a(l_U) − l_U) + ½·a(l_G) with l = logsumexp, a = softplus; nats per image; minimised by D."""
    unlabelled = unlabelled_class_logits.logsumexp(dim=1)
    generated = generated_class_logits.logsumexp(dim=1)
    return 0.5 * (softplus(unlabelled) - unlabelled).mean() + 0.5 * softplus(generated).mean()
