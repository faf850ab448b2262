"""The classifier without what trained it: a sealed folder of tensors and JSON, and predictions for new images.

Accuracy estimates, suggestions and exports use the same classifier: the discriminator with its class layer, in
float32, averaged over the training steps (EMA). One that was trained on features reads images through a backbone and
keeps the projection of its features; the weights of the backbone are found by name and compared with their SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialise_tensors
from torch import Tensor, nn

from aral.annotation import ModelRecord, Project
from aral.annotation.formats import csv_bytes, write_exported
from aral.annotation.preprocessing import Preprocess, Preprocessing
from aral.data.batches import chunks, to_symmetric, to_unit
from aral.data.dataset import FeaturesOf
from aral.data.decode import MAX_PIXELS, Channels, Decoded, decode_all
from aral.data.scan import scan
from aral.data.unreadable import Unreadable
from aral.durable import DamagedCheckpoint, Json, read_sealed, write_sealed
from aral.errors import BadInput
from aral.learners import LearnerSettings, classifier_state
from aral.networks import AnyFamily, Discriminator, Family, ImageShape, PixelRange
from aral.representations import (
    Backbone,
    Framing,
    ImageFiles,
    Projection,
    backbone_of,
    features_in_order,
    project,
)
from aral.types import ImageSet

TENSORS = "classifier.safetensors"
DESCRIPTION = "model.json"
FORMAT = 1
PROJECTION = "projection."
"""Begins the names of the projection's tensors among the weights."""

CHUNK_VALUES = 2**22
"""How many values of pixels, of all channels, are classified at once."""

BATCH = 256
"""How many image files are read before they are classified."""

Input: TypeAlias = UInt8[np.ndarray, "C side side"] | Float32[np.ndarray, " F"]
"""An image as it is read for a classifier: pixels, or features of its backbone."""


@dataclass(frozen=True)
class Description:
    """Everything about a classifier but its weights.

    Attributes:
        family: sizes of the networks.
        shape: channels, height and width of the network's input; c×1×1 for projected features.
        class_names: in the order of its outputs.
        class_ids: ids of the same classes in the project.
        latent_size: Z of the networks it was trained with.
        facts: further figures, such as its accuracy.
        features_of: what made the features that the network reads; None: it reads pixels.
    """

    family: Family
    shape: ImageShape
    class_names: tuple[str, ...]
    class_ids: tuple[int, ...]
    latent_size: int
    facts: Mapping[str, Any]
    features_of: FeaturesOf | None = None

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
            "features_of": None if self.features_of is None else asdict(self.features_of),
        }

    @staticmethod
    def from_json(body: Any) -> Description:
        """Read ``model.json``; one without ``features_of`` is of a network on pixels.

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
            _features_of(body.get("features_of")),
        )


def _features_of(body: Any) -> FeaturesOf | None:
    if body is None:
        return None
    features = TypeAdapter(FeaturesOf).validate_python(body)
    Framing.model_validate_json(features.framing)
    return features


class Probabilities(nn.Module):
    """Photos of any one size, N×H×W×3, 0..255, to class probabilities N×K, as one graph for export.

    Args:
        preprocessing: from photos to the input of the network, or of the backbone.
        network: the classifier.
        reader: from preprocessed images to the input of the network, where that is features.
    """

    def __init__(
        self, preprocessing: Preprocessing, network: Discriminator, reader: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.preprocess = Preprocess(preprocessing)
        self.reader = nn.Identity() if reader is None else reader
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Probabilities, rows summing to one."""
        read = self.reader(self.preprocess(pixels))
        return torch.softmax(self.network.classify(self.network.features(read)), dim=1)


