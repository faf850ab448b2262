"""The joint conditional GAN over (x, z, y): eq. 7, 8 and 10, on logits of 'real', a = softplus.

Real triples are (x, E(x, y), y) with y = C(x), gradient stopped, for an unlabelled image; generated ones are
(G(z, y), z, y). D separates them; G *and E* are its adversaries.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus


def shared_mean(
    labelled: Float[Tensor, " L"], unlabelled: Float[Tensor, " U"], labelled_share: float
) -> Float[Tensor, ""]:
    """s times the labelled mean plus 1 − s times the unlabelled one; the set with factor 0 may be empty.

    Args:
        labelled: a value of each labelled image.
        unlabelled: a value of each unlabelled image.
        labelled_share: s, in [0, 1].
    """
    if labelled_share == 1.0:
        return labelled.mean()
    if labelled_share == 0.0:
        return unlabelled.mean()
    return labelled_share * labelled.mean() + (1.0 - labelled_share) * unlabelled.mean()


def discriminator_loss(
    labelled_logits: Float[Tensor, " L"],
    unlabelled_logits: Float[Tensor, " U"],
    generated_logits: Float[Tensor, " G"],
    labelled_share: float,
) -> Float[Tensor, ""]:
    """Eq. 8: a(−D) averaged over real triples, plus a(D) averaged over generated ones; minimised by D.

    The printed third term has no lower bound and counts real images twice. Here real images have the total weight
    one, of which ``labelled_share`` (in [0, 1]) is for labelled images.
    """
    real = shared_mean(softplus(-labelled_logits), softplus(-unlabelled_logits), labelled_share)
    return real + softplus(generated_logits).mean()


def generator_loss(generated_logits: Float[Tensor, " G"]) -> Float[Tensor, ""]:
    """Eq. 7 in the non-saturating form: a(−D(G(z, y), z, y)); minimised by G, D frozen."""
    return softplus(-generated_logits).mean()


def encoder_loss(
    labelled_logits: Float[Tensor, " L"], unlabelled_logits: Float[Tensor, " U"], labelled_share: float
) -> Float[Tensor, ""]:
    """Eq. 10 with the sign that has an equilibrium: a(+D(x, E(x, y), y)); minimised by E, D frozen.

    As printed, E would help D. As D's adversary, the pair E and G reaches
    p(x, E(x)) = p(G(z), z) at the optimum (Donahue et al. 2016).
    """
    return shared_mean(softplus(labelled_logits), softplus(unlabelled_logits), labelled_share)
