"""Suggestions before the first model: zero-shot, from the class names, where the backbone of a project has text.

They are published through :class:`aral.annotation.predictions.Predictions`, as those of a model, and are withheld by
the same rules. They are of no model: nothing is trained, estimated or exported. The first trained model replaces them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float32

from aral.annotation.predictions import ZeroShot
from aral.annotation.project import Project
from aral.annotation.project_features import ProjectFeatures
from aral.annotation.training_data import ROWS_AT_ONCE, usable_ids
from aral.errors import AralError
from aral.representations import TextTower, zero_shot_probabilities
from aral.types import Ids


class ZeroShotSuggestions:
    """Keeps the zero-shot suggestions of a project up to date until there is a model.

    They are made anew when classes were added, removed or renamed, when there are features of twice as many images, and
    when all images have been read.

    Args:
        project: whose images and classes.
        features: of the project.
    """

    def __init__(self, project: Project, features: ProjectFeatures) -> None:
        self._project = project
        self._features = features
        self.problem = ""
        """Why there are none although the backbone has text, one sentence; they are not tried again."""

    def update(self) -> bool:
        """Make them if they are due; False if not."""
        text = self._features.backbone.text
        if text is None or self.problem or self._project.models.newest_number() is not None:
            return False
        # Looked at first: images that come meanwhile are of the next time.
        is_complete = self._features.is_complete
        classes = tuple((each.id, each.name) for each in self._project.classes.all())
        backbone = self._features.backbone
        made = ZeroShot(backbone.name, backbone.key, classes, self._features.count())
        if len(classes) < 2 or not self._is_due(made, is_complete):
            return False
        ids = np.intersect1d(usable_ids(self._project), self._features.ids())
        made = replace(made, images=ids.size)  # some images with features may be gone
        if not ids.size or not self._is_due(made, is_complete):
            return False
        try:
            probabilities = self._probabilities(text, made, ids)
        except AralError as error:
            self.problem = f"There are no zero-shot suggestions: {error.problem} {error.hint}".strip()
            return False
        self._project.predictions.replace_by_zero_shot(made, ids, probabilities)
        return True

    def _is_due(self, wanted: ZeroShot, is_complete: bool) -> bool:
        made = self._project.predictions.zero_shot()
        if made is None or (made.key, made.classes) != (wanted.key, wanted.classes):
            return True
        return wanted.images >= 2 * made.images or (is_complete and wanted.images > made.images)

    def _probabilities(self, text: TextTower, made: ZeroShot, ids: Ids) -> Float32[np.ndarray, "N K"]:
        of_classes = text.of_classes([name for _, name in made.classes])
        parts = [ids[start : start + ROWS_AT_ONCE] for start in range(0, ids.size, ROWS_AT_ONCE)]
        found = [
            zero_shot_probabilities(
                torch.from_numpy(self._features.of(part)), of_classes, text.logit_scale
            ).numpy()
            for part in parts
        ]
        return np.concatenate(found)
