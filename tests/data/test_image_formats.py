"""What is read of each format: where the picture ends, wide values, colour profiles, formats without a decoder."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from aral.data import file_kinds, read_image_folder
from aral.data.file_structure import picture_end
from aral.data.image_file import Opened, open_image
from aral.data.pixel_values import Note, white_of
from aral.data.unreadable import Reason, Refused


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noisy(width: int = 40, height: int = 33) -> Image.Image:
    """Many bytes a pixel: cutting any of them off must cut pixels."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def smooth(width: int = 24, height: int = 24) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width] / max(width, height)
    planes = 200 * rows, 120 * columns + 60, 255 * rows * columns
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


def reason(data: bytes) -> Reason | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            open_image(data)
        except Refused as refused:
            return refused.reason
    return None


def opened(data: bytes) -> Opened:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_image(data)


def netpbm(variant: str, width: int, height: int, maxval: int | None, samples: bytes) -> bytes:
    head = f"{variant}\n# a comment\n{width} {height}\n" + ("" if maxval is None else f"{maxval}\n")
    return head.encode() + samples


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG made by hand from rows of samples, each after its filter byte."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in chunks)


def png16(samples: np.ndarray, colour: int, *extra: tuple[bytes, bytes]) -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png(samples.shape[1], samples.shape[0], 16, colour, rows, *extra)


@cache
def wholes() -> dict[str, bytes]:
    """A file of every format and of the variants whose structure differs."""
    restarts = saved(noisy(), "JPEG", restart_marker_blocks=1)
    second = smooth(40, 33)
    return {
        "JPEG": saved(noisy(), "JPEG"),
        "JPEG grey": saved(noisy().convert("L"), "JPEG"),
        "JPEG CMYK": saved(noisy().convert("CMYK"), "JPEG"),
        "JPEG progressive": saved(noisy(), "JPEG", progressive=True),
        "JPEG restarts": restarts,
        "MPO": saved(noisy(), "MPO", save_all=True, append_images=[second]),
        "PNG": saved(noisy(), "PNG"),
        "WEBP": saved(noisy(), "WEBP"),
        "WEBP lossless": saved(noisy(), "WEBP", lossless=True),
        "GIF": saved(noisy(), "GIF"),
        "GIF animated": saved(noisy(), "GIF", save_all=True, append_images=[second]),
        "BMP": saved(noisy(), "BMP"),
        "BMP 1": saved(noisy().convert("1"), "BMP"),
        "TIFF": saved(noisy(), "TIFF"),
        "TIFF lzw": saved(noisy(), "TIFF", compression="tiff_lzw"),
        "TIFF deflate": saved(noisy(), "TIFF", compression="tiff_adobe_deflate"),
        "TIFF jpeg": saved(noisy(), "TIFF", compression="jpeg"),
        "TIFF strips": saved(noisy(), "TIFF", tiffinfo={278: 5}),
        "TIFF big": saved(noisy(), "TIFF", big_tiff=True),
        "JPEG2000": saved(noisy(), "JPEG2000"),
        "JPEG2000 stream": saved(noisy(), "JPEG2000", no_jp2=True),
        "JPEG2000 tiles": saved(noisy(), "JPEG2000", tile_size=(16, 16)),
        "AVIF": saved(noisy(), "AVIF"),
        "AVIF animated": saved(noisy(), "AVIF", save_all=True, append_images=[second]),
        "PPM": saved(noisy(), "PPM"),
        "PGM": saved(noisy().convert("L"), "PPM"),
        "PBM": saved(noisy().convert("1"), "PPM"),
        "PGM 16": netpbm("P5", 9, 9, 4095, np.arange(81, dtype=">u2").tobytes()),
    }


NAMES = sorted(
    [
        *(
            "JPEG",
            "JPEG grey",
            "JPEG CMYK",
            "JPEG progressive",
            "JPEG restarts",
            "MPO",
            "PNG",
            "WEBP",
            "WEBP lossless",
        ),
        *(
            "GIF",
            "GIF animated",
            "BMP",
            "BMP 1",
            "TIFF",
            "TIFF lzw",
            "TIFF deflate",
            "TIFF jpeg",
            "TIFF strips",
        ),
        *("TIFF big", "JPEG2000", "JPEG2000 stream", "JPEG2000 tiles", "AVIF", "AVIF animated"),
        *("PPM", "PGM", "PBM", "PGM 16"),
    ]
)


