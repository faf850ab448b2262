"""Folders of images as people have them: many small ones, large photographs, names and files that break things."""

from __future__ import annotations

import os
import struct
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 32
NAME_BYTES = 255
LARGE_SIZE = (4000, 3000)
PICTURES = 6

NAMES: tuple[str, ...] = (
    "plain-{n}",
    "mit Leerzeichen  {n} ",
    "Käse-Größe-{n}",
    unicodedata.normalize("NFD", "Käse-Größe-zerlegt-{n}"),
    "🐈‍⬛ 猫 {n}",
    "-rf {n}",
    "--help={n}",
    "zwei\nZeilen {n}",
    "100%25 %s %n {n}",
    'it\'s "{n}" `{n}` $(touch {n})',
    "<b>{n}</b>&amp;#{n}",
    "back\\slash {n}",
    "=1+1 {n}",
    "'{n}",
    "tab\t{n}",
    os.fsdecode(b"latin-\xe9-{n}"),
    "Urlaub 2024/Ä ö/{n}",
    "-o/ {n}",
    "a/b/c/d/e/f/g/h/{n}",
    "long{n}",
)
"""File names without their ending; ``{n}`` is a number, so each is there once."""


def nasty_name(number: int, ending: str) -> str:
    """The name of one image of a folder; every kind comes up in turn, one of them as long as names may be."""
    name = NAMES[number % len(NAMES)].replace("{n}", f"{number:06d}")
    if name.startswith("long"):
        name += "g" * (NAME_BYTES - len(name) - len(ending))
    return name + ending


def write_images(folder: Path, pixels: Sequence[np.ndarray], names: Sequence[str]) -> list[int]:
    """Write images under given names; those ending in .png as PNG, others as JPEG.

    Returns:
        positions of those whose name the file system does not allow.
    """
    refused = []
    for position, (image, name) in enumerate(zip(pixels, names, strict=True)):
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            form = "PNG" if name.lower().endswith(".png") else "JPEG"
            Image.fromarray(image).save(path, form, **({} if form == "PNG" else {"quality": 95}))
        except OSError:
            refused.append(position)
    return refused


def write_broken(folder: Path) -> dict[str, str]:
    """Files that are no images, though their names say so; gives why each is to be refused, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    jpeg = BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(jpeg, "JPEG")
    contents = {
        "cut off.jpg": (jpeg.getvalue()[: len(jpeg.getvalue()) // 2], "truncated"),
        "text.png": (b"this is a letter, not an image\n" * 20, "not_an_image"),
        "nothing.jpg": (b"", "not_an_image"),
        "bomb.png": (_huge_png(), "too_large"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    if not (folder / "pipe.jpg").exists():
        os.mkfifo(folder / "pipe.jpg")
    if not (folder / "lost.png").is_symlink():
        (folder / "lost.png").symlink_to("nowhere.png")
    reasons = {name: reason for name, (_, reason) in contents.items()}
    return {**reasons, "pipe.jpg": "not_a_file", "lost.png": "broken_link"}


def _huge_png() -> bytes:
    """A PNG of some bytes that says it is 100,000 × 100,000 pixels large."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def varied_digits(count: int, seed: int) -> Iterator[tuple[np.ndarray, int]]:
    """Digits of scikit-learn, each shifted, turned, shaded and with noise of its own, so that no two are equal.

    Gives grey images of 32 × 32 pixels with their classes.
    """
    digits = load_digits()
    rng = np.random.default_rng(seed)
    for _ in range(count):
        row = int(rng.integers(len(digits.target)))
        small = Image.fromarray((digits.images[row] * 15.9).astype(np.uint8))
        image = small.resize((SIDE - 4, SIDE - 4), Image.Resampling.BICUBIC).rotate(
            float(rng.uniform(-12, 12))
        )
        canvas = np.zeros((SIDE, SIDE))
        top, left = rng.integers(0, 5, 2)
        canvas[top : top + SIDE - 4, left : left + SIDE - 4] = np.asarray(image) * rng.uniform(0.6, 1.0)
        canvas += rng.normal(0, 12, canvas.shape)
        yield canvas.clip(0, 255).astype(np.uint8), int(digits.target[row])


def write_digits(folder: Path, count: int, seed: int) -> dict[str, int]:
    """Write so many varied digits as JPEG; gives the class by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = {}
    for number, (image, digit) in enumerate(varied_digits(count, seed)):
        name = f"IMG_{number:06d}.jpg"
        Image.fromarray(image).save(folder / name, quality=90)
        classes[name] = digit
    return classes


def write_photographs(folder: Path, count: int) -> None:
    """JPEG files of 12 megapixels, each with bytes of its own: few pictures, told apart by a comment."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in range(min(PICTURES, count)):
        coarse = np.random.default_rng(picture).integers(0, 255, (30, 40, 3), dtype=np.uint8)
        file = BytesIO()
        Image.fromarray(coarse).resize(LARGE_SIZE, Image.Resampling.BICUBIC).save(file, "JPEG", quality=88)
        start, rest = file.getvalue()[:2], file.getvalue()[2:]
        for number in range(picture, count, PICTURES):
            comment = f"photograph {number}".encode()
            segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
            (folder / f"DSC_{number:05d}.jpg").write_bytes(start + segment + rest)
