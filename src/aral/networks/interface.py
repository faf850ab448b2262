"""The interface of the four networks.

Networks know sizes, never data sets or losses. All outputs are float32, whatever precision the layers
compute in. Class information enters as probabilities N×K: one-hot rows for human labels, C(x) otherwise;
K = 0 makes a network unconditional.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import TypeAlias

from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from aral.errors import BadInput
from aral.plural import counted

ImageShape: TypeAlias = tuple[int, int, int]
"""Channels, height and width of one image."""


class PixelRange(StrEnum):
    """The range of values that a family of networks reads and writes."""

    UNIT = "[0,1]"
    SYMMETRIC = "[-1,1]"
    REAL = "real"  # features of a representation: any number


class Encoder(nn.Module, ABC):
    """E: the approximate posterior q(z|x, y), a diagonal Gaussian."""

    @abstractmethod
    def forward(
        self, images: Float[Tensor, "N C H W"], class_probs: Float[Tensor, "N K"]
    ) -> tuple[Float[Tensor, "N Z"], Float[Tensor, "N Z"]]:
        """Mean and log-*variance* of q(z|x, y)."""


class Generator(nn.Module, ABC):
    """G: decoder of the variational autoencoder and generator of the conditional GAN."""

    @abstractmethod
    def forward(
        self, latents: Float[Tensor, "N Z"], class_probs: Float[Tensor, "N K"]
    ) -> Float[Tensor, "N C H W"]:
        """Images in the family's pixel range: means of p(x|z, y), or samples of the GAN."""


class Discriminator(nn.Module, ABC):
    """D̃ with its two heads: the classifier C and the joint realness c_rf."""

    feature_size: int

    @abstractmethod
    def features(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N F"]:
        """D̃(x): the shared trunk."""

    @abstractmethod
    def classify(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N K"]:
        """C: class logits."""

    @abstractmethod
    def divide_logits(self, temperature: float) -> None:
        """Divide all class logits, in place; the predicted classes stay."""

    @abstractmethod
    def realness(
        self,
        features: Float[Tensor, "N F"],
        latents: Float[Tensor, "N Z"],
        class_probs: Float[Tensor, "N K"],
    ) -> Float[Tensor, " N"]:
        """c_rf: logit that (x, z, y) is real, high = real."""

    def forward(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N K"]:
        """Class logits C(D̃(x))."""
        return self.classify(self.features(images))


class Sampler(nn.Module, ABC):
    """S: classifies latent codes as labelled (1) or unlabelled (0)."""

    @abstractmethod
    def forward(self, latents: Float[Tensor, "N Z"]) -> Float[Tensor, " N"]:
        """Logit that the image is labelled, high = labelled."""


class Family(BaseModel, ABC):
    """The sizes of the four networks at one scale, and the way to build each of them.

    A family is a small frozen settings object. Every factory draws its initial weights from PyTorch's global
    generator. The caller seeds that, with one stream a network, so two learners with the same seed start from the
    same classifier. ``image_shape`` is (C, H, W); ``class_count`` 0 makes E and G unconditional.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    @abstractmethod
    def pixel_range(self) -> PixelRange:
        """The range in which this family reads and writes images."""

    @abstractmethod
    def encoder(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Encoder:
        """A new E."""

    @abstractmethod
    def generator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Generator:
        """A new G."""

    @abstractmethod
    def discriminator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Discriminator:
        """A new D̃ with C and c_rf."""

    @abstractmethod
    def sampler(self, latent_size: int) -> Sampler:
        """A new S."""


def refuse_unless(fits: bool, scale: str, image_shape: ImageShape, accepted: str, instead: str) -> None:
    """Raise ``BadInput`` unless images of this shape can be used.

    Args:
        fits: whether it does.
        scale: name of the family.
        image_shape: (C, H, W) as given.
        accepted: the heights and widths that the family takes, in words.
        instead: what to do with these images.
    """
    if not fits:
        channels, height, width = image_shape
        raise BadInput(
            f"Images of {height}×{width} pixels and {counted(channels, 'channel')} do not fit the '{scale}' "
            f"networks, which accept {accepted}.",
            instead,
        )
