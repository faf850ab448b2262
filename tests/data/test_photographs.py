"""The photographs that come with the package."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

from PIL import Image

from aral.data.photographs import PHOTOGRAPH_CLASSES, save_photographs


def test_the_photographs_are_written_once_with_their_licence(tmp_path: Path) -> None:
    unsorted = save_photographs(tmp_path / "photographs", tmp_path / "unsorted")
    counts = Counter(
        path.parent.relative_to(tmp_path / "photographs").as_posix()
        for path in (tmp_path / "photographs").rglob("*.jpg")
    )
    assert counts == {
        f"{part}/{name}": size for part, size in (("train", 30), ("test", 20)) for name in PHOTOGRAPH_CLASSES
    }
    assert "MIT License" in (tmp_path / "photographs" / "LICENSE.txt").read_text()
    pool = {path.read_bytes() for path in (tmp_path / "photographs" / "train").rglob("*.jpg")}
    flat = sorted(unsorted.iterdir())
    assert len(pool) == 180 and {path.read_bytes() for path in flat} == pool
    with Image.open(flat[0]) as image:
        assert image.width == 160

    flat[0].write_bytes(b"mine")
    save_photographs(tmp_path / "photographs", tmp_path / "unsorted")
    assert flat[0].read_bytes() == b"mine", "what is there stays"


def test_the_numbers_of_the_unsorted_ones_say_nothing_about_the_classes(tmp_path: Path) -> None:
    unsorted = save_photographs(tmp_path / "photographs", tmp_path / "unsorted")
    of = {path.read_bytes(): path.parent.name for path in (tmp_path / "photographs" / "train").rglob("*.jpg")}
    names = [of[path.read_bytes()] for path in sorted(unsorted.iterdir())]
    same = sum(one == other for one, other in pairwise(names))
    assert same < 60, "neighbours have the same class in about a sixth of 179 pairs"
