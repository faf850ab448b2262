"""Pictures that were kept of a round, and pictures as ``data:`` addresses inside a page."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file

LARGEST_SIDE = 128
"""Larger pictures are shown smaller, so that a page with many of them stays small."""

GAP = 1
"""Empty pixels between the pictures of a sheet."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one round, values 0 to 255; each is None if it was not kept.

    Attributes:
        chosen: the images of the round's query, in its order.
        generated: P pictures of each of the K classes, by class index.
        originals: some images of the pool.
        reconstructions: the learner's reconstructions of those images, in the same order.
    """

    chosen: UInt8[np.ndarray, "n C H W"] | None
    generated: UInt8[np.ndarray, "K P C H W"] | None
    originals: UInt8[np.ndarray, "N C H W"] | None
    reconstructions: UInt8[np.ndarray, "N C H W"] | None


@dataclass(frozen=True)
class PictureFile:
    """The file with a round's pictures.

    Attributes:
        pictures: None if there is no file or it cannot be used.
        problem: what is wrong with the file; empty if nothing is, or if there is none.
    """

    pictures: Pictures | None
    problem: str = ""


def read_pictures(folder: Path, round_number: int) -> PictureFile:
    """Read ``round-RRR.safetensors``; a damaged file is described, not raised.

    A report must be possible although a picture file was cut off, for instance by a full disk.
    """
    path = folder / f"round-{round_number:03d}.safetensors"
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        return PictureFile(None)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        return PictureFile(None, f"{path.name} cannot be read: {error}")
    for name, dimensions in (("chosen", 4), ("generated", 5), ("originals", 4), ("reconstructions", 4)):
        tensor = tensors.get(name)
        if tensor is not None and (tensor.dtype != np.uint8 or tensor.ndim != dimensions):
            return PictureFile(None, f"{path.name}: '{name}' is {tensor.dtype} of shape {tensor.shape}")
    pictures = Pictures(
        *(tensors.get(name) for name in ("chosen", "generated", "originals", "reconstructions"))
    )
    if (pictures.originals is None) != (pictures.reconstructions is None) or (
        pictures.originals is not None
        and pictures.reconstructions is not None
        and pictures.originals.shape != pictures.reconstructions.shape
    ):
        return PictureFile(None, f"{path.name}: originals and reconstructions do not belong together")
    return PictureFile(pictures)


def picture_address(pixels: UInt8[np.ndarray, "C H W"]) -> str:
    """A picture as the ``data:`` address of a PNG file.

    One channel is shown as grey, three as red, green and blue; of any other number the first is shown.
    """
    image = Image.fromarray(
        np.ascontiguousarray(pixels[0] if len(pixels) != 3 else pixels.transpose(1, 2, 0))
    )
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return _png_address(image)


def sheet_address(pictures: UInt8[np.ndarray, "n C H W"], across: bool) -> str:
    """Pictures side by side, or one below the other, with transparent gaps, as one ``data:`` address.

    Args:
        pictures: at least one, all of one size.
        across: from left to right; otherwise from top to bottom.
    """
    count, channels, height, width = pictures.shape
    shown = pictures if channels == 3 else pictures[:, :1].repeat(3, axis=1)
    columns, rows = (count, 1) if across else (1, count)
    sheet = np.zeros((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 4), dtype=np.uint8)
    for place, picture in enumerate(shown):
        row, column = divmod(place, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        sheet[top : top + height, left : left + width, :3] = picture.transpose(1, 2, 0)
        sheet[top : top + height, left : left + width, 3] = 255
    image = Image.fromarray(sheet)
    longest = LARGEST_SIDE * max(rows, columns)
    image.thumbnail((longest, longest))
    return _png_address(image)


def file_address(content: bytes, media_type: str) -> str:
    """The content of a file as a ``data:`` address."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def _png_address(image: Image.Image) -> str:
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return file_address(buffer.getvalue(), "image/png")
