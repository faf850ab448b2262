"""The representation ``auto`` of a run or a comparison: chosen once, before the first query, from its pool alone.

No label and no image of the test set is looked at. All methods and seeds of a data set get the same representation, and
its name and the reason are in the specification of every run.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from aral.benchmarking.methods import Method
from aral.benchmarking.runs import read_images
from aral.benchmarking.spec import RunSpec, asked_backbone, resolve, usable
from aral.data import FolderImages, Unreadable
from aral.data.image_file import peek, read_image_bytes
from aral.data.unreadable import Refused
from aral.randomness import Stream
from aral.representations import (
    AUTO,
    PIXELS,
    Choice,
    FeatureCache,
    ImageArrays,
    ImageFiles,
    Images,
    choose_backbone,
    make_backbone,
)
from aral.representations.settings import EMBEDDED
from aral.types import ImageSet

SAMPLED = Stream.root(0).child("representation", "sample")
"""Draws the images that are looked at: the same for every seed and method."""

_ANY = Method("linear", "random")
_ON_PIXELS, _ON_FEATURES = (f"representation.backbone={json.dumps(name)}" for name in (PIXELS, EMBEDDED))


@dataclass(frozen=True)
class Settled:
    """Settings that name a representation.

    Attributes:
        settings: single settings, without the representation ``auto``.
        backbone: the name of the representation.
        reason: why, where it was ``auto``; empty otherwise.
    """

    settings: tuple[str, ...]
    backbone: str
    reason: str = ""


def settle_representation(
    data: str,
    methods: Sequence[Method],
    settings: Sequence[str],
    *,
    default: str = PIXELS,
    pool_size: int | None = None,
    root: Path | None = None,
    download: bool = False,
    recorded: Callable[[Settled], str] = lambda settled: "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Settled:
    """Settings with a representation by name in place of ``auto``.

    Pixels are chosen without a look at the images where a setting is one of networks on pixels.

    Args:
        data: name of a data set, or a folder of class folders.
        methods: all that are to be compared; they get the same representation.
        settings: single settings; the last representation among them wins.
        default: the representation where they name none.
        pool_size: as in the specification.
        root: the folder with data sets.
        download: whether missing data may be fetched.
        recorded: given each possibility, the reason that a run with it has on record; empty where there is no such run.
        progress: as for :func:`aral.benchmarking.load_data`.

    Raises:
        BadInput: the data are missing or cannot be used, or a setting has a wrong value.
    """
    given = tuple(settings)
    asked = asked_backbone(given) or default
    if asked != AUTO:
        return Settled(given, asked)
    rest = tuple(each for each in given if not each.replace(" ", "").startswith("representation.backbone="))
    possible = [
        Settled((*rest, setting), name) for name, setting in ((EMBEDDED, _ON_FEATURES), (PIXELS, _ON_PIXELS))
    ]
    for settled in possible:
        if reason := recorded(settled):
            return Settled(settled.settings, settled.backbone, reason)
    on_features, on_pixels = possible
    if for_pixels := _setting_for_pixels(data, methods, rest):
        return Settled(on_pixels.settings, PIXELS, f"{for_pixels} is a setting for pixels")
    sizes = {} if pool_size is None else {"pool_size": pool_size}
    spec = resolve(data, _ANY, usable(data, _ANY, on_features.settings), None, **sizes)
    choice = choose_representation(spec, root, download, progress)
    return Settled(
        (on_pixels if choice.backbone == PIXELS else on_features).settings, choice.backbone, choice.reason
    )


def choose_representation(
    spec: RunSpec,
    root: Path | None = None,
    download: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Choice:
    """Pixels or the backbone of a specification, by :func:`aral.representations.choose_backbone` of its pool.

    Args:
        spec: names the data and a backbone, with its framing.
        root: and the others as for :func:`aral.benchmarking.load_data`.

    Raises:
        BadInput: the data are missing or cannot be used.
    """
    backbone = make_backbone(spec.representation, download).on(spec.device)
    images = pool_images(spec, root, download)
    with FeatureCache.of(backbone, precision=spec.representation.precision) as cache:
        return choose_backbone(images, backbone, cache, SAMPLED, progress)


def pool_images(spec: RunSpec, root: Path | None = None, download: bool = False) -> Images:
    """The images of the pool of a run, files as files; none is decoded.

    Of a folder without a test split, the pool is the one of the run unless a file turns out to be damaged only when it
    is decoded: then images behind it may be others.

    Raises:
        BadInput: the data are missing or cannot be used.
    """
    listed = _Listed()
    with _quiet():  # the files that are left out are named when the images are read
        data = read_images(spec, root, download, listed)
    rows = data.pool.pixels[torch.from_numpy(data.pool.ids)]
    if not listed.files:
        return ImageArrays(rows.numpy())
    folder = listed.folder
    assert folder is not None
    return ImageFiles(folder, [listed.files[int(number)] for number in rows.flatten().tolist()])


def _setting_for_pixels(data: str, methods: Sequence[Method], settings: Sequence[str]) -> str:
    """The first setting that only networks on pixels have; empty if there is none."""
    for setting in settings:
        name, _, value = (part.strip() for part in setting.partition("="))
        if name in ("side", "learner.classifier"):
            return name
        if name == "learner.networks.scale" and value.strip("\"'") not in ("features", "mlp"):
            return name
    usable_on = [
        {each for method in methods for each in usable(data, method, (setting, *settings))}
        for setting in (_ON_PIXELS, _ON_FEATURES)
    ]
    only = usable_on[0] - usable_on[1] - {_ON_PIXELS}
    return next((setting.partition("=")[0].strip() for setting in settings if setting in only), "")


@dataclass(eq=False)
class _Listed:
    """A :data:`aral.data.Reader` that reads headers only: the one number of a row says which of 2²⁴ files it is.

    Files of equal bytes have the same number, so that pictures in the folders of two classes are found as ever.
    """

    files: list[str] = field(default_factory=list)
    folder: Path | None = None
    by_size: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __call__(self, path: Path, names: Sequence[str]) -> FolderImages:
        """The named files that have the header of an image."""
        self.folder = path
        numbers, found, unreadable = [], [], []
        for name in names:
            try:
                peek(path / name)
                numbers.append(self._number(path, name))
            except Refused as refused:
                unreadable.append(Unreadable(name, refused.reason, refused.detail))
                continue
            found.append(name)
        rows = torch.tensor(numbers, dtype=torch.float32).reshape(-1, 1, 1, 1)
        return FolderImages(
            ImageSet.of(rows), tuple(found), ("",) * len(found), (), (), (), tuple(unreadable)
        )

    def _number(self, path: Path, name: str) -> int:
        number, same_size = len(self.files), self.by_size[(path / name).stat().st_size]
        self.files.append(name)
        if same_size:
            content = hashlib.sha256(read_image_bytes(path / name)).digest()
            for other in same_size:
                if hashlib.sha256(read_image_bytes(path / self.files[other])).digest() == content:
                    return other
        same_size.append(number)
        return number


@contextmanager
def _quiet() -> Iterator[None]:
    log = logging.getLogger("aral.data.class_folders")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
