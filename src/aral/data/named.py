"""Data sets by name, and the places where each is searched."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from aral.data.arrays import check_labels, images_from_array
from aral.data.class_folders import folder_dataset
from aral.data.dataset import DataSet, Limits
from aral.data.folder import Reader
from aral.data.npz import ARRAYS, read_npz
from aral.data.torchvision_sets import ABSENT, CELEBA_CLASSES, CIFAR10_CLASSES, CLOTHES, DIGITS, READERS
from aral.errors import AralError, BadInput, RunFailed, unknown_name
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

ROOT_VARIABLE = "ARAL_DATA"
_CLASS_NAMES: dict[str, tuple[str, ...] | None] = {
    "digits": DIGITS,
    "mnist": DIGITS,
    "fashion-mnist": CLOTHES,
    "svhn": DIGITS,
    "cifar10": CIFAR10_CLASSES,
    "celeba": CELEBA_CLASSES,
    "imagenet": None,
}
NAMES = tuple(_CLASS_NAMES)
"""Every name that :func:`load` takes."""

_SHAPES: dict[str, tuple[int, int, int]] = {
    "digits": (1, 8, 8),
    "mnist": (1, 28, 28),
    "fashion-mnist": (1, 28, 28),
    "svhn": (3, 32, 32),
    "cifar10": (3, 32, 32),
    "celeba": (3, 64, 64),
}

_DIGITS_TEST_SIZE = 360
IMAGENET_SIDE = 224
"""Height and width of ImageNet's images unless another side is asked for, as most classifiers take them."""
_FIXED = Stream.root(0)


def shape_of(name: str, side: int = IMAGENET_SIDE) -> tuple[int, int, int]:
    """Channels, height and width of a set's images, without reading it; a ``.npz`` may hold others.

    Args:
        name: one of :data:`NAMES`.
        side: height and width of ``imagenet``'s.
    """
    return _SHAPES.get(name, (3, side, side))


def data_root(root: Path | None = None) -> Path:
    """The folder that holds data sets: the argument, else ``$ARAL_DATA``, else ``~/.cache/aral``."""
    if root is not None:
        return root.expanduser()
    return Path(os.environ.get(ROOT_VARIABLE) or "~/.cache/aral").expanduser()


def load(
    name: str,
    root: Path | None = None,
    download: bool = False,
    side: int = IMAGENET_SIDE,
    limits: Limits | None = None,
    reader: Reader | None = None,
) -> DataSet:
    """A data set by name; grey images are N×1×H×W, colour N×3×H×W.

    Looked for in this order: ``NAME.npz`` and ``NAME-jpeg.npz`` below the root, then the files torchvision
    keeps there (for ``imagenet``: folders ``train/`` and ``val/`` of class folders), then, only when
    ``download`` is set, torchvision's download. ``digits`` comes with scikit-learn and needs no file.

    torchvision unpickles CIFAR-10's original files after verifying their checksums: the one exception to
    the rule that nothing is unpickled.

    Args:
        name: one of :data:`NAMES`.
        root: the folder with data sets; see :func:`data_root`.
        download: whether torchvision may use the network.
        side: height and width to which images of ``imagenet``'s class folders are resized; the other sets
            have fixed sizes.
        limits: how many images are kept; ``None`` keeps all. Of ``imagenet``'s class folders, no more are decoded.
        reader: reads the files of ``imagenet``'s class folders, for instance as features.

    Raises:
        BadInput: the name is unknown, a limit exceeds what there is, or the data are missing or damaged; lists
            each place that was searched, and what to do.
        RunFailed: the download failed.
    """
    if name not in NAMES:
        raise unknown_name("data set", name, NAMES)
    limits = limits or Limits(None, None, _FIXED)
    data = digits() if name == "digits" else _found(name, data_root(root), download, side, limits, reader)
    return data.limited(limits.pool_size, limits.test_size, limits.stream)


def _found(
    name: str, place: Path, download: bool, side: int, limits: Limits, reader: Reader | None
) -> DataSet:
    """The first of the places that has it."""
    looked: list[str] = []
    for path in (place / f"{name}.npz", place / f"{name}-jpeg.npz"):
        if path.is_file():
            return read_npz(path, name, _CLASS_NAMES[name])
        looked.append(str(path))
    if name == "imagenet":
        return _imagenet(place, looked, side, limits, reader)
    try:
        return READERS[name](place, False)
    except ABSENT as error:
        reason = str(error).partition("\n")[0]
        looked.append(f"torchvision's files below {place} ({reason or type(error).__name__})")
    if download:
        return _downloaded(name, place)
    raise _missing(
        name,
        place,
        looked,
        f"or let torchvision download it: --download on the command line, "
        f"load({name!r}, download=True) in Python.",
    )


def digits() -> DataSet:
    """The 1,797 handwritten digits of scikit-learn, 8×8 grey, values 0..16 scaled to 0..255.

    A fixed permutation, the same for every seed, puts 360 images into the test set and 1,437 into the pool;
    classes are not balanced on purpose, as in any real pool.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    images = images_from_array(source.images / 16)
    classes = check_labels(source.target, len(DIGITS))
    order = np.argsort(_FIXED.child("digits", "split").uniform(images.ids), kind="stable")
    pool, test = np.sort(order[:-_DIGITS_TEST_SIZE]), np.sort(order[-_DIGITS_TEST_SIZE:])
    return DataSet(
        "digits",
        ImageSet.of(images.pixels[pool]),
        classes[pool],
        LabelledSet(ImageSet.of(images.pixels[test]), classes[test], len(DIGITS)),
        DIGITS,
    )


def _imagenet(place: Path, looked: list[str], side: int, limits: Limits, reader: Reader | None) -> DataSet:
    """ImageNet from class folders, as torchvision's own ImageNet lays them out; torchvision is not asked."""
    folder = place / "imagenet"
    if (folder / "train").is_dir() and (folder / "val").is_dir():
        data = folder_dataset(folder, side, None, _FIXED, limits=limits, reader=reader)
        return replace(data, name="imagenet")
    looked.append(f"{folder / 'train'} and {folder / 'val'}")
    raise _missing(
        "imagenet",
        place,
        looked,
        f"or unpack the archives of image-net.org to {folder}/train/CLASS/ and {folder}/val/CLASS/. "
        "It cannot be downloaded without an account there.",
    )


def _downloaded(name: str, place: Path) -> DataSet:
    try:
        place.mkdir(parents=True, exist_ok=True)
        return READERS[name](place, True)
    except AralError:
        raise
    except ABSENT as error:
        raise RunFailed(
            f"The download of '{name}' to {place} failed: {error}",
            f"Try again, or put {name}.npz there from another machine.",
        ) from error


def _missing(name: str, place: Path, looked: list[str], otherwise: str) -> BadInput:
    places = "".join(f"\n  - {entry}" for entry in looked)
    return BadInput(
        f"Data set '{name}' was not found. Searched:{places}",
        f"Put {name}.npz (arrays {', '.join(ARRAYS)}) into {place}; or name another folder: "
        f"export {ROOT_VARIABLE}=/your/folder; {otherwise}",
    )