def end_of(name: str) -> int:
    """Where the picture ends that is read; of several in an MPO or AVIF it is the first."""
    kind = file_kinds.kind_of(wholes()[name])
    assert kind is not None
    end = picture_end(kind, wholes()[name])
    assert end is not None
    return end


@pytest.mark.parametrize("name", NAMES)
def test_the_end_of_a_picture_is_that_of_its_file(name: str) -> None:
    assert reason(wholes()[name]) is None
    kind = name.split()[0]
    assert file_kinds.kind_of(wholes()[name]) == {"MPO": "JPEG", "PGM": "PPM", "PBM": "PPM"}.get(kind, kind)
    if name not in ("MPO", "AVIF animated"):
        assert end_of(name) == len(wholes()[name])


JUNK = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"\xff\xd8\xff\xda",
            b"\xff\xda" * 20,
            b"\xff\xd9",
            b"\0\0\0\x18ftypmp42\0\0\0\0isommp42\0\0\x0f\xffmdat",
            b"\0\0\0\x10mdat",
            b"\0\0\0\0ftyp",
            b"\xff",
            b"IEND",
            b";",
            b"MM\0*" + b"\xff" * 30,
        ]
    ),
)


@settings(max_examples=150, deadline=None)
@example("JPEG2000", b"\0\0\0\0ftyp")
@example("GIF", b"TRUEVISION-XFILE.\0")
@example("JPEG", b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 20)
@given(name=st.sampled_from(NAMES), junk=JUNK)
def test_what_follows_a_picture_does_not_matter(name: str, junk: bytes) -> None:
    whole = wholes()[name]
    assert np.array_equal(np.asarray(opened(whole + junk).image), np.asarray(opened(whole).image))


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(NAMES), data=st.data())
def test_a_picture_cut_anywhere_is_truncated(name: str, data: st.DataObject) -> None:
    """Of fewer than 18 bytes the format may not be known; then it is no image."""
    kept = data.draw(st.integers(18, end_of(name) - 1))
    assert reason(wholes()[name][:kept]) is Reason.TRUNCATED


@pytest.mark.parametrize("share", [0.05, 0.4, 0.8, 0.95])
@pytest.mark.parametrize("name", ["JPEG", "JPEG grey", "JPEG CMYK", "JPEG progressive"])
def test_a_cut_jpeg_with_an_end_marker_is_truncated(name: str, share: float) -> None:
    whole = wholes()[name]
    start = whole.index(b"\xff\xda")
    kept = int(start + 14 + share * (len(whole) - start - 16))
    assert reason(whole[:kept].rstrip(b"\xff") + b"\xff\xd9") is Reason.TRUNCATED


def _taller(data: bytes, at: int, order: str) -> bytes:
    changed = bytearray(data)
    changed[at : at + 2] = struct.pack(f"{order}H", 4000)
    return bytes(changed)


