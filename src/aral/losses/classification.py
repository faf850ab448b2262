"""Cross-entropy of the classifier C (eq. 9)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import log_softmax


def cross_entropy(class_logits: Float[Tensor, "N K"], class_probs: Float[Tensor, "N K"]) -> Float[Tensor, ""]:
    """−Σ_k y_k log softmax(C)_k, mean over images, nats; both terms of eq. 9.

    Args:
        class_logits: C(x) of labelled images, or C(G(z, y)) of generated ones.
        class_probs: their classes; rows may be soft labels. No gradient should flow through them.
    """
    return -(class_probs * log_softmax(class_logits, dim=1)).sum(dim=1).mean()
