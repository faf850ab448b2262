"""The networks that the families are assembled from: E, G, D̃ with its heads, and S.

Only their trunks differ from family to family. Parameters are created in a fixed order, because the initial weights
come from PyTorch's global generator in that order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from aral.networks.interface import Discriminator, Encoder, Family, Generator, ImageShape, Sampler
from aral.networks.layers import (
    BatchNorm,
    ChannelsLast,
    Zeros,
    append_class_maps,
    he_initialised,
    linear_map,
)
from aral.networks.residual import ResidualUp

# E


LOG_VARIANCE_BOUND = 10.0
"""|log-variance| stays below this: standard deviations lie between e⁻⁵ ≈ 0.007 and e⁵ ≈ 148."""


def bounded_gaussian(outputs: Float[Tensor, "N Z2"]) -> tuple[Float[Tensor, "N Z"], Float[Tensor, "N Z"]]:
    """Mean and log-variance of q(z|x, y) from the 2Z raw outputs of an encoder, in float32.

    The log-variance is B·tanh(raw/B) with B = 10: nearly the raw value where |raw| is a few units (at 1 it
    differs by 0.003), never beyond ±B, so that exp(log-variance) in the divergence cannot overflow after
    one bad step. The mean is left as it is.
    """
    mean, raw = outputs.float().chunk(2, dim=1)
    return mean, LOG_VARIANCE_BOUND * torch.tanh(raw / LOG_VARIANCE_BOUND)


class ClassMapEncoder(Encoder):
    """E of convolutions: class probabilities enter as K constant channels beside the image.

    Args:
        body: N×(C+K)×H×W -> N×2Z, ends in a linear layer.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(
        self, images: Float[Tensor, "N C H W"], class_probs: Float[Tensor, "N K"]
    ) -> tuple[Float[Tensor, "N Z"], Float[Tensor, "N Z"]]:
        """Mean and log-variance of q(z|x, y), float32; the log-variance lies within ±10."""
        return bounded_gaussian(self.body(append_class_maps(images, class_probs)))