def test_a_header_that_promises_more_pixels_than_there_are() -> None:
    jpeg = saved(Image.new("RGB", (16, 16), (128, 128, 128)), "JPEG")
    frame = jpeg.index(b"\xff\xc0")
    giant = bytearray(jpeg)
    giant[frame + 5 : frame + 9] = struct.pack(">HH", 7000, 7000)
    assert len(giant) < 700 and reason(bytes(giant)) is Reason.TRUNCATED
    grey, bmp, tiff, gif = (saved(noisy(), kind) for kind in ("JPEG", "BMP", "TIFF", "GIF"))
    assert reason(_taller(grey, grey.index(b"\xff\xc0") + 5, ">")) is Reason.TRUNCATED
    assert reason(_taller(bmp, 22, "<")) is Reason.TRUNCATED
    assert reason(_taller(gif, gif.index(b",", 13 + 768) + 7, "<")) is Reason.TRUNCATED
    height = (
        tiff.index(struct.pack("<HHII", 257, 3, 1, 33))
        if struct.pack("<HHII", 257, 3, 1, 33) in tiff
        else None
    )
    height = tiff.index(struct.pack("<HHII", 257, 4, 1, 33))
    assert reason(_taller(tiff, height + 8, "<")) is Reason.TRUNCATED
    for interlaced_rows in (b"\0" + bytes([200]) * 10, b"", (b"\0" + bytes([200]) * 10) * 9):
        assert reason(png(10, 10, 8, 0, interlaced_rows)) is Reason.TRUNCATED
    black = (b"\0" + bytes(10)) * 10
    assert reason(png(10, 10, 8, 0, black)) is None
    for variant, maxval, samples in (
        ("P2", 255, b"1 2 3 4 5"),
        ("P3", 255, b"9 " * 26),
        ("P1", None, b"0101 01"),
    ):
        assert reason(netpbm(variant, 3, 3, maxval, samples)) is Reason.TRUNCATED


def test_uniform_pictures_of_the_filling_colour_are_whole() -> None:
    """A decoder fills with grey and black; pictures of these colours lack nothing."""
    for colour in (128, 0):
        for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"):
            for size in ((16, 16), (17, 9), (1, 1)):
                assert reason(saved(Image.new("RGB", size, (colour,) * 3), kind)) is None
        assert reason(saved(Image.new("L", (50, 50), colour), "JPEG", progressive=True)) is None


# Formats


@pytest.mark.parametrize("variant", ["P1", "P2", "P3", "P4", "P5", "P6"])
@pytest.mark.parametrize("maxval", [255, 100, 1023, 65535])
def test_every_netpbm_file_is_read(variant: str, maxval: int) -> None:
    channels = 3 if variant in ("P3", "P6") else 1
    samples = np.linspace(0, maxval, 7 * 5 * channels).round().astype(np.int64).reshape(5, 7, channels)
    wanted = np.rint(samples * 255 / maxval)
    if variant in ("P1", "P4"):
        bits = samples[..., 0] > maxval / 2
        text = "\n".join("".join(str(int(bit)) for bit in row) for row in bits).encode()
        content = netpbm(
            variant, 7, 5, None, text if variant == "P1" else np.packbits(bits, axis=1).tobytes()
        )
        wanted = np.where(bits, 0, 255)[..., None]
    elif variant in ("P2", "P3"):
        text = "\n".join(" ".join(map(str, row.ravel())) + " # row" for row in samples).encode()
        content = netpbm(variant, 7, 5, maxval, text)
    else:
        content = netpbm(variant, 7, 5, maxval, samples.astype(">u2" if maxval > 255 else np.uint8).tobytes())
    found = opened(content)
    assert (found.format, found.grey) == ("PPM", channels == 1)
    assert np.array_equal(np.asarray(found.image).reshape(wanted.shape), wanted)


@pytest.mark.parametrize("head", [b"P6\n0 4\n255\n", b"P5\n4 4\n0\n", b"P5\n4 4\n70000\n"])
def test_a_netpbm_file_with_an_impossible_header_is_damaged(head: bytes) -> None:
    assert reason(head + bytes(100)) is Reason.DAMAGED


def test_a_netpbm_bomb_is_refused() -> None:
    assert reason(b"P2\n3 3\n255\n" + b"1 " * 2**25 + b"1") is Reason.TOO_LARGE
    assert reason(b"P1\n90000 90000\n" + b"1 " * 100) in (Reason.TOO_LARGE, Reason.TRUNCATED)


