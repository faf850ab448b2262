"""A run of a benchmark as an object: settings, rounds, learners, predictions and generated images of its folder.

Nothing in the folder is changed, and nothing in it is executed. Predictions are those of the classifier that an export
holds: the average over the training steps (EMA) where there is one, in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor

from aral.annotation.classifier import (
    DESCRIPTION,
    Classifier,
    Description,
    PredictionRow,
    newest_classifier,
    predictions,
)
from aral.annotation.project import Project
from aral.benchmarking import (
    RoundRecord,
    RunRecord,
    RunSpec,
    is_grid,
    load_data,
    make_learner,
    read_projection,
    read_run,
)
from aral.benchmarking.runs import images_fingerprint, read_settings
from aral.data import DataSet, images_from_array
from aral.data.dataset import FeaturesOf
from aral.data.decode import Channels, square
from aral.durable import DamagedCheckpoint
from aral.errors import BadInput, unknown_name
from aral.learners import Learner, checkpoints
from aral.loop.reading import store_reading
from aral.loop.run_store import FILE_NAME, CheckpointRow
from aral.loop.training import CHECKPOINTS
from aral.loop.training_set import read_training_set
from aral.networks import ImageShape
from aral.plural import counted
from aral.randomness import Stream
from aral.representations import ImageArrays, features_in_order
from aral.representations.settings import GIVEN
from aral.types import ImageSet

ImageSource = Path | str | ImageSet | NDArray[Any] | Tensor
"""A folder of image files, or images."""


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A run of a benchmark, finished or not, as its folder was when it was loaded.

    A round is given by its number, or counted from the end: −1 is the last trained round. Its weights must have been
    kept: by default those of the last round are, with the setting ``rounds.keep_checkpoints=all`` those of every round.

    Attributes:
        folder: the run folder.
        settings: everything that decides the outcome of the run.
        record: what the run has recorded.
    """

    folder: Path
    settings: RunSpec
    record: RunRecord
    _kept: dict[int, CheckpointRow]
    _shape: ImageShape | None
    _features_of: FeaturesOf | None
    _fingerprint: str
    _classifiers: dict[int, Classifier] = field(default_factory=dict)

    @property
    def rounds(self) -> tuple[RoundRecord, ...]:
        """The rounds in order: labels, query, answers, accuracy and other metrics of each."""
        return self.record.rounds

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the class indices."""
        return self.record.data.class_names

    @property
    def kept_rounds(self) -> tuple[int, ...]:
        """The rounds whose weights are kept, ascending."""
        return tuple(sorted(self._kept))

    def data(self, root: Path | None = None, download: bool = False) -> DataSet:
        """The data set of the run, with features where it reads features.

        Args:
            root: the folder with data sets; see :func:`aral.data.data_root`.
            download: whether data and weights that are missing may be fetched.

        Raises:
            BadInput: the data are missing, or others than those of the run.
        """
        try:
            data = load_data(self.settings, root, download)
        except BadInput as error:
            raise BadInput(
                f"The data of the run in {self.folder} cannot be read: {error.problem}", error.hint
            ) from error
        if images_fingerprint(data.pool) != self._fingerprint:
            raise BadInput(
                f"The images of '{data.name}' are others than those of the run in {self.folder}.",
                "Put the old images back.",
            )
        return data

    def learner(self, round: int = -1, data: DataSet | None = None, device: str = "cpu") -> Learner:
        """The learner as it was at the end of a round.

        Args:
            round: its number, or counted from the end.
            data: of the run (:meth:`data`), for outputs that need the pool or the labels, such as propagated labels;
                ``None``: the learner is given neither.
            device: where to compute, as PyTorch names it.

        Raises:
            BadInput: there is no such round, its weights are not kept, or they are damaged; the data are missing in a
                run of an earlier version, which has not recorded the size of its images.
        """
        number = self._number(round)
        saved = self._checkpoint(number)
        count, stream = len(self.class_names), Stream.root(self.settings.seed)
        # Only the shape of the pool is used.
        images = (
            ImageSet.of(torch.zeros((1, *self._image_shape()), dtype=torch.uint8))
            if data is None
            else data.pool
        )
        learner = make_learner(self.settings.learner, images, count, stream.child("learner"), device)
        if data is not None:
            learner.set_pool(data.pool, stream.child("session").child("pool"))
            with store_reading(self.folder) as store:
                found = read_training_set(store, number, data.pool, count)
            learner.set_labels(found.labelled, found.ood)
        learner.load_state_dict(saved.tensors)
        return learner

    def classifier(self, round: int = -1) -> Classifier:
        """The classifier of a round, as an export holds it.

        Args:
            round: its number, or counted from the end.

        Raises:
            BadInput: as for :meth:`learner`; the learner's classifier is of no family that can be exported; or the
                projection of its features is missing.
        """
        number = self._number(round)
        if number not in self._classifiers:
            settings = self.settings.learner.as_built()
            found = self.rounds[number]
            description = Description(
                settings.networks,
                self._image_shape(),
                self.class_names,
                tuple(range(len(self.class_names))),
                settings.latent_size,
                {"round": number, "trained_on": found.labelled, "accuracy": found.accuracy},
                self._features_of,
            )
            projection = None if self._features_of is None else read_projection(self.folder)
            state = self._checkpoint(number).tensors
            self._classifiers[number] = Classifier.of(settings, state, description, projection)
        return self._classifiers[number]

    @overload
    def predict(self, images: Path | str, round: int = -1, download: bool = False) -> list[PredictionRow]: ...

    @overload
    def predict(
        self, images: ImageSet | NDArray[Any] | Tensor, round: int = -1, download: bool = False
    ) -> Float[np.ndarray, "N K"]: ...

    def predict(
        self, images: ImageSource, round: int = -1, download: bool = False
    ) -> list[PredictionRow] | Float[np.ndarray, "N K"]:
        """Class probabilities of images; those of a run on features pass through its backbone and its projection.

        Args:
            images: a folder of any depth; or images as :func:`aral.images_from_array` reads them, of any size; or
                N×F features as the backbone of the run gives them, for a run on features.
            round: its number, or counted from the end.
            download: whether weights of the backbone that are not on this machine may be fetched.

        Returns:
            Probabilities N×K in the order of the images. For a folder, a row for each file in order of the paths; a
            file that cannot be read has a row that says why.

        Raises:
            BadInput: as for :meth:`classifier`; there is no such folder; the images cannot be used; the backbone is
                missing, or the features were computed elsewhere, so that there is none.
            RunFailed: a download failed.
        """
        classifier = self.classifier(round)
        if not isinstance(images, Path | str):
            values = images.numpy() if isinstance(images, Tensor) else images
            if not isinstance(values, ImageSet) and values.ndim == 2:
                return classifier.of_features(np.ascontiguousarray(values, dtype=np.float32))
        self.check_reads_images()
        classifier.backbone(download)
        if isinstance(images, Path | str):
            folder = Path(images)
            if not folder.is_dir():
                raise BadInput(f"There is no folder {folder}.", "Give the folder that holds the images.")
            return list(predictions(classifier, folder))
        return self._of_images(
            classifier, images if isinstance(images, ImageSet) else images_from_array(images)
        )

    def generate(
        self, classes: Sequence[int | str], count: int, round: int = -1, seed: int = 0
    ) -> Float[Tensor, "k count C H W"]:
        """Images of given classes by the generator of the run.

        Args:
            classes: k indices or names.
            count: images of each class.
            round: its number, or counted from the end.
            seed: decides the latent codes.

        Returns:
            Pixels in [0, 1]. For a run on features: projected features as the networks read them, C×1×1.

        Raises:
            BadInput: a class is unknown, the count is below 1, the learner has no class-conditional generator, or as
                for :meth:`learner`.
        """
        if count < 1 or not classes:
            raise BadInput(
                f"{counted(count, 'image')} of {counted(len(classes), 'class', 'classes')} cannot be generated.",
                "Give at least 1 of each.",
            )
        given = torch.tensor([self._class_index(each) for each in classes])
        learner = self.learner(round)
        stream = Stream.root(seed).child("generate")
        generated = learner.generate(given.repeat_interleave(count), stream)
        if generated is None:
            raise BadInput(
                f"'{learner.name}' has no generator that is given a class.",
                "Use a run of a learner that has one, such as aral or graph-ssl.",
            )
        return generated.reshape(len(given), count, *generated.shape[1:])

    def check_reads_images(self) -> None:
        """Refuse a run on features that were computed elsewhere.

        Raises:
            BadInput: it is one.
        """
        if self.settings.representation.backbone == GIVEN:
            raise BadInput(
                f"The run in {self.folder} reads features that were computed elsewhere ({self.settings.data}): there "
                "is no backbone for images.",
                "Give features of the same backbone, N×F, in Python: aral.load_run(FOLDER).predict(features)",
            )

    def _of_images(self, classifier: Classifier, images: ImageSet) -> Float[np.ndarray, "N K"]:
        rows = images.pixels[torch.from_numpy(images.ids)]
        if images.is_features:
            # Features as the networks read them, such as those of the run's own data.
            if classifier.projection is None or images.shape != classifier.description.shape:
                raise BadInput(
                    f"The features are {images.shape}, the classifier reads {classifier.description.shape}.",
                    "Give images of the run's data set, or N×F features of its backbone.",
                )
            return classifier.probabilities(images)
        backbone = classifier.backbone()
        if backbone is not None:
            found = features_in_order(ImageArrays(rows.numpy()), backbone)
            # Decoded images are always readable.
            return classifier.of_features(np.stack([each for each in found if isinstance(each, np.ndarray)]))
        if images.shape != classifier.description.shape:
            rows = torch.from_numpy(_resized(rows.numpy(), classifier.description.shape))
        return classifier.probabilities(ImageSet.of(rows))

    def _class_index(self, given: int | str) -> int:
        names = self.class_names
        if isinstance(given, str):
            if given not in names:
                raise unknown_name("class", given, names)
            return names.index(given)
        if not 0 <= given < len(names):
            raise BadInput(f"There is no class {given}.", f"Give 0 to {len(names) - 1}, or a name.")
        return int(given)

    def _number(self, round: int) -> int:
        trained = [each.round for each in self.rounds if each.stage is not None]
        if not -len(trained) <= round < len(trained):
            there = f"rounds 0 to {trained[-1]}" if trained else "no round"
            raise BadInput(
                f"The run in {self.folder} has no trained round {round}: it has trained {there}.",
                "Give another round." if trained else f"Continue it: aral resume {self.folder}",
            )
        return trained[round]

    def _checkpoint(self, number: int) -> checkpoints.Checkpoint:
        row = self._kept.get(number)
        if row is None:
            kept = ", ".join(map(str, self.kept_rounds))
            raise BadInput(
                f"The weights of round {number} of the run in {self.folder} are not kept. "
                + (f"Rounds whose weights are kept: {kept}." if kept else "Those of no round are."),
                "Give another round, or keep all in a new run: --set rounds.keep_checkpoints=all",
            )
        try:
            return checkpoints.load(self.folder / CHECKPOINTS / row.folder)
        except DamagedCheckpoint as damage:
            raise BadInput(
                damage.problem, f"Continuing the run trains it again: aral resume {self.folder}"
            ) from damage

    def _image_shape(self) -> ImageShape:
        """Channels, height and width of what the networks read; earlier versions did not record it."""
        return self._shape or self.data().pool.shape


def load_run(folder: Path | str) -> LoadedRun:
    """A run of a benchmark from its folder; no lock is taken, and it may still be running.

    Args:
        folder: a run folder, as :func:`aral.run` and ``aral run`` write it.

    Raises:
        BadInput: the folder holds no run, a grid of runs, or the training of an annotation project; or it is damaged.
    """
    folder = Path(folder)
    if is_grid(folder):
        raise BadInput(f"{folder} holds a grid of runs.", "Give the folder of one of its runs.")
    if not (folder / FILE_NAME).is_file():
        raise BadInput(
            f"{folder} is not a run folder: it has no {FILE_NAME}.", "Check the path; aral run prints it."
        )
    record = read_run(folder)
    if record.of_project:
        raise BadInput(
            f"{folder} holds the training of an annotation project.",
            "Its models are used through the project: aral predict PROJECT PHOTOS",
        )
    settings = read_settings(folder)
    with store_reading(folder) as store:
        shape, made_by = store.setting("image shape"), store.setting("features of")
        fingerprint, rows = store.setting("pool fingerprint"), store.checkpoints()
    steps = settings.learner.as_built().training.steps
    kept = {row.round: row for row in reversed(rows) if row.round >= 0 and row.step >= steps}
    return LoadedRun(
        folder,
        settings,
        record,
        kept,
        TypeAdapter(ImageShape | None).validate_python(shape),
        TypeAdapter(FeaturesOf | None).validate_python(made_by),
        str(fingerprint),
    )


def find_classifier(source: Path) -> Classifier:
    """Load the classifier of an export, a sealed folder or a run folder (its last round), or a project's newest one.

    Raises:
        BadInput: there is none.
    """
    for folder in (source, source / "model"):
        if (folder / DESCRIPTION).is_file():
            return Classifier.load(folder)
    if source.is_file():
        raise BadInput(
            f"{source} is a file. Weights of other programs are never read: that could execute code in them.",
            "Give the folder that aral export has written, a run folder, or a project: aral export PHOTOS OUT",
        )
    if is_run_folder(source):
        loaded = load_run(source)
        loaded.check_reads_images()
        return loaded.classifier()
    with Project.open(source) as project:
        return newest_classifier(project)


def is_run_folder(folder: Path) -> bool:
    """Whether a folder holds a run, or a grid of runs."""
    return (folder / FILE_NAME).is_file() or is_grid(folder)


def _resized(pixels: NDArray[np.uint8], shape: ImageShape) -> NDArray[np.uint8]:
    """N×C×H×W pixels with the channels and the side that a network reads, as image files are brought to it."""
    channels, height, width = shape
    if height != width:
        raise BadInput(
            f"The images are {pixels.shape[1:]}, the classifier reads {shape} (channels, height, width).",
            "Bring them to this size.",
        )
    kind: Channels = 1 if channels == 1 else 3
    images = ImageArrays(pixels)
    return np.stack(
        [square(images.open(row, (height, height)).image, height, kind) for row in range(len(images))]
    )
