"""The classifier without what trained it: a sealed folder of tensors and JSON, and predictions for new images.

Accuracy estimates, suggestions and exports use the same classifier: the discriminator with its class layer, in
float32, averaged over the training steps (EMA).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
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

from aral.annotation import ModelRecord, Project
from aral.annotation.formats import csv_bytes, write_exported
from aral.annotation.preprocessing import Preprocess, Preprocessing
from aral.data.batches import chunks, to_symmetric, to_unit
from aral.data.decode import MAX_PIXELS, Channels, Decoded, decode_all
from aral.data.scan import scan
from aral.durable import DamagedCheckpoint, Json, read_sealed, write_sealed
from aral.errors import BadInput
from aral.learners import LearnerSettings, classifier_state
from aral.networks import AnyFamily, Discriminator, Family, ImageShape, PixelRange
from aral.types import ImageSet

TENSORS = "classifier.safetensors"
DESCRIPTION = "model.json"
FORMAT = 1
CHUNK_VALUES = 2**22
"""How many values of pixels, of all channels, are classified at once."""

BATCH = 256
"""How many image files are decoded before they are classified."""


@dataclass(frozen=True)
class Description:
    """Everything about a classifier but its weights.

    Attributes:
        family: sizes of the networks.
        shape: channels, height and width of its input.
        class_names: in the order of its outputs.
        class_ids: ids of the same classes in the project.
        latent_size: Z of the networks it was trained with.
        facts: further figures, such as its accuracy.
    """

    family: Family
    shape: ImageShape
    class_names: tuple[str, ...]
    class_ids: tuple[int, ...]
    latent_size: int
    facts: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The content of ``model.json``."""
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
            raise ValueError("it does not describe a classifier of this release")
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
    """Photos of any one size, N×H×W×3, 0..255, to class probabilities N×K, as one graph for export."""

    def __init__(self, network: Discriminator, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.preprocess = Preprocess(preprocessing)

    def forward(self, pixels: Tensor) -> Tensor:
        """Probabilities, rows summing to one."""
        return torch.softmax(self.network.classify(self.network.features(self.preprocess(pixels))), dim=1)


class Classifier:
    """A classifier in eval mode, without gradients.

    Args:
        description: everything but the weights.
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
        """The classifier in a learner's state: its EMA where there is one.

        Args:
            settings: of the learner.
            state: :meth:`aral.learners.interface.Learner.state_dict` of it.
            description: its family and latent size are replaced by those of the settings.

        Raises:
            BadInput: the learner's classifier has another form.
        """
        found = classifier_state(state)
        if not found or settings.classifier is not None:
            raise BadInput("This learner's classifier cannot be exported.", "Use the method 'graph-ssl'.")
        described = replace(description, family=settings.networks, latent_size=settings.latent_size)
        return Classifier(described, found)

    @property
    def preprocessing(self) -> Preprocessing:
        """What happens to an image before the network."""
        return Preprocessing.of(self.description.shape, self.description.family.pixel_range)

    def of_photos(self) -> Probabilities:
        """Preprocessing and network as one module."""
        return Probabilities(self.network, self.preprocessing).eval()

    @torch.no_grad()
    def probabilities(self, images: ImageSet) -> Float[np.ndarray, "N K"]:
        """Class probabilities in order of id."""
        channels, height, width = self.description.shape
        step = max(1, CHUNK_VALUES // (channels * height * width))
        symmetric = self.description.family.pixel_range is PixelRange.SYMMETRIC
        parts = [self._classified(batch) for _, batch in chunks(images, step, symmetric)]
        return (
            np.concatenate(parts) if parts else np.empty((0, len(self.description.class_names)), np.float32)
        )

    @torch.no_grad()
    def of_pixels(self, pixels: UInt8[np.ndarray, "N C H W"]) -> Float[np.ndarray, "N K"]:
        """Class probabilities of pixels 0..255, in their order."""
        symmetric = self.description.family.pixel_range is PixelRange.SYMMETRIC
        rows = torch.from_numpy(pixels)
        return self._classified(to_symmetric(rows) if symmetric else to_unit(rows))

    def _classified(self, batch: Tensor) -> Float[np.ndarray, "N K"]:
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
        """Read a sealed folder, every byte verified; nothing in it is executed.

        Raises:
            BadInput: there is no classifier, or it differs from what was saved.
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


def figures(record: ModelRecord) -> dict[str, Json]:
    """The figures of a model's record, as they are in the description of its classifier."""
    estimate = record.estimate
    return {
        "round": record.round,
        "trained_on": record.trained_on,
        "accuracy": estimate.accuracy if estimate else None,
        "accuracy_low": estimate.low if estimate else None,
        "accuracy_high": estimate.high if estimate else None,
        "measured_on": estimate.count if estimate else 0,
    }


@dataclass(frozen=True)
class PredictionRow:
    """The prediction for one file.

    Attributes:
        path: relative to the folder of photos.
        label: the most probable class; empty for a file that cannot be read.
        probability: of that class.
        probabilities: of all classes, in the order of the classifier; empty for such a file.
        problem: why it cannot be read; empty otherwise.
    """

    path: str
    label: str
    probability: float
    probabilities: tuple[float, ...]
    problem: str


@dataclass(frozen=True)
class Predicted:
    """How many images were classified, and how many files could not be read."""

    images: int
    unreadable: int


def find_classifier(source: Path) -> Classifier:
    """Load the classifier of an export, of a sealed folder, or the newest one of a project.

    Raises:
        BadInput: there is none.
    """
    for folder in (source, source / "model"):
        if (folder / DESCRIPTION).is_file():
            return Classifier.load(folder)
    if source.is_file():
        raise BadInput(
            f"{source} is a file. Weights of other programs are never read: that could execute code in them.",
            "Give the folder that aral export has written, or a project: aral export PHOTOS OUT",
        )
    with Project.open(source) as project:
        return newest_classifier(project)


def newest_classifier(project: Project) -> Classifier:
    """Load the newest classifier of a project.

    Raises:
        BadInput: nothing has been trained yet.
    """
    models = project.models.all()
    if not models:
        raise BadInput(
            f"The project in {project.folder} has no classifier yet.",
            f"Label some images first: aral label {project.photos}",
        )
    return Classifier.load(project.folder / models[-1].folder)


def predict(classifier: Classifier, photos: Path, target: Path, max_pixels: int = MAX_PIXELS) -> Predicted:
    """Classify every image below a folder and write a CSV file.

    Args:
        classifier: as :func:`find_classifier` gives it.
        photos: a folder of any depth.
        target: the file; written completely or not at all.
        max_pixels: larger images are refused by their header.

    Raises:
        BadInput: there is no such folder, or no file in it; the target can be no file.
        RunFailed: the table cannot be written.
    """
    if not photos.is_dir():
        raise BadInput(f"There is no folder {photos}.", "Give the folder that holds the images.")
    if target.is_dir() or not target.parent.is_dir():
        raise BadInput(
            f"{target} cannot be written: {'it is a folder' if target.is_dir() else 'its folder is missing'}.",
            "Give a file: --target predictions.csv",
        )
    rows = list(predictions(classifier, photos, max_pixels))
    if not rows:
        raise BadInput(f"There are no files in {photos}.", "Give the folder that holds the images.")
    names = classifier.description.class_names
    header = ("path", "class", "probability", *(f"p({name})" for name in names), "problem")
    table = [
        (
            row.path,
            row.label,
            f"{row.probability:.4f}" if row.label else "",
            *(f"{value:.4f}" for value in row.probabilities or ()),
            *([""] * (len(names) - len(row.probabilities))),
            row.problem,
        )
        for row in rows
    ]
    write_exported(target, csv_bytes(header, table))
    unreadable = sum(bool(row.problem) for row in rows)
    return Predicted(len(rows) - unreadable, unreadable)


def predictions(
    classifier: Classifier, photos: Path, max_pixels: int = MAX_PIXELS
) -> Iterator[PredictionRow]:
    """A row for every file, images in order of their paths; at most :data:`BATCH` are in memory at once."""
    found = scan(photos)
    channels, side, _ = classifier.description.shape
    batch: list[tuple[str, UInt8[np.ndarray, "C side side"]]] = []
    kind: Channels = 1 if channels == 1 else 3
    for name, result in decode_all(photos, found.files, side, kind, max_pixels=max_pixels):
        if not isinstance(result, Decoded):
            yield PredictionRow(name, "", 0.0, (), f"{result.reason}: {result.detail}")
            continue
        batch.append((name, result.pixels))
        if len(batch) == BATCH:
            yield from _classify(classifier, batch)
            batch = []
    yield from _classify(classifier, batch)
    for left in found.left_out:
        yield PredictionRow(left.path, "", 0.0, (), f"{left.reason}: {left.detail}")


def classify_file(classifier: Classifier, path: Path) -> list[tuple[str, float]]:
    """Classes of one image file with their probabilities, the most probable first.

    Raises:
        BadInput: the file cannot be read.
    """
    channels, side, _ = classifier.description.shape
    kind: Channels = 1 if channels == 1 else 3
    ((_, result),) = decode_all(path.parent, [path.name], side, kind)
    if not isinstance(result, Decoded):
        raise BadInput(f"{path} cannot be read: {result.reason} {result.detail}.")
    probabilities = classifier.of_pixels(result.pixels[None])[0]
    ranked = np.argsort(-probabilities, kind="stable")
    names = classifier.description.class_names
    return [(names[index], float(probabilities[index])) for index in ranked]


def _classify(
    classifier: Classifier, batch: list[tuple[str, UInt8[np.ndarray, "C side side"]]]
) -> Iterator[PredictionRow]:
    if not batch:
        return
    names = classifier.description.class_names
    probabilities = classifier.of_pixels(np.stack([pixels for _, pixels in batch]))
    for (name, _), row in zip(batch, probabilities, strict=True):
        best = int(row.argmax())
        yield PredictionRow(name, names[best], float(row[best]), tuple(float(value) for value in row), "")