@pytest.mark.parametrize("kind", ["JPEG2000", "AVIF", "PPM", "MPO"])
def test_further_formats_look_as_they_should(kind: str) -> None:
    found = opened(saved(smooth(), kind))
    assert np.abs(np.asarray(found.image, np.float64) - np.asarray(smooth())).mean() < 8
    assert found.format == ("JPEG" if kind == "MPO" else kind) and not found.animated


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"8BPS\0\1" + bytes(2000), "Photoshop"),
        (b"%PDF-1.7" + bytes(200), "PDF"),
        (b'<?xml version="1.0"?>\n<!-- made -->\n<svg xmlns="x"></svg>', "SVG"),
        (b"\xff\x0a" + bytes(100), "JPEG XL"),
        (bytes(128) + b"DICM" + bytes(100), "DICOM"),
        (b"SIMPLE  =                    T" + b" " * 2850, "FITS"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(100), "camera raw"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(100), "camera raw"),
        (b"Pf\n3 3\n-1.0\n" + bytes(36), "float or PAM"),
    ],
)
def test_other_image_formats_are_unsupported_with_advice(content: bytes, advice: str) -> None:
    with pytest.raises(Refused, match=f"{advice} images are not supported; save it as JPEG") as refused:
        open_image(content)
    assert refused.value.reason is Reason.UNSUPPORTED


@pytest.mark.parametrize("kind", ["ICO", "PCX", "TGA", "EPS", "PDF", "DDS", "ICNS", "SGI", "QOI"])
def test_formats_that_pillow_knows_and_we_do_not_decode(kind: str) -> None:
    assert reason(saved(smooth(), kind)) is Reason.UNSUPPORTED


@pytest.fixture
def decoders() -> Any:
    """The decoders are looked for anew, before and after the test."""
    file_kinds.missing_decoder.cache_clear()
    yield
    file_kinds.missing_decoder.cache_clear()


def test_heic_without_its_decoder_names_the_extra(monkeypatch: pytest.MonkeyPatch, decoders: None) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(Refused, match=r"aral\[heif\]") as refused:
        open_image(HEIC)
    assert refused.value.reason is Reason.UNSUPPORTED


def test_a_pillow_without_a_decoder_is_named(monkeypatch: pytest.MonkeyPatch, decoders: None) -> None:
    monkeypatch.setattr(file_kinds.features, "check", lambda feature: feature not in ("avif", "jpg_2000"))
    for kind in ("AVIF", "JPEG2000"):
        with pytest.raises(Refused, match=f"built without {kind}") as refused:
            open_image(wholes()[kind])
        assert refused.value.reason is Reason.UNSUPPORTED


def test_heic_goes_through_the_same_checks(monkeypatch: pytest.MonkeyPatch, decoders: None) -> None:
    """A decoder stands in for that of the extra: it reads the size of the picture from the box of data."""

    class Stub(Image.Image):
        format, tile = "HEIF", ()

        def __init__(self, file: Any, name: str) -> None:
            super().__init__()
            self._size = struct.unpack(">HH", file.read()[-4:])
            self._mode = "RGB"

        def load(self) -> None:
            assert max(self.size) < 100, "the size is checked first"
            self._im = Image.new("RGB", self.size, (10, 20, 30)).im

    item = struct.pack(">HHH", 1, 0, 1)

    def file(width: int, height: int) -> bytes:
        head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
        at = len(head) + 12 + 8 + 4 + 2 + 2 + 14 + 8
        places = b"\0\0\0\0\x44\0" + struct.pack(">H", 1) + item + struct.pack(">II", at, 4)
        located = struct.pack(">I", 8 + len(places)) + b"iloc" + places
        meta = struct.pack(">I", 12 + len(located)) + b"meta\0\0\0\0" + located
        assert len(head + meta) + 8 == at
        return head + meta + b"\0\0\0\x0cmdat" + struct.pack(">HH", width, height)

    monkeypatch.setitem(Image.OPEN, "HEIF", (Stub, None))
    found = opened(file(8, 6))
    assert (found.format, found.width, np.asarray(found.image)[0, 0].tolist()) == ("HEIF", 8, [10, 20, 30])
    assert reason(file(60_000, 60_000)) is Reason.TOO_LARGE
    assert reason(file(8, 6)[:-1]) is Reason.TRUNCATED
    assert reason(b"".join([file(8, 6)[:-4], b"\0\x08\0\6"])) is None