class Classifier:
    """A classifier in eval mode, without gradients.

    Args:
        description: everything but the weights.
        tensors: the weights of its network.
        projection: from features of the backbone to what the network reads; None if it reads pixels.

    Attributes:
        description: as given.
        projection: as given.
        network: in eval mode, without gradients.

    Raises:
        BadInput: the weights or the projection do not fit the description, or are not all finite.
    """

    def __init__(
        self, description: Description, tensors: Mapping[str, Tensor], projection: Projection | None = None
    ) -> None:
        self.description = description
        self.projection = projection
        self._backbone: Backbone | None = None
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
        self._check_projection()
        for name, value in self._tensors().items():
            if not bool(torch.isfinite(value).all()):
                raise BadInput(f"The weights '{name}' hold NaN or an infinity.", "Use another classifier.")
        self.network.eval().requires_grad_(False)

    def _check_projection(self) -> None:
        """Refuse a projection that does not lead from features of the backbone to what the network reads."""
        projection, shape = self.projection, self.description.shape
        if projection is None and self.description.features_of is None:
            return
        if projection is None or self.description.features_of is None:
            given = "a projection but no backbone" if projection else "a backbone but no projection"
            raise BadInput(f"The classifier has {given} of its features.", "Export it again.")
        mean, matrix = projection.mean, projection.matrix
        single = mean.dtype == matrix.dtype == torch.float32
        if (
            not single
            or matrix.ndim != 2
            or mean.shape != matrix.shape[:1]
            or shape != (matrix.shape[1], 1, 1)
        ):
            raise BadInput(
                f"The projection of the features does not fit the classifier: mean {tuple(mean.shape)}, matrix "
                f"{tuple(matrix.shape)}, {shape} is read.",
                "Export it again.",
            )

    def _tensors(self) -> dict[str, Tensor]:
        """Everything that is saved."""
        state = {} if self.projection is None else self.projection.state()
        return {**self.network.state_dict(), **{PROJECTION + name: value for name, value in state.items()}}

    @staticmethod
    def of(
        settings: LearnerSettings,
        state: Mapping[str, Tensor],
        description: Description,
        projection: Projection | None = None,
    ) -> Classifier:
        """The classifier in a learner's state: its EMA where there is one.

        Args:
            settings: of the learner.
            state: :meth:`aral.learners.interface.Learner.state_dict` of it.
            description: its family and latent size are replaced by those of the settings.
            projection: of the features that the learner was trained on; None if it reads pixels.

        Raises:
            BadInput: the learner's classifier has another form, or the projection does not fit.
        """
        found = classifier_state(state)
        if not found or settings.classifier is not None:
            raise BadInput(
                "This learner's classifier cannot be exported: it belongs to no family of networks.",
                "Use the method 'graph-ssl', or load the learner: aral.load_run(FOLDER).learner()",
            )
        described = replace(description, family=settings.networks, latent_size=settings.latent_size)
        return Classifier(described, found, projection)

    @property
    def preprocessing(self) -> Preprocessing:
        """What happens to an image before the network, or before its backbone."""
        features = self.description.features_of
        if features is not None:
            return Preprocessing.of_framing(Framing.model_validate_json(features.framing))
        return Preprocessing.of(self.description.shape, self.description.family.pixel_range)

    def backbone(self, download: bool = False) -> Backbone | None:
        """What maps images to features; None if the network reads pixels. It is loaded once.

        Args:
            download: whether weights that are not on this machine may be fetched.

        Raises:
            BadInput: a package or the weights are missing, or are others than those it was trained with.
            RunFailed: a download failed.
        """
        features, projection = self.description.features_of, self.projection
        if self._backbone is None and features is not None and projection is not None:
            found = backbone_of(features, download)
            if found.feature_size != len(projection.mean):
                raise BadInput(
                    f"'{found.name}' has {found.feature_size} features, but the classifier reads "
                    f"{len(projection.mean)}.",
                    "Export it again.",
                )
            self._backbone = found
        return self._backbone

    def of_photos(self) -> Probabilities:
        """Preprocessing, backbone, projection and network as one module.

        Raises:
            BadInput: see :meth:`backbone`.
        """
        backbone = self.backbone()
        if backbone is None or self.projection is None:
            return Probabilities(self.preprocessing, self.network).eval()
        reader = nn.Sequential(backbone.trunk, self.projection.module())
        return Probabilities(self.preprocessing, self.network, reader).eval()

    @torch.no_grad()
    def probabilities(self, images: ImageSet) -> Float[np.ndarray, "N K"]:
        """Class probabilities of what the network reads, pixels or projected features, in order of id."""
        channels, height, width = self.description.shape
        step = max(1, CHUNK_VALUES // (channels * height * width))
        symmetric = self.description.family.pixel_range is PixelRange.SYMMETRIC
        parts = [self._classified(batch) for _, batch in chunks(images, step, symmetric)]
        return (
            np.concatenate(parts) if parts else np.empty((0, len(self.description.class_names)), np.float32)
        )

    def of_features(self, features: Float32[np.ndarray, "N F"]) -> Float[np.ndarray, "N K"]:
        """Class probabilities of features as the backbone gives them, in their order; they are projected first.

        Raises:
            BadInput: the network reads pixels.
        """
        if self.projection is None:
            raise BadInput("This classifier reads pixels, not features.", "Give it pixels.")
        size = len(self.projection.mean)
        if features.shape[1] != size:
            raise BadInput(
                f"The features have {features.shape[1]} columns, but the classifier reads {size}.",
                "Give features of the same backbone.",
            )
        return self.probabilities(ImageSet.of(project(self.projection, features)))

    @torch.no_grad()
    def of_pixels(self, pixels: UInt8[np.ndarray, "N C H W"]) -> Float[np.ndarray, "N K"]:
        """Class probabilities of pixels 0..255, in their order.

        Args:
            pixels: of the shape that the network reads, or framed for its backbone.

        Raises:
            BadInput: see :meth:`backbone`.
        """
        backbone = self.backbone()
        if backbone is not None:
            return self.of_features(backbone.features(torch.from_numpy(pixels)).numpy())
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
        tensors = {name: value.contiguous().clone() for name, value in self._tensors().items()}
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
            tensors = parse_tensors(files[TENSORS])
            if description.features_of is None:
                return Classifier(description, tensors)
            state = {
                # A clone, because the tensors of a file share its memory.
                name.removeprefix(PROJECTION): tensors.pop(name).clone()
                for name in list(tensors)
                if name.startswith(PROJECTION)
            }
            return Classifier(description, tensors, Projection.of_state(state))
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

    @classmethod
    def of(cls, path: str, names: Sequence[str], probabilities: Float[np.ndarray, " K"]) -> PredictionRow:
        """The prediction with these probabilities of the named classes."""
        best = int(probabilities.argmax())
        return cls(path, names[best], float(probabilities[best]), tuple(map(float, probabilities)), "")


@dataclass(frozen=True)
class Predicted:
    """How many images were classified, and how many files could not be read."""

    images: int
    unreadable: int


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


def predict(
    classifier: Classifier, photos: Path, target: Path, max_pixels: int = MAX_PIXELS, download: bool = False
) -> Predicted:
    """Classify every image below a folder and write a CSV file.

    Args:
        classifier: as :func:`aral.annotation.find_classifier` gives it.
        photos: a folder of any depth.
        target: the file; written completely or not at all.
        max_pixels: larger images are refused by their header.
        download: whether weights of its backbone that are not on this machine may be fetched.

    Raises:
        BadInput: there is no such folder, or no file in it; the target can be no file; the classifier's backbone is
            missing, or another one.
        RunFailed: the table cannot be written, or a download failed.
    """
    if not photos.is_dir():
        raise BadInput(f"There is no folder {photos}.", "Give the folder that holds the images.")
    if target.is_dir() or not target.parent.is_dir():
        raise BadInput(
            f"{target} cannot be written: {'it is a folder' if target.is_dir() else 'its folder is missing'}.",
            "Give a file: --target predictions.csv",
        )
    classifier.backbone(download)
    rows = list(predictions(classifier, photos, max_pixels))
    if not rows:
        raise BadInput(f"There are no files in {photos}.", "Give the folder that holds the images.")
    names = classifier.description.class_names
    table = [(row.path, *prediction_cells(row, names)) for row in rows]
    write_exported(target, csv_bytes(("path", *prediction_header(names)), table))
    unreadable = sum(bool(row.problem) for row in rows)
    return Predicted(len(rows) - unreadable, unreadable)


def prediction_header(names: Sequence[str]) -> tuple[str, ...]:
    """The columns of a table of predictions, after what names the image."""
    return ("class", "probability", *(f"p({name})" for name in names), "problem")


def prediction_cells(row: PredictionRow, names: Sequence[str]) -> tuple[str, ...]:
    """The cells of these columns."""
    return (
        row.label,
        f"{row.probability:.4f}" if row.label else "",
        *(f"{value:.4f}" for value in row.probabilities),
        *([""] * (len(names) - len(row.probabilities))),
        row.problem,
    )


def predictions(
    classifier: Classifier, photos: Path, max_pixels: int = MAX_PIXELS
) -> Iterator[PredictionRow]:
    """A row for every file in order of their paths, then what cannot be a file; few images are in memory at once."""
    found = scan(photos)
    inputs = _inputs(classifier, photos, found.files, max_pixels)
    while batch := list(islice(inputs, BATCH)):
        yield from _rows(classifier, batch)
    for left in found.left_out:
        yield PredictionRow(left.path, "", 0.0, (), f"{left.reason}: {left.detail}")


def classify_file(classifier: Classifier, path: Path) -> list[tuple[str, float]]:
    """Classes of one image file with their probabilities, the most probable first.

    Raises:
        BadInput: the file cannot be read, or the classifier's backbone is missing.
    """
    ((_, result),) = _inputs(classifier, path.parent, [path.name], MAX_PIXELS)
    if isinstance(result, Unreadable):
        raise BadInput(f"{path} cannot be read: {result.reason} {result.detail}.")
    (probabilities,) = _probabilities(classifier, [result])
    ranked = np.argsort(-probabilities, kind="stable")
    names = classifier.description.class_names
    return [(names[index], float(probabilities[index])) for index in ranked]


def _inputs(
    classifier: Classifier, folder: Path, names: Sequence[str], max_pixels: int
) -> Iterator[tuple[str, Input | Unreadable]]:
    """Each file as the classifier reads it, or why it cannot be read, in order of the names."""
    backbone = classifier.backbone()
    if backbone is not None:
        yield from zip(names, features_in_order(ImageFiles(folder, names, max_pixels), backbone), strict=True)
        return
    channels, side, _ = classifier.description.shape
    kind: Channels = 1 if channels == 1 else 3
    for name, result in decode_all(folder, names, side, kind, max_pixels):
        yield name, result.pixels if isinstance(result, Decoded) else result


def _probabilities(classifier: Classifier, inputs: Sequence[Input]) -> Float[np.ndarray, "N K"]:
    together = np.stack(inputs)
    return (
        classifier.of_pixels(together) if classifier.projection is None else classifier.of_features(together)
    )


def _rows(classifier: Classifier, batch: Sequence[tuple[str, Input | Unreadable]]) -> Iterator[PredictionRow]:
    names = classifier.description.class_names
    readable = [each for _, each in batch if not isinstance(each, Unreadable)]
    probabilities = iter(_probabilities(classifier, readable) if readable else ())
    for name, each in batch:
        if isinstance(each, Unreadable):
            yield PredictionRow(name, "", 0.0, (), f"{each.reason}: {each.detail}")
            continue
        yield PredictionRow.of(name, names, next(probabilities))
