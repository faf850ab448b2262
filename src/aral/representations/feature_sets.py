"""Data sets of features in place of pixels: images are read once, through the cache of a backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from aral.data.dataset import DataSet, FeaturesOf, check_memory
from aral.data.folder import FolderImages
from aral.data.pixel_values import Note
from aral.representations.backbone import Backbone
from aral.representations.extraction import ORIGINAL, ImageArrays, ImageFiles, extract_features
from aral.representations.feature_cache import FeatureCache
from aral.representations.projection import Projection, fit_projection, project
from aral.types import ImageSet, LabelledSet


@dataclass(frozen=True, eq=False)
class FeatureReader:
    """Reads images as features of a backbone; a :data:`aral.data.Reader`.

    Attributes:
        backbone: maps images to features.
        cache: of this backbone.
        progress: given the number of images read, and of all in this call.
    """

    backbone: Backbone
    cache: FeatureCache
    progress: Callable[[int, int], None] = lambda done, total: None

    def __call__(self, path: Path, names: Sequence[str]) -> FolderImages:
        """The features of the named files of a folder, N×F×1×1, in this order.

        Raises:
            BadInput: they exceed the memory, or are not finite.
        """
        check_memory(4 * len(names) * self.backbone.feature_size, path)
        found = extract_features(
            ImageFiles(path, names),
            self.backbone,
            self.cache,
            progress=lambda done: self.progress(done, len(names)),
        )
        positions = [position for position in range(len(names)) if (position, ORIGINAL) in found.cached]
        about = {names[position]: found.cached[position, ORIGINAL] for position in positions}
        features = torch.from_numpy(self.cache.rows(found.rows(positions)))
        place = {name: position for position, name in enumerate(names)}
        return FolderImages(
            ImageSet.of(features[:, :, None, None]),
            tuple(about),
            tuple(each.format for each in about.values()),
            tuple(name for name, each in about.items() if each.animated),
            tuple(name for name, each in about.items() if Note.SCALED in each.notes),
            tuple(name for name, each in about.items() if Note.PROFILE_IGNORED in each.notes),
            tuple(sorted(found.unreadable, key=lambda bad: place[bad.path])),
        )

    def of_arrays(self, images: ImageSet) -> ImageSet:
        """The features of a set of pixels, numbered from 0."""
        pixels = images.pixels[torch.from_numpy(images.ids)].numpy()
        found = extract_features(
            ImageArrays(pixels),
            self.backbone,
            self.cache,
            progress=lambda done: self.progress(done, len(pixels)),
        )
        rows = self.cache.rows(found.rows(range(len(pixels))))
        return ImageSet.of(torch.from_numpy(rows)[:, :, None, None])


def with_features(data: DataSet, reader: FeatureReader) -> DataSet:
    """A data set of pixels with the features of its images instead; one of features stays as it is."""
    if data.pool.is_features:
        return data
    test = data.test
    return replace(
        data,
        pool=reader.of_arrays(data.pool),
        test=LabelledSet(reader.of_arrays(test.images), test.classes, test.class_count),
    )


def projected(data: DataSet, made_by: Backbone | FeaturesOf, components: int) -> tuple[DataSet, Projection]:
    """A data set of features, projected by what :func:`aral.representations.fit_projection` finds for its pool.

    Args:
        data: M×F×1×1 features.
        made_by: the backbone that made them, which the note then names, or what is known of their origin; recorded in
            the data set with the number of components, as the projection is.
        components: how many to keep; 0: all features, standardised.
    """
    pool = _rows(data.pool)
    parts = made_by.parts if isinstance(made_by, Backbone) else ()
    projection = fit_projection(pool, components, parts)
    test, note = data.test, data.note
    if isinstance(made_by, Backbone):
        note = "; ".join(part for part in (note, f"features of {made_by.name}") if part)
        made_by = features_of(made_by, components)
    found = replace(
        data,
        pool=ImageSet.of(project(projection, pool)),
        test=LabelledSet(
            ImageSet.of(project(projection, _rows(test.images))), test.classes, test.class_count
        ),
        note=note,
        features_of=replace(made_by, components=components),
        projection=projection.state(),
    )
    return found, projection


def features_of(backbone: Backbone, components: int) -> FeaturesOf:
    """What is recorded of features: their backbone, and how many components of them are kept."""
    return FeaturesOf(
        backbone.name,
        backbone.licence,
        backbone.source,
        backbone.digest,
        backbone.framing.model_dump_json(),
        components,
    )


def _rows(images: ImageSet) -> np.ndarray:
    return images.pixels[torch.from_numpy(images.ids)].flatten(1).numpy()