def test_a_preview_inside_a_raw_file_is_no_picture() -> None:
    tags = {254: 1, 330: 8}
    assert reason(saved(smooth(), "TIFF", tiffinfo=tags)) is Reason.UNSUPPORTED
    assert reason(saved(smooth(), "TIFF", tiffinfo={50706: b"\1\4\0\0"})) is Reason.UNSUPPORTED


def test_a_jpeg_of_twelve_bits_is_unsupported() -> None:
    whole = bytearray(saved(smooth(), "JPEG"))
    whole[whole.index(b"\xff\xc0") + 4] = 12
    assert reason(bytes(whole)) is Reason.UNSUPPORTED


# Wide values


def ramp(bits: int, shape: tuple[int, ...] = (24, 24)) -> np.ndarray:
    return np.linspace(0, 2**bits - 1, int(np.prod(shape))).round().astype(np.uint16).reshape(shape)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF MM", "PPM", "PPM declared"])
def test_grey_of_fewer_bits_in_sixteen_is_not_black(kind: str, bits: int) -> None:
    values = ramp(bits)
    if kind == "TIFF MM":
        content = saved(Image.fromarray(values.astype(">u2")), "TIFF")
        assert content.startswith(b"MM")
    elif kind.startswith("PPM"):
        content = netpbm(
            "P5",
            24,
            24,
            2**bits - 1 if kind == "PPM declared" and bits > 8 else 65535,
            values.astype(">u2").tobytes(),
        )
    else:
        content = saved(Image.fromarray(values), kind)
    found = opened(content)
    assert np.array_equal(np.asarray(found.image), np.rint(values * 255.0 / (2**bits - 1)))
    assert found.notes == {Note.SCALED}


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_colour_of_fewer_bits_in_sixteen_is_not_black(colour: int, channels: int, bits: int) -> None:
    values = ramp(bits, (24, 24, channels))
    if channels != 3:
        values[..., -1] = 65535
    found = np.asarray(opened(png16(values, colour)).image, np.float64)
    wanted = values[..., : max(1, channels - channels % 2)] if channels == 3 else values[..., :-1]
    wanted = wanted * (255 / (2**bits - 1))
    assert np.abs(found.reshape(24, 24, -1)[..., : wanted.shape[-1]] - wanted).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_colour_of_twelve_bits_in_a_tiff(order: str) -> None:
    values = ramp(12, (24, 24, 3))
    entries = [(256, 3, 24), (257, 3, 24), (259, 3, 1), (262, 3, 2), (273, 4, 8), (277, 3, 3), (278, 3, 24)]
    pixels = values.astype(f"{order}u2").tobytes()
    after = 8 + len(pixels)
    body = pixels + struct.pack(f"{order}HHH", 16, 16, 16)
    entries = sorted([*entries, (279, 4, len(pixels)), (258, 3, after)])
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, value in entries:
        count = 3 if tag == 258 else 1
        cell = (
            struct.pack(f"{order}HH", value, 0)
            if kind == 3 and count == 1
            else struct.pack(f"{order}I", value)
        )
        directory += struct.pack(f"{order}HHI", tag, kind, count) + cell
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", after + 6)
    content = head + body + directory + bytes(4)
    found = np.asarray(opened(content).image, np.float64)
    assert np.abs(found - values * (255 / 4095)).max() <= 1
    assert reason(content[:-3]) is Reason.TRUNCATED


def test_a_declared_range_counts_in_a_dark_picture() -> None:
    dark = ramp(8)
    declared = png16(dark[..., None], 0, (b"sBIT", bytes([12])))
    assert np.asarray(opened(declared).image).max() == round(255 * 255 / 4095)
    told = saved(Image.fromarray(dark), "TIFF", tiffinfo={281: 1023})
    assert np.asarray(opened(told).image).max() == round(255 * 255 / 1023)
    assert np.asarray(opened(saved(Image.fromarray(ramp(12)), "JPEG2000")).image).max() == 255


