"""The images and answers of a project as the trainer needs them: row numbers, indices, no file names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from aral.annotation import PixelFile, Project
from aral.annotation.states import unlabelled_states
from aral.types import Answer, ClassAnswer, ImageSet, LabelledSet, NoClass, NoClassAnswer

_NO_CLASS = {
    "skip": NoClass.SKIP,
    "unsure": NoClass.UNSURE,
    "bad image": NoClass.BAD_IMAGE,
    "none of these": NoClass.NONE_OF_THESE,
    "conflict": NoClass.UNSURE,  # people disagree: nothing to train on yet
}


@dataclass(frozen=True, eq=False)
class ProjectImages:
    """The images of a project by their use.

    Attributes:
        pool: what is trained on and chosen from: everything labelable outside the estimate slice.
        everything: the pool and the slice, which predictions are made of.
        slice: ids of the images that are labelled to measure.
    """

    pool: ImageSet
    everything: ImageSet
    slice: Int64[np.ndarray, " n"]


def read_images(project: Project) -> ProjectImages:
    """The images as they are now; pixels are read from the project's file when they are needed.

    An image that was labelled for training stays in the pool although its file has gone since.

    Raises:
        BadInput: nothing was imported yet.
    """
    pixels = mapped(project.images.pixels())
    measured = project.estimate.image_ids()
    labelled = [label.image_id for label in project.labels.all() if not label.inherited]
    known = np.union1d(project.images.labelable_ids(), np.array(labelled, dtype=np.int64))
    everything = ImageSet(pixels, known[known < len(pixels)])
    return ProjectImages(everything.without(measured), everything, measured)


def mapped(file: PixelFile) -> UInt8[Tensor, "M C side side"]:
    """The rows of a pixel file as a tensor that reads the disk when it is asked.

    Writing to the tensor changes nothing on the disk.
    """
    count = file.path.stat().st_size // file.row_bytes if file.path.exists() else 0
    if not count:
        return torch.empty((0, *file.row_shape), dtype=torch.uint8)
    return torch.from_numpy(np.memmap(file.path, np.uint8, "c", shape=(count, *file.row_shape)))


@dataclass(frozen=True)
class Answers:
    """What people have said, as it stands.

    Attributes:
        training: class id by image, for training.
        estimate: class id by image of the estimate slice, for measuring only.
        no_class: why an image has no class although it was looked at.
        seq: place of the newest answer behind each label for training in the order of all answers.
    """

    training: dict[int, int]
    estimate: dict[int, int]
    no_class: dict[int, NoClass]
    seq: dict[int, int]

    def told(self, class_ids: tuple[int, ...], pool: ImageSet) -> dict[int, Answer]:
        """Answers to images of a pool, classes by their place among ``class_ids``."""
        index = {class_id: place for place, class_id in enumerate(class_ids)}
        inside = set(pool.ids.tolist())
        answers: dict[int, Answer] = {
            image_id: NoClassAnswer(image_id, reason)
            for image_id, reason in self.no_class.items()
            if image_id in inside
        }
        answers |= {
            image_id: ClassAnswer(image_id, index[class_id])
            for image_id, class_id in self.training.items()
            if image_id in inside and class_id in index
        }
        return answers

    def measured(self, class_ids: tuple[int, ...], images: ImageSet) -> LabelledSet:
        """The labelled images of the estimate slice."""
        index = {class_id: place for place, class_id in enumerate(class_ids)}
        inside = set(images.ids.tolist())
        found = sorted(
            (image_id, index[class_id])
            for image_id, class_id in self.estimate.items()
            if image_id in inside and class_id in index
        )
        ids, classes = np.array(found, dtype=np.int64).reshape(-1, 2).T
        return LabelledSet(images.subset(ids.copy()), classes.copy(), len(class_ids))


def read_answers(project: Project) -> Answers:
    """What people have said, as it stands now."""
    with project.snapshot():
        labels = [label for label in project.labels.all() if not label.inherited]
        states = unlabelled_states(project)
    training = {label.image_id: label.class_id for label in labels if label.use == "training"}
    estimate = {label.image_id: label.class_id for label in labels if label.use == "estimate"}
    no_class = {
        image_id: _NO_CLASS[state]
        for image_id, state in states.items()
        if image_id not in training and image_id not in estimate
    }
    seq = {label.image_id: label.seq for label in labels if label.use == "training"}
    return Answers(training, estimate, no_class, seq)
