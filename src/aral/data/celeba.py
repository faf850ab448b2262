"""CelebA as the paper uses it: male or not, 64×64, 150,000 images to learn from and 50,000 to test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from aral.data.dataset import DataSet
from aral.data.decode import decode_all
from aral.data.unreadable import Unreadable
from aral.errors import BadInput
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet
from aral.words import counted

CLASS_NAMES = ("not male", "male")
IMAGE_FOLDER = "img_align_celeba"
ATTRIBUTE_FILE = "list_attr_celeba.txt"
_FIXED = Stream.root(0).child("celeba", "split")


def read_celeba(folder: Path, pool_size: int = 150_000, test_size: int = 50_000, side: int = 64) -> DataSet:
    """CelebA from its own files: the attribute list and the aligned images.

    The paper (section 4.2) splits all images 150k/50k and says no more. Here a fixed permutation decides,
    the same on every machine and for every seed; 2,599 of the 202,599 images stay unused. One person's
    photographs may lie on both sides. The middle square is cut out and resized.

    Args:
        folder: holds ``list_attr_celeba.txt`` and ``img_align_celeba/``, as torchvision lays them out.
        pool_size: images to learn from.
        test_size: images to test with.
        side: height and width of the result.

    Raises:
        BadInput: a file is missing or cannot be read, or there are too few images.
    """
    names, classes = _attribute(folder / ATTRIBUTE_FILE, "Male")
    if len(names) < pool_size + test_size:
        raise BadInput(
            f"{folder / ATTRIBUTE_FILE} lists {counted(len(names), 'image')}; {pool_size + test_size} are needed.",
            "Use the complete list of 202,599 images.",
        )
    order = np.argsort(_FIXED.uniform(np.arange(len(names), dtype=np.int64)), kind="stable")
    chosen = order[: pool_size + test_size]
    pixels = torch.empty((chosen.size, 3, side, side), dtype=torch.uint8)
    rows = pixels.numpy()
    decoded = decode_all(folder / IMAGE_FOLDER, [names[index] for index in chosen], side)
    for row, (name, image) in enumerate(decoded):
        if isinstance(image, Unreadable):
            raise BadInput(
                f"{folder / IMAGE_FOLDER / name} cannot be read: {image.reason}, {image.detail}.",
                "Unpack img_align_celeba.zip again.",
            )
        rows[row] = image.pixels
    return DataSet(
        "celeba",
        ImageSet.of(pixels[:pool_size]),
        classes[chosen[:pool_size]],
        LabelledSet(ImageSet.of(pixels[pool_size:]), classes[chosen[pool_size:]], len(CLASS_NAMES)),
        CLASS_NAMES,
    )


def _attribute(path: Path, attribute: str) -> tuple[list[str], Int64[np.ndarray, " N"]]:
    """File names and one attribute, 0 or 1; the file says -1 and 1, after a count and a line of names."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        column = lines[1].split().index(attribute) + 1
        rows = [line.split() for line in lines[2:] if line.strip()]
        values = np.array([int(row[column]) for row in rows], dtype=np.int64)
    except (OSError, ValueError, IndexError) as error:
        raise BadInput(f"{path} is not CelebA's list of attributes: {error}", "Download it again.") from error
    return [row[0] for row in rows], (values > 0).astype(np.int64)
