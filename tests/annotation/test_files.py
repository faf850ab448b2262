"""Files that are not what they seem: wrong endings, cameras held askew, bits that change after the import."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.annotation import Project
from aral.annotation.pictures import thumbnail_path
from aral.data.decode import FORMATS
from aral.data.image_file import open_image
from aral.errors import BadInput, RunFailed

from .conftest import picture, save_pictures

ENDINGS = ("jpg", "png", "webp", "bmp", "gif", "tif")


def planes(jpeg: bytes) -> np.ndarray:
    """The pixels of a picture as the page gets it."""
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), dtype=np.float64)


def test_the_content_counts_and_not_the_ending(photos: Path) -> None:
    """Every format under every other format's ending, and under none."""
    wanted = {}
    for shift in range(1, len(FORMATS)):
        for place, kind in enumerate(FORMATS):
            name = f"{kind}.{shift}.{ENDINGS[(place + shift) % len(ENDINGS)]}"
            picture(10 * place + shift).save(photos / name, kind)
            wanted[name] = kind
    picture(99).save(photos / "none", "PNG")
    with Project.create_or_open(photos) as project:
        assert project.images.sync().unreadable == 0
        images = [project.images.get(image_id) for image_id in project.images.labelable_ids().tolist()]
    assert {image.name: image.format for image in images} == wanted | {"none": "PNG"}


def test_page_and_trainer_see_an_image_the_same_way_up(photos: Path) -> None:
    """What a camera stores for each of the eight orientations is made by hand, with numpy alone."""
    # The corners differ, so that no turn or reflection leaves it as it is.
    upright = np.kron(np.array([[0, 90], [180, 250]], dtype=np.uint8), np.ones((32, 32), dtype=np.uint8))
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).T,
        8: np.rot90(upright, -1),
    }
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(np.ascontiguousarray(pixels)).save(
            photos / f"{orientation}.jpg", quality=100, exif=exif, comment=f"{orientation}"
        )
    with Project.create_or_open(photos) as project:
        project.images.sync(side=64, channels=1)
        for image_id in range(8):
            rows = project.images.pixels().rows(np.array([image_id]))[0, 0].astype(np.float64)
            assert np.abs(rows - upright).max() <= 8
            for shown in (project.images.thumbnail(image_id), project.images.large(image_id)):
                assert np.abs(planes(shown)[..., 0] - upright).mean() <= 8


@pytest.mark.parametrize("position", [0.3, 0.6, 0.9])
def test_a_jpeg_that_changes_after_the_import_is_found_out_by_its_hash(photos: Path, position: float) -> None:
    """A flipped bit in a JPEG decodes without any complaint, so only the hash can tell."""
    file = photos / "a.jpg"
    picture(1, 64, 64).save(file, quality=90)
    picture(2).save(photos / "b.png")
    with Project.create_or_open(photos) as project:
        project.images.sync()
        content, old = bytearray(file.read_bytes()), project.images.thumbnail(0)
        start = content.index(b"\xff\xda") + 14
        place = int(start + position * (len(content) - 2 - start))
        while 0xFF in (content[place], content[place] ^ 1, content[place - 1]):  # no marker of another part
            place += 1
        content[place] ^= 1
        assert open_image(bytes(content)).format == "JPEG", "the decoder sees nothing wrong"
        file.write_bytes(content)
        with pytest.raises(BadInput, match="has changed"):
            project.images.large(0)
        assert project.images.thumbnail(0) == old and project.images.get(0).status == "changed"
        result = project.images.sync()
        assert (result.changed, result.added, project.images.status_counts()) == (
            1,
            1,
            {"changed": 1, "ready": 2},
        )


def test_a_full_disk_stops_an_import_at_a_thumbnail_and_not_the_page(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_pictures(photos, 6)

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Project.create_or_open(photos) as project:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", full)
            with pytest.raises(RunFailed, match=r"stopped: No space left on device \(\d+ bytes free\)"):
                project.images.sync()
        assert project.images.count() == 0 and not list(project.folder.rglob("*.jpg*"))
        assert project.images.sync().readable == 6
        whole = project.images.thumbnail(3)
        thumbnail_path(project.folder, 3).unlink()
        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", full)
            assert project.images.thumbnail(3) == whole, "shown, though it cannot be kept"
        assert (
            project.images.thumbnail(3) == whole and thumbnail_path(project.folder, 3).read_bytes() == whole
        )
