"""How the training worker answers searches by words: cosine similarities of its features and the words."""

from __future__ import annotations

import numpy as np
import torch

from aral.annotation.project import Project
from aral.annotation.project_features import ProjectFeatures
from aral.annotation.training_data import ROWS_AT_ONCE
from aral.errors import AralError
from aral.representations import TextTower, cosine_similarities


def answer_searches(project: Project, features: ProjectFeatures) -> None:
    """Answer all searches that wait; one that fails is refused with the reason, and the others are answered.

    The images are those that can be labelled and have features, without the estimate set: labels of images that were
    found would not be labels of a random sample.

    Args:
        project: whose searches.
        features: of its images.
    """
    text = features.backbone.text
    for number, words in project.searches.waiting():
        try:
            if text is None:
                project.searches.refuse(number, "The representation of this project has no text.")
            else:
                _answer(project, features, text, number, words)
        except AralError as error:
            project.searches.refuse(number, f"{error.problem} {error.hint}".strip())


def _answer(project: Project, features: ProjectFeatures, text: TextTower, number: int, words: str) -> None:
    wanted = text([words])
    searched = np.setdiff1d(project.images.labelable_ids(), project.estimate.image_ids())
    ids = np.intersect1d(searched, features.ids())
    similar = np.empty(ids.size, dtype=np.float32)
    for start in range(0, ids.size, ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        similar[part] = cosine_similarities(torch.from_numpy(features.of(ids[part])), wanted)[:, 0].numpy()
    project.searches.answer(number, ids, similar, searched.size - ids.size)