def test_exposures_of_one_camera_stay_apart() -> None:
    """Two pictures of one sensor, one exposed for half the time, keep their ratio."""
    full, half = np.array(ramp(12)), np.array(ramp(12)) // 2
    half[0, 0] = 1100
    bright, dark = (
        np.asarray(opened(saved(Image.fromarray(one), "PNG")).image, np.float64) for one in (full, half)
    )
    assert abs(bright.mean() / dark.mean() - 2) < 0.05


def test_signed_and_long_integers() -> None:
    hounsfield = np.linspace(-1024, 3071, 576).round().astype(np.int32).reshape(24, 24)
    found = np.asarray(opened(saved(Image.fromarray(hounsfield), "TIFF")).image)
    assert np.array_equal(found, np.rint((hounsfield + 1024.0) * 255 / 5119))
    counts = np.linspace(0, 100_000, 576).astype(np.int32).reshape(24, 24)
    assert np.asarray(opened(saved(Image.fromarray(counts), "TIFF")).image).max() == round(
        100_000 * 255 / (2**20 - 1)
    )


def test_white_is_the_next_usual_number_of_bits() -> None:
    assert [white_of(value) for value in (0, 255, 256, 1024, 4096, 16384, 65536, 2**31)] == [
        *(255, 255, 1023, 4095, 16383, 65535, 2**20 - 1, 2**32 - 1)
    ]


def test_where_0_is_white_wide_values_are_turned_round() -> None:
    values = ramp(16)
    content = bytearray(saved(Image.fromarray(values), "TIFF"))
    tag = content.index(struct.pack("<HHI", 262, 3, 1))
    content[tag + 8 : tag + 10] = b"\0\0"
    assert np.array_equal(np.asarray(opened(bytes(content)).image), 255 - np.rint(values / 257))


# Colour profiles


def _profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def _swapped() -> bytes:
    """A profile of sRGB whose red and green primaries are exchanged."""
    body = bytearray(_profile("sRGB"))
    count = struct.unpack_from(">I", body, 128)[0]
    places = {bytes(body[132 + 12 * n : 136 + 12 * n]): 136 + 12 * n for n in range(count)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    body[red : red + 8], body[green : green + 8] = body[green : green + 8], body[red : red + 8]
    return bytes(body)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_profiles_are_converted_to_srgb(kind: str) -> None:
    scene = Image.new("RGB", (16, 16), (200, 40, 90))
    plain, same, swapped = (
        np.asarray(opened(saved(scene, kind, **options)).image)[8, 8].astype(int)
        for options in ({}, {"icc_profile": _profile("sRGB")}, {"icc_profile": _swapped()})
    )
    assert np.abs(plain - same).max() <= 1
    assert np.abs(plain[[1, 0, 2]] - swapped).max() <= 6


def test_transparency_survives_a_profile() -> None:
    clear = Image.new("RGBA", (8, 8), (200, 40, 90, 0))
    assert np.asarray(opened(saved(clear, "PNG", icc_profile=_swapped())).image).min() == 255


def test_a_grey_picture_with_a_profile_for_colours_stays_grey() -> None:
    found = opened(saved(Image.new("L", (8, 8), 77), "JPEG", icc_profile=_profile("sRGB")))
    assert found.image.mode == "L" and not found.notes and abs(int(np.asarray(found.image)[0, 0]) - 77) <= 1


@pytest.mark.parametrize("profile", [b"secret profile", _profile("sRGB")[:200], _profile("LAB"), bytes(5000)])
def test_a_profile_that_cannot_be_used_is_ignored_and_noted(profile: bytes) -> None:
    found = opened(saved(smooth(), "PNG", icc_profile=profile))
    assert found.notes == {Note.PROFILE_IGNORED}
    assert np.array_equal(np.asarray(found.image), np.asarray(smooth()))


def test_a_folder_tells_what_was_scaled_and_ignored(tmp_path: Path) -> None:
    Image.fromarray(ramp(12)).save(tmp_path / "a.png")
    smooth().save(tmp_path / "b.png", icc_profile=b"broken")
    smooth().save(tmp_path / "c.png")
    read = read_image_folder(tmp_path, 8)
    assert (read.scaled, read.profiles_ignored) == (("a.png",), ("b.png",))
