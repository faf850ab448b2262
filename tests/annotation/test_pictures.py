"""What is made of an image file: pixels for training, thumbnails, hashes; and near-duplicates."""

from __future__ import annotations

import errno
import io
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aral.annotation import PictureSize, PixelFile, Project
from aral.annotation.near_duplicates import cell_averages, near_duplicate_groups
from aral.annotation.pictures import StagePictures, choose_side, difference_hash, thumbnail_path
from aral.data.image_file import open_image
from aral.errors import BadInput, RunFailed
from aral.testing import answer_event, noise_image
from tests.annotation.conftest import MakeProject, save_pictures

SIZES: tuple[PictureSize, ...] = ("thumbnail", "stage", "full")


def shown(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    image.load()
    assert image.format == "JPEG"
    return image


def difference(one: Image.Image, other: Image.Image) -> float:
    first, second = (np.asarray(image.convert("RGB"), dtype=np.float64) for image in (one, other))
    return float(np.abs(first - second).mean())


def test_a_row_holds_the_middle_of_its_image(photos: Path) -> None:
    save_pictures(photos, 3)
    with Project.create_or_open(photos) as project:
        project.images.sync(side=16, channels=3)
        pixels = project.images.pixels()
        assert (pixels.side, pixels.channels, pixels.path.name) == (16, 3, "pixels-16x3.u8")
        found = pixels.rows(np.array([2, 0, 2]))
        assert found.shape == (3, 3, 16, 16) and found.dtype == np.uint8
        expected = np.asarray(noise_image(2))[:, 2:18].transpose(2, 0, 1)
        assert np.array_equal(found[0], expected) and np.array_equal(found[2], expected)
        assert not np.array_equal(found[1], expected)
        assert pixels.rows(np.empty(0, np.int64)).shape == (0, 3, 16, 16)
        for outside in ([-1], [3], [0, 99]):
            with pytest.raises(ValueError, match="do not fit the 3 rows"):
                pixels.rows(np.array(outside))
        with pytest.raises(BadInput, match="stored at 3×16×16"):
            save_pictures(photos, 1, first=3)
            project.images.sync(side=32)
        project.images.sync()
        assert project.images.pixels() == pixels and pixels.rows(np.array([3])).any()


@pytest.mark.parametrize(
    ("sides", "images", "channels", "side"),
    [
        ([28, 28, 28], 60_000, 1, 28),
        ([8, 8], 100, 1, 28),
        ([32] * 5, 50_000, 3, 32),
        ([33], 100, 3, 48),
        ([100, 3000, 20], 100, 3, 128),
        ([3000], 20_000, 3, 128),
        ([3000], 100_000, 3, 48),
        ([], 100, 3, 64),
    ],
)
def test_the_side_follows_the_images_and_their_number(
    sides: list[int], images: int, channels: int, side: int
) -> None:
    assert choose_side(sides, images, 1 if channels == 1 else 3) == side


@pytest.mark.parametrize(("colour", "channels"), [(False, 1), (True, 3)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grey_photos_stay_grey_even_in_three_channels(
    photos: Path, colour: bool, channels: int, mode: str
) -> None:
    for number in range(6):
        noise_image(number, (64, 64)).convert("L").convert(mode).save(photos / f"{number}.jpg", quality=80)
    if colour:
        noise_image(9, (64, 64)).save(photos / "9.jpg")
    with Project.create_or_open(photos) as project:
        project.images.sync()
        assert project.images.pixels().channels == channels and project.images.pixels().side == 64
        assert shown(project.images.thumbnail(0)).mode == mode


def test_thumbnails_are_small_upright_and_carry_nothing_else(photos: Path) -> None:
    image = noise_image(1, (1600, 800))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "secret place"
    image.save(photos / "a.jpg", exif=exif, comment=b"secret comment", quality=95)
    notes = PngInfo()
    notes.add_text("Comment", "secret text")
    noise_image(2, (40, 30)).save(photos / "b.png", pnginfo=notes, icc_profile=b"secret profile")
    with Project.create_or_open(photos) as project:
        project.images.sync()
        assert (project.images.get(0).width, project.images.get(0).height) == (800, 1600)
        for jpeg in [project.images.picture(image_id, size) for image_id in (0, 1) for size in SIZES]:
            assert b"secret" not in jpeg and not shown(jpeg).getexif() and "comment" not in shown(jpeg).info
        upright = image.transpose(Image.Transpose.ROTATE_270)
        assert shown(project.images.thumbnail(0)).size == (256, 512)
        assert difference(shown(project.images.thumbnail(0)), upright.resize((256, 512))) < 4
        assert shown(project.images.thumbnail(1)).size == (40, 30)
        assert shown(project.images.picture(0, "full")).size == (800, 1600)


@pytest.mark.parametrize(
    ("width", "height", "small"), [(1, 1, (1, 1)), (5000, 2, (512, 1)), (2, 900, (1, 512))]
)
def test_odd_shapes(photos: Path, width: int, height: int, small: tuple[int, int]) -> None:
    noise_image(1, (width, height)).save(photos / "a.png")
    with Project.create_or_open(photos) as project:
        project.images.sync()
        assert shown(project.images.thumbnail(0)).size == small
        assert project.images.pixels().rows(np.array([0])).shape[2:] == (28, 28)


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(photos: Path) -> None:
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8))
    smooth = smooth.resize((4500, 3000), Image.Resampling.BICUBIC)
    smooth.save(photos / "a.jpg", quality=92)
    data = (photos / "a.jpg").read_bytes()
    assert open_image(data, enough=(512, 128)).image.size == (563, 375)
    assert open_image(data, enough=(512, 1000)).image.size == (2250, 1500)
    assert open_image(data, enough=(5000, 128)).image.size == (4500, 3000)
    assert open_image(data, enough=(512, 128)).width == 4500
    with Project.create_or_open(photos) as project:
        project.images.sync(side=64)
        square = Image.fromarray(project.images.pixels().rows(np.array([0]))[0].transpose(1, 2, 0))
        expected = smooth.crop((750, 0, 3750, 3000)).resize((64, 64), Image.Resampling.BILINEAR)
        assert difference(square, expected) < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_kind_of_pixels_is_shown(photos: Path, mode: str) -> None:
    image = noise_image(1, (40, 40)).convert("L")
    if mode in ("I;16", "I", "F"):
        wide = np.asarray(image, dtype=np.float32) * (1 / 255 if mode == "F" else 257)
        wide[0, :2] = 0, 1 if mode == "F" else 65535
        kinds = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
        Image.fromarray(wide.astype(kinds[mode])).save(photos / "a.tif", "TIFF")
    elif mode == "P":
        image.quantize(64).save(photos / "a.png")
    elif mode in ("YCbCr", "CMYK", "LA"):
        image.convert("RGB" if mode != "LA" else "L").convert(mode).save(photos / "a.tif", "TIFF")
    else:
        image.convert("RGB").convert(mode).save(photos / "a.png")
    with Project.create_or_open(photos) as project:
        project.images.sync()
        found = shown(project.images.thumbnail(0))
        assert found.mode == ("L" if mode in ("1", "L", "LA", "I;16", "I", "F") else "RGB")
        if mode != "1":
            assert difference(found, image) < 12
        assert project.images.pixels().rows(np.array([0])).std() > 20


def test_thumbnails_are_made_again_when_they_are_gone_or_cut(project: Project) -> None:
    whole = project.images.thumbnail(4)
    path = thumbnail_path(project.folder, 4)
    assert path.name == "000004.jpg" and path.parent.name == "000"
    path.write_bytes(whole[: len(whole) // 2])
    assert project.images.thumbnail(4) == whole and path.read_bytes() == whole
    path.unlink()
    assert project.images.thumbnail(4) == whole
    assert thumbnail_path(Path("x"), 1_234_567).parts[-2:] == ("1234", "1234567.jpg")


def test_a_photo_is_shown_in_three_sizes(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8))
    smooth.resize((6000, 4000), Image.Resampling.BICUBIC).save(photos / "a.jpg", quality=80)
    noise_image(2, (300, 200)).save(photos / "b.png")
    Image.new("L", (20_000, 2), 200).save(photos / "c.png")
    with Project.create_or_open(photos) as project:
        project.images.sync()
        sizes = [[shown(project.images.picture(one, size)).size for size in SIZES] for one in range(3)]
        assert sizes[0] == [(512, 341), (1600, 1067), (6000, 4000)]
        assert sizes[1] == [(300, 200)] * 3
        assert sizes[2] == [(512, 1), (1600, 1), (16_384, 2)]
        stage = project.images.picture(0, "stage")
        monkeypatch.setattr("aral.annotation.images.open_image", None)
        assert project.images.picture(0, "stage") == stage, "made once"


def test_stage_pictures_shown_least_recently_are_deleted(tmp_path: Path) -> None:
    names = [f"{number:064x}" for number in range(12)]
    kept = StagePictures(tmp_path, most_bytes=10_000)
    jpeg = b"\xff\xd8" + bytes(996) + b"\xff\xd9"
    for age, name in enumerate(names[:10]):
        kept.keep(name, jpeg)
        os.utime(tmp_path / "stage" / name[:2] / f"{name}.jpg", (age, age))
    assert kept.read(names[0]) == jpeg, "now it is the last one shown"
    StagePictures(tmp_path, most_bytes=10_000).keep(names[10], jpeg)
    assert [name in names[:1] + names[4:11] for name in names] == [kept.read(name) == jpeg for name in names]
    (tmp_path / "stage" / names[0][:2] / f"{names[0]}.jpg").write_bytes(jpeg[:500])
    assert kept.read(names[0]) is None, "a part of a picture is none"


def test_stage_pictures_need_no_disk(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise_image(1, (700, 600)).save(photos / "a.png")
    with Project.create_or_open(photos) as project:
        project.images.sync()
        (project.folder / "stage").write_bytes(b"in the way")
        assert shown(project.images.picture(0, "stage")).size == (700, 600)


def test_missing_and_changed_originals_are_detected(project: Project) -> None:
    (project.photos / "004.png").unlink()
    noise_image(99).save(project.photos / "005.png")
    status = (project.photos / "006.png").stat()
    content = bytearray((project.photos / "006.png").read_bytes())
    content[50] ^= 1
    (project.photos / "006.png").write_bytes(content)
    os.utime(project.photos / "006.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    (project.photos / "007.png").unlink()
    os.mkfifo(project.photos / "007.png")
    started = time.monotonic()
    for image_id, problem in ((4, "is gone"), (5, "has changed"), (6, "has changed"), (7, "a pipe")):
        with pytest.raises(BadInput, match=problem):
            project.images.picture(image_id, "full")
        assert project.images.thumbnail(image_id).startswith(b"\xff\xd8")
    assert time.monotonic() - started < 1
    assert [project.images.get(image_id).status for image_id in (4, 5, 6)] == [
        "missing",
        "changed",
        "changed",
    ]
    assert len(project.queue.next_cards("Ann", 30)) == 27


def test_the_difference_hash_by_hand() -> None:
    """Eight rows of nine: rising everywhere, then falling everywhere; a hash has one bit a step."""
    rising = np.tile(np.arange(9, dtype=np.uint8) * 20, (8, 1))
    assert difference_hash(Image.fromarray(rising)) == -1  # all 64 bits
    assert difference_hash(Image.fromarray(rising[:, ::-1].copy())) == 0
    rising[7] = rising[7][::-1]
    assert difference_hash(Image.fromarray(rising)) == -(1 << 8)
    single = np.zeros((8, 9), dtype=np.uint8)
    single[0, 1:] = 9
    assert difference_hash(Image.fromarray(single)) == -(1 << 63)


def test_the_same_picture_at_another_size_looks_alike(make_project: MakeProject, photos: Path) -> None:
    for number in range(4):
        smooth = Image.fromarray(np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8))
        smooth = smooth.resize((300, 200), Image.Resampling.BICUBIC)
        smooth.save(photos / f"{number}.png")
        if number < 2:
            smooth.resize((150, 100)).save(photos / f"{number}-small.jpg", quality=60)
    with Project.create_or_open(photos) as project:
        project.images.sync()
        groups = [
            {project.images.get(one).name for one in group} for group in project.images.near_duplicates()
        ]
    assert groups == [{"0.png", "0-small.jpg"}, {"1.png", "1-small.jpg"}]


_IMAGES = st.lists(
    st.tuples(
        st.sampled_from([0, 2**62 + 12345, -1]),
        st.sets(st.integers(0, 63), max_size=4),
        st.lists(st.sampled_from([0, 7, 12, 13, 100]), min_size=3, max_size=3),
    ),
    max_size=25,
)


@examples(_IMAGES, st.integers(0, 4))
def test_near_duplicate_groups_are_those_of_a_slow_search(
    images: list[tuple[int, set[int], list[int]]], bits: int
) -> None:
    """Reference: walk the images; each joins the first group to all of whose images it is near, or begins one."""
    flipped = [base ^ sum(1 << bit for bit in changed) for base, changed, _ in images]
    values = [value & (2**64 - 1) for value in flipped]
    cells = np.array([each for _, _, each in images], dtype=np.uint8).reshape(-1, 3)

    def near(one: int, other: int) -> bool:
        differences = np.abs(cells[one].astype(int) - cells[other])
        return (values[one] ^ values[other]).bit_count() <= bits and bool(differences.max() <= 12)

    groups: list[list[int]] = []
    for place in range(len(values)):
        fits = (group for group in groups if all(near(place, other) for other in group))
        group = next(fits, None)
        if group is None:
            groups.append([place])
        else:
            group.append(place)
    ids = 10 * np.arange(len(values), dtype=np.int64)
    found = near_duplicate_groups(ids, np.array(values, dtype=np.uint64).view(np.int64), cells, bits)
    assert found == tuple(tuple(10 * place for place in group) for group in groups if len(group) > 1)
    earlier = near_duplicate_groups(
        ids[:-1], np.array(values[:-1], dtype=np.uint64).view(np.int64), cells[:-1], bits
    )
    assert all(any(set(old) <= set(new) for new in found) for old in earlier), (
        "a later image changes no group"
    )


def test_averages_of_cells_by_hand() -> None:
    rows = np.zeros((2, 1, 28, 28), np.uint8)
    rows[1, 0, :3, :3] = 90  # 28 pixels make cells of three and four
    found = cell_averages(rows)
    assert found.shape == (2, 64) and not found[0].any()
    assert found[1, 0] == 90 and not found[1, 1:].any()
    assert cell_averages(np.full((1, 3, 2, 2), 7, np.uint8)).tolist() == [[7] * 12]


def test_plain_pictures_and_skies_are_no_near_duplicates(photos: Path) -> None:
    """All of these have the same difference hash: nothing gets brighter from left to right."""
    for number, colour in enumerate([(200, 90, 40), (90, 40, 200), (40, 40, 40), (250, 250, 250)]):
        Image.new("RGB", (64, 64), colour).save(photos / f"{number}.png")
    Image.new("RGB", (80, 80), (200, 90, 40)).save(photos / "copy.jpg")
    for number in range(6):  # skies whose light fades a little earlier each time
        fade = np.linspace(255 - 12 * number, 20, 64)[:, None, None] * np.array([1, 0.7, 0.4])
        Image.fromarray(np.broadcast_to(fade, (64, 64, 3)).astype(np.uint8)).save(
            photos / f"sky-{number}.png"
        )
    with Project.create_or_open(photos) as project:
        project.images.sync()
        names = [
            {project.images.get(one).name for one in group} for group in project.images.near_duplicates()
        ]
    assert {"0.png", "copy.jpg"} in names
    assert all(len(group) <= 2 for group in names), "no chain"


def test_how_much_near_duplicates_differ_is_a_setting(photos: Path) -> None:
    smooth = np.kron(np.random.default_rng(0).integers(60, 190, (8, 9)), np.ones((8, 8))).astype(np.uint8)
    Image.fromarray(smooth).save(photos / "a.png")
    Image.fromarray(smooth).resize((144, 128), Image.Resampling.NEAREST).save(photos / "b.png")
    with Project.create_or_open(photos) as project:
        project.images.sync()
        assert project.images.near_duplicates() == ((0, 1),)
        assert project.settings.get().near_duplicate_bits == 2
        for bits in (-1, 9):
            with pytest.raises(BadInput, match="Give a number from 0 to 8"):
                project.settings.set(replace(project.settings.get(), near_duplicate_bits=bits))
        project.settings.set(replace(project.settings.get(), near_duplicate_bits=0))
        assert project.settings.get().near_duplicate_bits == 0
    hashes = np.array([0, 1, 3, 7], dtype=np.int64)
    cells = np.zeros((4, 3), np.uint8)
    for bits, groups in ((0, ()), (1, ((0, 1), (2, 3))), (2, ((0, 1, 2),)), (3, ((0, 1, 2, 3),))):
        assert near_duplicate_groups(np.arange(4), hashes, cells, bits) == groups


def test_a_pixel_file_that_is_not_there_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not fit the 0 rows"):
        PixelFile(tmp_path / "none", 8, 1).rows(np.array([0]))


def test_near_duplicates_are_computed_once_for_a_set_of_images(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    def counting(ids: Any, hashes: Any, cells: Any, bits: int) -> tuple[tuple[int, ...], ...]:
        counted.append(ids.size)
        return near_duplicate_groups(ids, hashes, cells, bits)

    monkeypatch.setattr("aral.annotation.images.near_duplicate_groups", counting)
    save_pictures(photos, 6)
    noise_image(0).save(photos / "also-000.bmp")
    with Project.create_or_open(photos, class_names=("cat",)) as project:
        project.images.sync()
        first = project.images.near_duplicates()
        assert len(first) == 1 and project.images.near_duplicates() == first
        project.annotations.append(answer_event(0, 0))
        assert project.images.near_duplicates() == first and counted == [7]
        noise_image(1).save(photos / "also-001.bmp")
        project.images.sync()
        assert len(project.images.near_duplicates()) == 2 and counted == [7, 8]
        (photos / "also-000.bmp").unlink()
        project.images.sync()
        assert len(project.images.near_duplicates()) == 1 and counted == [7, 8, 7]


FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
ENDINGS = ("jpg", "png", "webp", "bmp", "gif", "tif", "ppm", "jp2", "avif")


def planes(jpeg: bytes) -> np.ndarray:
    """The pixels of a picture as the page gets it."""
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), dtype=np.float64)


def test_the_content_counts_and_not_the_ending(photos: Path) -> None:
    """Every format under every other format's ending, and under none."""
    wanted = {}
    for shift in range(1, len(FORMATS)):
        for place, kind in enumerate(FORMATS):
            name = f"{kind}.{shift}.{ENDINGS[(place + shift) % len(ENDINGS)]}"
            noise_image(10 * place + shift).save(photos / name, kind)
            wanted[name] = kind
    noise_image(99).save(photos / "none", "PNG")
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
            for shown in (project.images.thumbnail(image_id), project.images.picture(image_id, "full")):
                assert np.abs(planes(shown)[..., 0] - upright).mean() <= 8


@pytest.mark.parametrize("position", [0.3, 0.6, 0.9])
def test_a_jpeg_that_changes_after_the_sync_is_detected_by_its_hash(photos: Path, position: float) -> None:
    """A flipped bit in a JPEG decodes without any complaint, so only the hash can tell."""
    file = photos / "a.jpg"
    noise_image(1, (64, 64)).save(file, quality=90)
    noise_image(2).save(photos / "b.png")
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
            project.images.picture(0, "full")
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
