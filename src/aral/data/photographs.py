"""Three hundred small photographs that come with aral: a part of TrashNet by Gary Thung and Mindy Yang (MIT), smaller.

Six classes; 180 images are a pool, 120 a test set. They are for a first look, not for measurements.
"""

from __future__ import annotations

import shutil
import zipfile
from importlib import resources
from pathlib import Path

PHOTOGRAPH_CLASSES = ("cardboard", "glass", "metal", "paper", "plastic", "trash")


def save_photographs(folder: Path, unsorted: Path) -> Path:
    """Write them as class folders, and the pool once more into one folder, without its classes.

    Files that are there already stay.

    Args:
        folder: for ``train/CLASS/`` and ``test/CLASS/``; made if missing.
        unsorted: for the pool as ``photo-NNN.jpg``; likewise.

    Returns:
        ``unsorted``.
    """
    archive = resources.files("aral.data").joinpath("photographs.zip")
    unsorted.mkdir(parents=True, exist_ok=True)
    with resources.as_file(archive) as path, zipfile.ZipFile(path) as files:
        # Sorted by content, so that the numbers say nothing about the classes.
        pool = sorted((each for each in files.infolist() if each.filename.startswith("train/")), key=_content)
        for each in files.infolist():
            if not (folder / each.filename).exists():
                files.extract(each, folder)
        for number, each in enumerate(pool):
            target = unsorted / f"photo-{number:03d}.jpg"
            if not target.exists():
                shutil.copyfile(folder / each.filename, target)
    return unsorted


def _content(file: zipfile.ZipInfo) -> int:
    return file.CRC
