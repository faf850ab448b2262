"""Text in the space of a backbone's image features: zero-shot classification by class names, and search by words.

CLIP (Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision") and SigLIP (Zhai et
al. 2023, "Sigmoid Loss for Language Image Pre-Training") have been trained so that an image and a text that describes
it have a high cosine similarity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn.functional import normalize

from aral.errors import BadInput

EXAMPLE = "hf:openai/clip-vit-base-patch32"
"""A representation with text, for messages."""

PLACE = "{}"
"""What stands in a prompt in the place of the class name."""

CLIP_PROMPTS = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a close-up photo of a {}.",
    "a cropped photo of a {}.",
)
"""The prompt of Radford et al. (2021), section 3.1.4, and three of the 80 that they average for ImageNet."""

SIGLIP_PROMPTS = ("This is a photo of {}.", "a photo of a {}.", "a photo of {}.")
"""The prompt that SigLIP's model cards use, and two more."""

TEXTS_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class TextTower:
    """Embeds text into the space of a backbone's image features.

    Attributes:
        embed: texts → n×F.
        logit_scale: what cosine similarities are multiplied by to be logits; positive.
        prompts: sentences with ``{}`` in the place of a class name; an image of the class is expected to be like them.
    """

    embed: Callable[[Sequence[str]], Float[Tensor, "n F"]]
    logit_scale: float
    prompts: tuple[str, ...] = CLIP_PROMPTS

    def __call__(self, texts: Sequence[str]) -> Float32[Tensor, "n F"]:
        """Features of one text or more, not normalised; without gradients.

        Args:
            texts: in the language of the model's training; what is longer than it can read is cut off.

        Raises:
            BadInput: a package of the tokenizer is missing, or a feature is NaN or infinite.
        """
        with torch.inference_mode():
            found = [
                self.embed(texts[start : start + TEXTS_AT_ONCE]).float()
                for start in range(0, len(texts), TEXTS_AT_ONCE)
            ]
        features = torch.cat(found).clone()
        if not bool(features.isfinite().all()):
            raise BadInput("The features of a text are NaN or infinite.", "Choose another representation.")
        return features

    def of_classes(self, names: Sequence[str]) -> Float32[Tensor, "K F"]:
        """Features of classes by their names: of length 1, the mean over all prompts of the features of length 1.

        ``_`` and ``-`` are read as spaces.

        Args:
            names: K of them, none empty.
        """
        spoken = [" ".join(name.replace("_", " ").replace("-", " ").split()) or name for name in names]
        of_prompts = [
            normalize(self([prompt.replace(PLACE, name) for name in spoken]), dim=1)
            for prompt in self.prompts
        ]
        return normalize(torch.stack(of_prompts).mean(0), dim=1)


def without_text(representation: str) -> BadInput:
    """The error for a representation that cannot embed text.

    Args:
        representation: by name.
    """
    return BadInput(
        f"Representation '{representation}' has no text tower, or the files of its tokenizer are missing.",
        "Representations with text are hf:NAME of CLIP and SigLIP, such as --representation "
        f"{EXAMPLE}; --download fetches what is missing.",
    )


def cosine_similarities(images: Float[Tensor, "N F"], texts: Float[Tensor, "K F"]) -> Float32[Tensor, "N K"]:
    """Cosine similarities of image features and text features, in −1..1; 0 for a vector of zeros."""
    return normalize(images.float(), dim=1) @ normalize(texts.float(), dim=1).T


def zero_shot_probabilities(
    images: Float[Tensor, "N F"], texts: Float[Tensor, "K F"], scale: float
) -> Float32[Tensor, "N K"]:
    """Class probabilities without any label: softmax over the classes of ``scale`` times the cosine similarity.

    This is the zero-shot classifier of Radford et al. (2021). SigLIP's own probabilities are sigmoids of
    ``scale`` · similarity + bias, each class apart (Zhai et al. 2023). Where an image is of exactly one of the classes,
    the softmax of the same logits is meant, in which the bias cancels.

    Args:
        images: features of images.
        texts: features of classes, as :meth:`TextTower.of_classes` gives them.
        scale: :attr:`TextTower.logit_scale`.
    """
    return (scale * cosine_similarities(images, texts)).softmax(dim=1)
