"""What an annotation project adds to the report of its run: names and pictures of images, its present budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from aral.annotation import Estimate, ModelRecord, Project
from aral.benchmarking import RunRecord

IMAGES_SHOWN = 60
"""Images of a query that are shown; a page with all of a large query would not open on a phone."""


@dataclass(frozen=True, eq=False)
class Photo:
    """An image of a project: the name of its file, and its pixels for training."""

    name: str
    pixels: UInt8[np.ndarray, "C H W"]


@dataclass(frozen=True, eq=False)
class ProjectView:
    """What an annotation project knows now beyond the folder of its run.

    Attributes:
        estimate: the newest accuracy estimate; None before the first.
        budget: labels in all; None without a limit.
        labelled: labels that count against the budget.
        photos: images by id, as many as are to be shown.
        hidden_generated: why the generated images are not shown; empty if they are.
    """

    estimate: Estimate | None
    budget: int | None
    labelled: int
    photos: Mapping[int, Photo]
    hidden_generated: str = ""


def project_view(project: Project, record: RunRecord, models: Sequence[ModelRecord]) -> ProjectView:
    """The project of a run as it is now.

    Args:
        project: it.
        record: the run.
        models: those that the run has trained, the newest last.
    """
    selections = [each.selection for each in record.rounds if each.selection is not None]
    ids = sorted({image_id for each in selections for image_id in each.ids[:IMAGES_SHOWN].tolist()})
    pixels = project.images.pixels().rows(np.array(ids, dtype=np.int64))
    names = (project.images.get(image_id).name for image_id in ids)
    photos = {
        image_id: Photo(name.encode("utf-8", "replace").decode(), row)
        for image_id, name, row in zip(ids, names, pixels, strict=True)
    }
    newest = models[-1] if models else None
    return ProjectView(
        newest.estimate if newest else None,
        project.settings.get().budget,
        project.labels.counts().labelled,
        photos,
        project.models.hidden_generated_images(newest.number) if newest else "",
    )
