"""Self-supervision by rotation (Gidaris et al. 2018; in a GAN: Chen et al. 2019, S3GAN: Lučić et al. 2019).

A head of the discriminator predicts by how many quarter turns an image was rotated. The discriminator learns
it from real images; the generator is trained so that it can be predicted for generated images too.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from aral.losses.classification import cross_entropy

TURNS = 4


def quarter_turns(images: Float[Tensor, "N C S S"]) -> Float[Tensor, "M C S S"]:
    """Square images turned by 0°, 90°, 180° and 270° counter-clockwise: M = 4·N, all N by 0° first."""
    return torch.cat([torch.rot90(images, turn, (2, 3)) for turn in range(TURNS)])


def turn_loss(turn_logits: Float[Tensor, "M 4"]) -> Float[Tensor, ""]:
    """Cross-entropy of the four turns, mean over images, nats; log 4 at chance.

    Args:
        turn_logits: of the images of :func:`quarter_turns`, in its order.
    """
    turns = torch.eye(TURNS, device=turn_logits.device).to(turn_logits.dtype)
    return cross_entropy(turn_logits, turns.repeat_interleave(len(turn_logits) // TURNS, dim=0))
