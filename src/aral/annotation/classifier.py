"""A trained classifier apart from all that trained it: one sealed folder of tensors and JSON.

What is measured, suggested and exported is this classifier: the averaged D̃ with C, in float32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialise_tensors
from torch import Tensor, nn

from aral.data.batches import chunks, to_symmetric, to_unit
from aral.durable import DamagedCheckpoint, read_sealed, write_sealed
from aral.errors import BadInput
from aral.learners import LearnerSettings, classifier_state
from aral.networks import AnyFamily, Discriminator, Family, ImageShape, PixelRange
from aral.types import ImageSet

TENSORS = "classifier.safetensors"
DESCRIPTION = "model.json"
FORMAT = 1
SCORED_PIXELS = 2**22
"""Pixels of all channels in a chunk of images."""


@dataclass(frozen=True)
class Description:
    """Everything about a classifier but its weights.

    Attributes:
        family: sizes of the networks.
        shape: channels, height and width of the squares that it reads.
        class_names: in the order of its outputs.
        class_ids: numbers of the same classes in the project.
        latent_size: Z of the networks it was trained with.
        facts: further figures for people, such as its accuracy.
    """

    family: Family
    shape: ImageShape
    class_names: tuple[str, ...]
    class_ids: tuple[int, ...]
    latent_size: int
    facts: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The same for ``model.json``."""
        return {
            "format": FORMAT,
            "family": self.family.model_dump(mode="json"),
            "shape": list(self.shape),
            "class_names": list(self.class_names),
            "class_ids": list(self.class_ids),
            "latent_size": self.latent_size,
            "pixel_range": self.family.pixel_range.value,
            "facts": dict(self.facts),
        }

    @staticmethod
    def from_json(body: Any) -> Description:
        """Read ``model.json``.

        Raises:
            ValueError: it holds something else.
        """
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise ValueError("it is no description of a classifier of this release")
        reader: TypeAdapter[Family] = TypeAdapter(AnyFamily)
        channels, height, width = (int(each) for each in body["shape"])
        return Description(
            reader.validate_python(body["family"]),
            (channels, height, width),
            tuple(str(name) for name in body["class_names"]),
            tuple(int(each) for each in body["class_ids"]),
            int(body["latent_size"]),
            dict(body["facts"]),
        )


class Probabilities(nn.Module):
    """Pixels 0..255, N×C×H×W, any type, to class probabilities N×K: what is exported as one graph."""

    def __init__(self, network: Discriminator, symmetric: bool) -> None:
        super().__init__()
        self.network = network
        self._symmetric = symmetric

    def forward(self, pixels: Tensor) -> Tensor:
        """Probabilities, rows summing to one."""
        images = pixels.to(torch.float32)
        images = images / 127.5 - 1.0 if self._symmetric else images / 255.0
        return torch.softmax(self.network.classify(self.network.features(images)), dim=1)


class Classifier:
    """A classifier that is ready to use.

    Args:
        description: what it is.
        tensors: the weights of its network.

    Raises:
        BadInput: the weights do not fit the description, or are not all finite.
    """

    def __init__(self, description: Description, tensors: Mapping[str, Tensor]) -> None:
        self.description = description
        family = description.family
        self.network = family.discriminator(
            description.shape, len(description.class_names), description.latent_size
        )
        try:
            self.network.load_state_dict(dict(tensors))
        except RuntimeError as error:
            raise BadInput(
                f"The weights do not fit their description: {str(error)[:300]}", "Export it again."
            ) from error
        for name, value in self.network.state_dict().items():
            if not bool(torch.isfinite(value).all()):
                raise BadInput(f"The weights '{name}' hold NaN or an infinity.", "Use another classifier.")
        self.network.eval().requires_grad_(False)

    @staticmethod
    def of(settings: LearnerSettings, state: Mapping[str, Tensor], description: Description) -> Classifier:
        """The classifier inside a learner's state: the averaged one where there is one.

        Args:
            settings: of the learner.
            state: :meth:`aral.learners.interface.Learner.state_dict` of it.
            description: its family and latent size are replaced by those of the settings.

        Raises:
            BadInput: the learner keeps its classifier otherwise.
        """
        found = classifier_state(state)
        if not found or settings.classifier is not None:
            raise BadInput("This learner's classifier cannot be exported.", "Use the method 'graph-ssl'.")
        described = replace(description, family=settings.networks, latent_size=settings.latent_size)
        return Classifier(described, found)

    def module(self) -> Probabilities:
        """Pixels 0..255 to probabilities, as one module."""
        symmetric = self.description.family.pixel_range is PixelRange.SYMMETRIC
        return Probabilities(self.network, symmetric).eval()

    @torch.no_grad()
    def probabilities(self, images: ImageSet) -> Float[np.ndarray, "N K"]:
        """Class probabilities in order of id."""
        channels, height, width = self.description.shape
        step = max(1, SCORED_PIXELS // (channels * height * width))
        symmetric = self.description.family.pixel_range is PixelRange.SYMMETRIC
        parts = [self._scored(batch) for _, batch in chunks(images, step, symmetric)]
        return (
            np.concatenate(parts) if parts else np.empty((0, len(self.description.class_names)), np.float32)
        )

    @torch.no_grad()
    def of_pixels(self, pixels: UInt8[np.ndarray, "N C H W"]) -> Float[np.ndarray, "N K"]:
        """Class probabilities of squares, 0..255, in their order."""
        symmetric = self.description.family.pixel_range is PixelRange.SYMMETRIC
        rows = torch.from_numpy(pixels)
        return self._scored(to_symmetric(rows) if symmetric else to_unit(rows))

    def _scored(self, batch: Tensor) -> Float[np.ndarray, "N K"]:
        logits = self.network.classify(self.network.features(batch))
        return torch.softmax(logits, dim=1).numpy()

    def save(self, folder: Path) -> None:
        """Write the sealed folder; when this returns it is on the disk.

        Raises:
            RunFailed: the disk is full or refuses.
        """
        tensors = {name: value.contiguous().clone() for name, value in self.network.state_dict().items()}
        body = json.dumps(self.description.as_json(), indent=1).encode()
        write_sealed(folder, {TENSORS: serialise_tensors(tensors), DESCRIPTION: body})

    @staticmethod
    def load(folder: Path) -> Classifier:
        """Read a sealed folder, every byte verified; nothing in it is run.

        Raises:
            BadInput: there is no classifier, or it is no longer what was saved.
        """
        if not (folder / DESCRIPTION).is_file():
            raise BadInput(
                f"There is no classifier in {folder}.", "Give a folder that aral export has written."
            )
        try:
            files = read_sealed(folder, (TENSORS, DESCRIPTION))
            description = Description.from_json(json.loads(files[DESCRIPTION]))
            return Classifier(description, parse_tensors(files[TENSORS]))
        except DamagedCheckpoint as damage:
            raise BadInput(damage.problem, "Export it again.") from damage
        except (ValueError, KeyError, TypeError, SafetensorError, ValidationError) as error:
            raise BadInput(f"{folder} holds no usable classifier: {error}.", "Export it again.") from error
