"""What it costs to mistake an image for others of its batch: the contrastive loss of SimCLR.

Chen et al. 2020 ("NT-Xent"). Two pictures of one image, differently augmented, are to be found by each other
among the pictures of all images of the batch. No label is needed.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def confusion(
    codes: Float[Tensor, "N C"], others: Float[Tensor, "N C"], temperature: float
) -> Float[Tensor, ""]:
    """−log of a picture's chance to pick its other one among the 2N − 1, mean over all 2N pictures, nats.

    The chances are the softmax of the cosines divided by ``temperature``: log(2N − 1) when all are equal. The
    lengths of codes do not matter. Gradient flows to both.

    Args:
        codes: of one picture of each image.
        others: of another picture of each, in the same order.
        temperature: above 0; the lower, the more the nearest images count.
    """
    both = normalize(torch.cat([codes, others]), dim=1)
    logits = (both @ both.T / temperature).fill_diagonal_(-torch.inf)
    count = len(codes)
    partner = torch.arange(2 * count, device=codes.device).roll(count)
    return cross_entropy(logits, partner)
