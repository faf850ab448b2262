"""S at every scale: a multilayer perceptron on latent codes, and the family field that sizes it."""

from __future__ import annotations

from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn

from aral.networks.interface import Family, Sampler
from aral.networks.layers import he_initialised


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
    """The part that all families share: S is the same perceptron at every scale."""

    sampler_width: PositiveInt = 512
    """Units in each hidden layer of S."""

    def sampler(self, latent_size: int) -> Sampler:
        """A new S."""
        return SamplerMlp(latent_size, self.sampler_width)
