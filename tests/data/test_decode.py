import io
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aral.data.decode import Channels, decode_all
from aral.data.file_kinds import FORMATS
from aral.data.unreadable import Reason, Unreadable

SIDE = 24


def _scene(mode: str = "RGB", width: int = 24, height: int = 24) -> Image.Image:
    """A smooth picture without any symmetry."""
    rows, columns = np.mgrid[0:height, 0:width] / max(width, height)
    red, green, blue = 200 * rows, 120 * columns + 60, 255 * rows * columns
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8)).convert(mode)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _read(folder: Path, content: bytes, *, channels: Channels = 3, **options: Any) -> np.ndarray | Unreadable:
    (folder / "file.bin").write_bytes(content)
    ((name, result),) = decode_all(folder, ["file.bin"], SIDE, channels, **options)
    assert name == "file.bin"
    return result if isinstance(result, Unreadable) else result.pixels


def _reason(folder: Path, content: bytes, **options: Any) -> Reason | None:
    result = _read(folder, content, **options)
    return result.reason if isinstance(result, Unreadable) else None


def _pixels(folder: Path, content: bytes, **options: Any) -> np.ndarray:
    result = _read(folder, content, **options)
    assert not isinstance(result, Unreadable), result
    return result.astype(np.float64)


def _planes(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1).astype(np.float64)