def strided_body(
    image_shape: ImageShape, class_count: int, latent_size: int, widths: Sequence[int], kernel_size: int
) -> nn.Sequential:
    """Convolutions of stride 2 with batch norm and ReLU, then one linear layer to 2Z numbers.

    Args:
        image_shape: (C, H, W).
        class_count: K, channels added to C.
        latent_size: Z.
        widths: output channels of each convolution.
        kernel_size: 5 halves a side rounding up, 4 rounding down.
    """
    channels, height, width = image_shape
    channels += class_count
    padding = (kernel_size - 1) // 2
    layers: list[nn.Module] = [ChannelsLast()]
    for out_channels in widths:
        # No bias: batch norm would subtract it again.
        convolution = nn.Conv2d(channels, out_channels, kernel_size, stride=2, padding=padding, bias=False)
        layers += [convolution, BatchNorm(out_channels), nn.ReLU()]
        channels = out_channels
        height, width = ((side + 2 * padding - kernel_size) // 2 + 1 for side in (height, width))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, 2 * latent_size))


# G


class PlainGenerator(Generator):
    """G as one stack of layers on [z, y].

    Args:
        body: N×(Z+K) -> N×C×H×W, before the last nonlinearity.
        output: maps to the family's pixel range; computed in float32.
    """

    def __init__(self, body: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.output = output

    def forward(
        self, latents: Float[Tensor, "N Z"], class_probs: Float[Tensor, "N K"]
    ) -> Float[Tensor, "N C H W"]:
        """Images in the family's pixel range, float32."""
        return self.output(self.body(torch.cat([latents, class_probs], dim=1)).float())


class ResidualGenerator(Generator):
    """G of residual blocks, each of which doubles the side, in [-1, 1].

    Args:
        start: N×(Z+D) -> N×C₀×H₀×W₀, fed with the latents beside the D numbers of the class embedding.
        blocks: called with the maps and the condition, one after the other.
        output: N×C₁×H×W -> N×C×H×W, before tanh.
        class_embedding: N×K -> N×D, linear, so that soft labels are mixtures.
        conditioned: whether the blocks' batch norms see [z, embedding] as well; else they see nothing.
    """

    def __init__(
        self,
        start: nn.Module,
        blocks: Sequence[nn.Module],
        output: nn.Module,
        class_embedding: nn.Module,
        conditioned: bool,
    ) -> None:
        super().__init__()
        self.start = start
        self.blocks = nn.ModuleList(blocks)
        self.output = output
        self.class_embedding = class_embedding
        self.conditioned = conditioned
        self.channels_last = ChannelsLast()

    def forward(
        self, latents: Float[Tensor, "N Z"], class_probs: Float[Tensor, "N K"]
    ) -> Float[Tensor, "N C H W"]:
        """Images in [-1, 1], float32."""
        code = torch.cat([latents, self.class_embedding(class_probs)], dim=1)
        condition = code if self.conditioned else code[:, :0]
        maps = self.channels_last(self.start(code))
        for block in self.blocks:
            maps = block(maps, condition) if isinstance(block, ResidualUp) else block(maps)
        return torch.tanh(self.output(maps).float())


# D̃, C and c_rf


class RealnessHead(nn.Module):
    """c_rf(f, z, y) = w·f + b + ⟨e(y), f⟩ + ⟨A z, f⟩ + MLP([z, y]), for f = D̃(x): high = real.

    ⟨e(y), f⟩ is the projection of Miyato and Koyama (2018), with e linear in the class probabilities, so that
    a soft label scores as the mixture of its classes. ⟨A z, f⟩ does the same for latents. It is needed:
    without it the logit would be a term in (x, y) plus a term in (z, y), and exchanging the latents of two
    images of one class would not change the sum of their logits. The discriminator could then compare the
    marginals of x and z but not recognise a mismatched pair (x, z), and equation 10 would not train the
    encoder to match them.

    Args:
        feature_size: F.
        latent_size: Z.
        class_count: K, may be 0.
        hidden_size: units of the one hidden layer of the MLP (leaky ReLU, slope 0.2).
    """

    def __init__(self, feature_size: int, latent_size: int, class_count: int, hidden_size: int = 128) -> None:
        super().__init__()
        self.direction = nn.Linear(feature_size, 1)
        # With these weights the variance of both inner products starts at the mean square of the features.
        self.class_embedding = linear_map(class_count, feature_size, std=1 / math.sqrt(feature_size))
        self.latent_embedding = linear_map(
            latent_size, feature_size, std=1 / math.sqrt(latent_size * feature_size)
        )
        self.hidden = nn.Linear(latent_size + class_count, hidden_size)
        # No bias: ``direction`` has one.
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

    @torch.no_grad()
    def divide_logits(self, temperature: float) -> None:
        """Divide the weights and biases of C, in place: what it predicts stays, the probabilities become even or sharp.

        Args:
            temperature: above 1 for less confident probabilities.
        """
        layer = cast(nn.Linear, self.class_layer)
        # Assigned where the weights are normalised: the parametrisation then computes its own parameters.
        if is_parametrized(layer, "weight"):
            layer.weight = cast(nn.Parameter, layer.weight / temperature)
        else:
            layer.weight.div_(temperature)
        layer.bias.div_(temperature)

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


# S


class SamplerMlp(Sampler):
    """S: five linear layers, Z-512-512-512-512-1, with ReLU between them.

    Args:
        latent_size: Z.
        width: units of each of the four hidden layers.
    """

    def __init__(self, latent_size: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for in_size in (latent_size, width, width, width):
            layers += [nn.Linear(in_size, width), nn.ReLU()]
        self.hidden = he_initialised(nn.Sequential(*layers), negative_slope=0.0)
        self.output = nn.Linear(width, 1)

    def forward(self, latents: Float[Tensor, "N Z"]) -> Float[Tensor, " N"]:
        """Logit that the image is labelled, high = labelled; float32."""
        return self.output(self.hidden(latents)).float().squeeze(1)


class FamilyWithSamplerMlp(Family):
    """A family whose S is :class:`SamplerMlp`, as it is in all of ours."""

    sampler_width: PositiveInt = 512
    """Units in each hidden layer of S."""

    def sampler(self, latent_size: int) -> Sampler:
        """A new S."""
        return SamplerMlp(latent_size, self.sampler_width)
