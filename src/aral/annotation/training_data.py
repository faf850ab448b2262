"""The images and labels of a project in the form of the training: tensors, ids and class indices, no file names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from aral.annotation.labels import ImageConsensus, LabelUse
from aral.annotation.pictures import PixelFile
from aral.annotation.project import Project
from aral.annotation.project_features import ProjectFeatures
from aral.loop import CurrentLabels, LabelChanges
from aral.representations import Projection, fit_projection
from aral.representations import project as project_features
from aral.types import Answer, ClassAnswer, Ids, ImageSet, LabelledSet, NoClass, NoClassAnswer

MOST_FITTED = 10_000
"""Images that a projection is fitted on, evenly spread over the pool: more change it little and take minutes."""

ROWS_AT_ONCE = 4096

_NO_CLASS = {
    "skip": NoClass.SKIP,
    "unsure": NoClass.UNSURE,
    "bad image": NoClass.BAD_IMAGE,
    "none of these": NoClass.NONE_OF_THESE,
    "conflict": NoClass.UNSURE,  # the annotators disagree: there is no class to train on yet
}


@dataclass(frozen=True, eq=False)
class ProjectImages:
    """The images of a project by their use.

    Attributes:
        pool: what is trained on and queried: everything that can be labelled outside the estimate set.
        everything: the pool and the estimate set; the model predicts all of them.
        projection: what features were projected by; None for pixels.
    """

    pool: ImageSet
    everything: ImageSet
    projection: Projection | None = None


def read_images(project: Project) -> ProjectImages:
    """The images as they are now; pixels are read from the project's file when they are used.

    An image that was labelled for training stays in the pool when its file is gone.

    Raises:
        BadInput: the project was never synced.
    """
    pixels = mapped_pixels(project.images.pixels())
    known = usable_ids(project)
    everything = ImageSet(pixels, known[known < len(pixels)])
    return ProjectImages(everything.without(project.estimate.image_ids()), everything)


def usable_ids(project: Project) -> Ids:
    """The images that can be labelled, and those that have a label, ascending."""
    labelled = [label.image_id for label in project.labels.all() if not label.inherited]
    return np.union1d(project.images.labelable_ids(), np.array(labelled, dtype=np.int64))


def read_features(
    project: Project, features: ProjectFeatures, ids: Ids, components: int, projection: Projection | None
) -> ProjectImages:
    """Images as projected features of the project's backbone.

    Args:
        project: gives the estimate set.
        features: of the project.
        ids: the images; their features are there.
        components: how many to keep, where there is no projection yet.
        projection: of an earlier call; None: fitted on the pool, or on :data:`MOST_FITTED` images of it.
    """
    pool_ids = np.setdiff1d(ids, project.estimate.image_ids())
    if projection is None:
        spread = pool_ids[:: max(1, -(-pool_ids.size // MOST_FITTED))]
        projection = fit_projection(features.of(spread), components, features.backbone.parts)
    size = projection.matrix.shape[1]
    rows = torch.zeros((int(ids.max(initial=-1)) + 1, size, 1, 1))
    for start in range(0, ids.size, ROWS_AT_ONCE):
        part = ids[start : start + ROWS_AT_ONCE]
        rows[torch.from_numpy(part)] = project_features(projection, features.of(part))
    everything = ImageSet(rows, ids)
    return ProjectImages(everything.without(project.estimate.image_ids()), everything, projection)


def mapped_pixels(file: PixelFile) -> UInt8[Tensor, "M C side side"]:
    """The rows of a pixel file as a memory-mapped tensor; writing to it does not change the file."""
    count = file.path.stat().st_size // file.row_bytes if file.path.exists() else 0
    if not count:
        return torch.empty((0, *file.row_shape), dtype=torch.uint8)
    return torch.from_numpy(np.memmap(file.path, np.uint8, "c", shape=(count, *file.row_shape)))


class ProjectLabels:
    """The annotation log of a project as an :class:`aral.loop.LabelSource`: consensus labels of some images.

    Args:
        project: its log is read, from a given event on.
        class_ids: the classes in the order of the classifier's outputs; answers with others do not count.
        image_ids: the images that count.
        use: labels for training, or those of the estimate set.
    """

    def __init__(
        self, project: Project, class_ids: tuple[int, ...], image_ids: Collection[int], use: LabelUse
    ) -> None:
        self._project = project
        self._index = {class_id: position for position, class_id in enumerate(class_ids)}
        self._image_ids = frozenset(image_ids)
        self._use = use

    def since(self, cursor: int) -> LabelChanges:
        """What has changed after the event ``cursor`` of the annotation log."""
        newest, changed = self._project.labels.changed_since(cursor)
        return LabelChanges(
            newest,
            {each.image_id: self._answer(each) for each in changed if each.image_id in self._image_ids},
        )

    def _answer(self, consensus: ImageConsensus) -> Answer | None:
        if consensus.class_id is not None:
            index = self._index.get(consensus.class_id)
            if index is None or consensus.use != self._use:
                return None
            return ClassAnswer(consensus.image_id, index)
        if consensus.state is None:
            return None
        return NoClassAnswer(consensus.image_id, _NO_CLASS[consensus.state])


def labelled_set(labels: CurrentLabels, images: ImageSet, class_count: int) -> LabelledSet:
    """The images with a class, and their classes."""
    ids, classes = labels.labels()
    return LabelledSet(images.subset(ids), classes, class_count)