def _noisy(size: int = 64) -> Image.Image:
    """A file of some thousand bytes: cutting a percent off must cut something."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"<html><body></body></html>", bytes(range(1, 200)), b"BM is a car", b"RIFF....WAVE"],
)
def test_what_is_no_image_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    assert _reason(tmp_path, content) is Reason.NOT_AN_IMAGE


WRITTEN = tuple(kind for kind in FORMATS if kind != "HEIF")
"""The formats that Pillow writes without an extra."""


@pytest.mark.parametrize("kind", WRITTEN)
def test_each_format_is_read_by_content(tmp_path: Path, kind: str) -> None:
    wanted = _planes(_scene())
    found = _pixels(tmp_path, _saved(_scene(), kind))
    assert found.shape == (3, SIDE, SIDE)
    assert np.abs(found - wanted).mean() < (1 if kind in ("PNG", "BMP", "TIFF", "PPM") else 12)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, None])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_a_cut_file_is_truncated(
    tmp_path: Path, kind: str, options: dict[str, Any], share: float | None
) -> None:
    whole = _saved(_noisy(), kind, **options)
    assert _reason(tmp_path, whole) is None
    kept = len(whole) - 2 if share is None else max(4, int(share * len(whole)))
    assert _reason(tmp_path, whole[:kept]) is Reason.TRUNCATED


def test_a_flipped_bit_in_a_png_is_found(tmp_path: Path) -> None:
    whole = _saved(_noisy(16), "PNG")
    start, end = whole.index(b"IDAT") + 4, whole.index(b"IEND") - 8
    checksum = range(end, end + 4)  # Pillow by itself never looks at these four bytes
    for position in (*np.linspace(start, end - 1, 16).astype(int), *checksum):
        broken = bytearray(whole)
        broken[position] ^= 4
        assert _reason(tmp_path, bytes(broken)) is Reason.DAMAGED, position


def _png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG made by hand from already compressed rows."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    started = time.monotonic()
    for width, height, bits in ((20_000, 20_000, 8), (9_000, 9_000, 1), (12_000, 12_000, 8)):
        assert _reason(tmp_path, _png(width, height, bits, 0, b"")) is Reason.TOO_LARGE
    text = PngInfo()
    text.add_text("novel", "x" * 10_000_000)
    assert _reason(tmp_path, _saved(_scene(), "PNG", pnginfo=text)) is Reason.TOO_LARGE
    assert time.monotonic() - started < 3
    scene = _saved(_scene(), "PNG")
    assert _reason(tmp_path, scene, max_pixels=24 * 24 - 1) is Reason.TOO_LARGE
    assert _reason(tmp_path, scene, max_pixels=24 * 24) is None


UNWRITTEN = {
    "FITS": b"SIMPLE  =                    T" + b" " * 2850,
    "PSD": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 24, 24, 8, 3) + bytes(4000),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
}
"""Formats that Pillow reads or people rename, and that it does not write."""


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PCX", "TGA", "PDF", *UNWRITTEN])
def test_formats_off_the_list_reach_no_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    content = UNWRITTEN[kind] if kind in UNWRITTEN else _saved(_scene(), kind)
    for name, (make, accept) in list(Image.OPEN.items()):

        def spy(*arguments: Any, name: str = name) -> Any:
            raise AssertionError(f"{name} was asked")

        if name not in FORMATS:
            monkeypatch.setitem(Image.OPEN, name, (spy, accept))
        del make
    assert _reason(tmp_path, content) is Reason.UNSUPPORTED


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_held_askew_gives_the_same_image(tmp_path: Path, kind: str, orientation: int) -> None:
    """What is stored is undone by hand here: rows and columns are flipped, then swapped."""
    upright = np.asarray(_scene())
    stored = upright.swapaxes(0, 1) if orientation >= 5 else upright
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    if orientation in (6, 8):  # turned by a quarter: the stored flip is along the other axis
        stored = np.rot90(upright, 1 if orientation == 6 else -1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "WEBP": {"lossless": True},
    }
    content = _saved(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **lossless.get(kind, {}))
    assert np.abs(_pixels(tmp_path, content) - _planes(_scene())).max() <= 8


def test_a_damaged_orientation_is_no_reason_to_lose_the_image(tmp_path: Path) -> None:
    content = _saved(_scene(), "JPEG", exif=b"Exif\0\0 this is no exif at all")
    assert _reason(tmp_path, content) is None


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("RGBA", "PNG"), ("RGBA", "WEBP"), ("YCbCr", "JPEG"), ("P", "PNG")],
)
def test_other_colour_modes_look_the_same(tmp_path: Path, mode: str, kind: str) -> None:
    found = _pixels(tmp_path, _saved(_scene().quantize(256) if mode == "P" else _scene(mode), kind))
    assert _correlation(found, _planes(_scene())) >= 0.99 and abs(found.mean() - _planes(_scene()).mean()) < 8


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_by_the_range_of_the_values(tmp_path: Path, kind: str) -> None:
    grey = np.linspace(0, 65535, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE)
    found = _pixels(tmp_path, _saved(Image.fromarray(grey), kind), channels=1)[0]
    assert np.array_equal(found, np.rint(grey / 257))
    assert _pixels(tmp_path, _saved(Image.fromarray(grey // 16), kind), channels=1).max() == 255


def test_sixteen_bit_colour_is_scaled(tmp_path: Path) -> None:
    wanted = _planes(_scene())
    wide = (np.asarray(_scene()).astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    found = _pixels(tmp_path, _png(SIDE, SIDE, 16, 2, zlib.compress(rows)))
    assert np.abs(found - wanted).max() <= 1


def test_floats_are_fractions_or_stretched(tmp_path: Path) -> None:
    ramp = np.linspace(0, 0.5, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    found = _pixels(tmp_path, _saved(Image.fromarray(ramp), "TIFF"), channels=1)[0]
    assert np.array_equal(found, np.rint(ramp.astype(np.float64) * 255))
    found = _pixels(tmp_path, _saved(Image.fromarray(ramp * 4000 - 1000), "TIFF"), channels=1)[0]
    assert (found.min(), found.max()) == (0, 255) and _correlation(found, ramp) > 0.999
    ramp[3, 3] = np.nan
    assert _reason(tmp_path, _saved(Image.fromarray(ramp), "TIFF")) is Reason.DAMAGED


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    half = Image.new("RGBA", (SIDE, SIDE), (200, 0, 0, 128))
    assert np.abs(_pixels(tmp_path, _saved(half, "PNG"))[:, 0, 0] - [227, 127, 127]).max() <= 1
    clear = Image.new("LA", (SIDE, SIDE), (0, 0))
    assert _pixels(tmp_path, _saved(clear, "PNG")).min() == 255
    palette = Image.new("P", (SIDE, SIDE), 0)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert _pixels(tmp_path, _saved(palette, "PNG", transparency=0)).min() == 255
    assert _pixels(tmp_path, _saved(palette, "PNG")).max() == 0
    bits = Image.new("1", (SIDE, SIDE), 1)
    assert _pixels(tmp_path, _saved(bits, "PNG"), channels=1).min() == 255


@pytest.mark.parametrize("size", [(1, 1), (20_000, 2), (2, 20_000), (1, 20_000)])
def test_extreme_shapes_become_squares(tmp_path: Path, size: tuple[int, int]) -> None:
    found = _pixels(tmp_path, _saved(Image.new("RGB", size, (10, 20, 30)), "PNG"))
    assert found.shape == (3, SIDE, SIDE) and found[:, 5, 5].tolist() == [10, 20, 30]


def test_the_centre_is_kept(tmp_path: Path) -> None:
    strip = Image.new("L", (3 * SIDE, SIDE), 0)
    strip.paste(255, (SIDE, 0, 2 * SIDE, SIDE))
    assert _pixels(tmp_path, _saved(strip, "PNG")).min() == 255
    upright = strip.transpose(Image.Transpose.ROTATE_90)
    assert _pixels(tmp_path, _saved(upright, "PNG")).min() == 255


def test_a_file_that_went_away_is_missing(tmp_path: Path) -> None:
    ((_, result),) = decode_all(tmp_path, ["gone.png"], SIDE)
    assert isinstance(result, Unreadable) and result.reason is Reason.MISSING


def _peak_bytes() -> int:
    """The most memory that this process has had since :func:`_forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def test_bombs_take_no_memory_and_no_time(tmp_path: Path) -> None:
    """Of 10,000 frames one is read; a text of 10 MB inside a picture is refused, as are sizes by their header."""
    frame = _saved(Image.new("L", (8, 8), 200), "GIF")
    picture = frame[frame.index(b",") : -1]
    text = PngInfo()
    text.add_text("novel", "x" * 10_000_000)
    many = frame[:-1] + picture * 9_999 + b";"
    one_bit = _png(9_000, 9_000, 1, 0, zlib.compress(bytes(9_000 * 1_126), 9))
    large = _png(20_000, 20_000, 8, 0, b"")
    novel = _saved(_scene(), "PNG", pnginfo=text)
    wanted = [(many, None), (one_bit, Reason.TOO_LARGE), (large, Reason.TOO_LARGE), (novel, Reason.TOO_LARGE)]
    for content, reason in wanted:
        _forget_peak()
        before, started = _peak_bytes(), time.monotonic()
        assert _reason(tmp_path, content) is reason
        assert time.monotonic() - started < 1 and _peak_bytes() - before < 100_000_000


def test_a_file_that_may_not_be_read_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "locked.png"):
        _scene().save(tmp_path / name)
    real = os.open

    def refuse(path: str, flags: int) -> int:
        if (
            Path(path).name == "locked.png"
        ):  # the rights of a file do not bind the root user, who may run this
            raise PermissionError(13, "Permission denied")
        return real(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    (_, good), (_, locked) = decode_all(tmp_path, ["a.png", "locked.png"], SIDE)
    assert not isinstance(good, Unreadable)
    assert isinstance(locked, Unreadable) and locked.reason is Reason.NO_PERMISSION


def test_animations_of_many_frames_cost_one(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), index % 7) for index in range(300)]
    frames[0] = Image.new("L", (8, 8), 200)
    for kind in ("GIF", "PNG", "WEBP"):
        content = _saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert abs(_pixels(tmp_path, content).mean() - 200) < 2
