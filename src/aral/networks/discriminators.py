"""D̃ with its two heads, the same at every scale: only the trunk differs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from aral.networks.interface import Discriminator
from aral.networks.layers import Zeros, linear_map


class RealnessHead(nn.Module):
    """c_rf(f, z, y) = w·f + b + ⟨e(y), f⟩ + ⟨A z, f⟩ + MLP([z, y]), for f = D̃(x): high = real.

    ⟨e(y), f⟩ is the projection of Miyato and Koyama (2018), with e linear in the class probabilities, so
    that a soft label scores as the mixture of its classes. ⟨A z, f⟩ does for latents what the projection
    does for classes, and is there on purpose: without it the logit would be a term in (x, y) plus a term in
    (z, y). Exchanging the latents of two images of one class would then leave the sum of their logits
    as it was, so the discriminator could compare the marginals of x and z but never tell a matching pair
    (x, z) from a mismatched one, and equation 10 would put no demand on the encoder's pairing.

    Args:
        feature_size: F.
        latent_size: Z.
        class_count: K, may be 0.
        hidden_size: units of the one hidden layer of the MLP (leaky ReLU, slope 0.2).
    """

    def __init__(self, feature_size: int, latent_size: int, class_count: int, hidden_size: int = 128) -> None:
        super().__init__()
        self.direction = nn.Linear(feature_size, 1)
        # With these weights both inner products start with the mean square of the features as variance.
        self.class_embedding = linear_map(class_count, feature_size, std=1 / math.sqrt(feature_size))
        self.latent_embedding = linear_map(
            latent_size, feature_size, std=1 / math.sqrt(latent_size * feature_size)
        )
        self.hidden = nn.Linear(latent_size + class_count, hidden_size)
        # No bias: b above is already one.
        self.output = nn.Linear(hidden_size, 1, bias=False)

    def forward(
        self,
        features: Float[Tensor, "N F"],
        latents: Float[Tensor, "N Z"],
        class_probs: Float[Tensor, "N K"],
    ) -> Float[Tensor, " N"]:
        """Logit that (x, z, y) is real, float32; no gradient is stopped."""
        embedded = self.class_embedding(class_probs).float() + self.latent_embedding(latents).float()
        pair = (embedded * features.float()).sum(1)
        code = torch.cat([latents, class_probs], dim=1)
        without_image = self.output(F.leaky_relu(self.hidden(code), 0.2)).float().squeeze(1)
        return self.direction(features).float().squeeze(1) + pair + without_image


def class_head(feature_size: int, class_count: int) -> nn.Module:
    """C: a linear layer from features to logits; without classes, to N×0 logits."""
    return nn.Linear(feature_size, class_count) if class_count else Zeros(0)


class TrunkDiscriminator(Discriminator):
    """D̃: any trunk, with the classifier C and the joint realness c_rf on its features.

    Args:
        trunk: N×C×H×W -> N×F.
        feature_size: F.
        class_layer: N×F -> N×K.
        realness_head: (features, latents, class_probs) -> N.
    """

    def __init__(
        self, trunk: nn.Module, feature_size: int, class_layer: nn.Module, realness_head: nn.Module
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.feature_size = feature_size
        self.class_layer = class_layer
        self.realness_head = realness_head

    def features(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N F"]:
        """D̃(x): the shared trunk, float32."""
        return self.trunk(images).float()

    def classify(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N K"]:
        """C: class logits, float32."""
        return self.class_layer(features).float()

    def realness(
        self,
        features: Float[Tensor, "N F"],
        latents: Float[Tensor, "N Z"],
        class_probs: Float[Tensor, "N K"],
    ) -> Float[Tensor, " N"]:
        """c_rf: logit that (x, z, y) is real, high = real, float32."""
        return self.realness_head(features, latents, class_probs)
