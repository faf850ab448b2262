"""Photos and new photos made of a known data set: hard names, broken files, no classes in sight."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from aral import Stream, load
from aral.types import ImageSet
from photo_folders import nasty_name, write_broken, write_images

ENDINGS = (".png", ".jpg", ".JPG")
LEAST_SIDE = 28
ENLARGED = 32
OTHER_POOL, OTHER_HELD_OUT = 6000, 2000


@dataclass(frozen=True)
class Material:
    """What a whole way begins with; the truth lies beside the folders, not in them.

    Attributes:
        photos: to be labelled.
        held_out: to be classified in the end.
        truth: class by file name below the photos.
        held_out_truth: class by file name below the held-out folder.
        broken: why each broken file is to be refused, by its name; the same in both folders.
        refused_names: how many names the file system did not allow.
        class_names: the classes in order.
    """

    photos: Path
    held_out: Path
    truth: dict[str, int]
    held_out_truth: dict[str, int]
    broken: dict[str, str]
    refused_names: int
    class_names: tuple[str, ...]

    def originals(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file of the photos, to see that nobody writes to them."""
        found = {}
        for path in self.photos.rglob("*"):
            if ".aral" not in path.parts and not path.is_symlink() and path.is_file():
                status = path.stat()
                found[str(path.relative_to(self.photos))] = (status.st_size, status.st_mtime_ns)
        return found


def material(place: Path, data_name: str, seed: int, pool: int | None, held_out: int | None) -> Material:
    """Write both folders, or take them as an earlier call has left them.

    Args:
        place: they and the truth are kept here.
        data_name: ``digits`` or ``fashion-mnist``.
        seed: decides which images, their order and with it the estimate slice.
        pool: images to be labelled; None for all of digits, and 6,000 others.
        held_out: new images; None for all test images of digits, and 2,000 others.
    """
    if data_name != "digits":
        pool, held_out = pool or OTHER_POOL, held_out or OTHER_HELD_OUT
    data = load(data_name).limited(pool, held_out, Stream.root(seed))
    photos, new = (place / "photos").resolve(), (place / "new photos").resolve()
    kept = place / "truth.json"
    if not kept.exists():
        order = np.random.default_rng(seed).permutation(len(data.pool))
        truth, refused = _write(photos, data.pool, data.pool_classes, order)
        everything = np.arange(len(data.test.images))
        new_truth, also_refused = _write(new, data.test.images, data.test.classes, everything)
        broken = write_broken(photos)
        write_broken(new)
        body = [truth, new_truth, broken, refused + also_refused]
        kept.write_text(json.dumps(body))  # in ASCII: some names are no UTF-8
    truth, new_truth, broken, refused = json.loads(kept.read_text())
    return Material(photos, new, truth, new_truth, broken, refused, data.class_names)


def _write(
    folder: Path, images: ImageSet, classes: np.ndarray, order: np.ndarray
) -> tuple[dict[str, int], int]:
    """Write images in an order; gives classes by name, and how many names were not allowed."""
    names = [nasty_name(number, ENDINGS[number % len(ENDINGS)]) for number in range(len(order))]
    pixels = images.pixels[images.ids[order], 0].numpy()
    refused = write_images(folder, [_enlarged(image) for image in pixels], names)
    truth = {name: int(classes[row]) for name, row in zip(names, order, strict=True)}
    for position in refused:
        del truth[names[position]]
    return truth, len(refused)


def _enlarged(image: np.ndarray) -> np.ndarray:
    """An image that JPEG leaves something of."""
    if min(image.shape) >= LEAST_SIDE:
        return image
    return np.asarray(Image.fromarray(image).resize((ENLARGED, ENLARGED), Image.Resampling.BICUBIC))
