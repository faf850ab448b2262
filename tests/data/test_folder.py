import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.data import Limits, Reason, decode, folder_dataset, read_image_folder
from aral.errors import BadInput
from aral.randomness import Stream


def _grey(path: Path, value: int, size: tuple[int, int] = (12, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value,) * 3).save(path)


def _values(pixels: object) -> list[int]:
    return [int(value) for value in np.rint(np.asarray(pixels).mean(axis=(1, 2, 3)))]


def test_good_files_are_read_in_the_order_of_their_paths_and_bad_ones_listed(tmp_path: Path) -> None:
    _grey(tmp_path / "dogs" / "b.png", 40)
    _grey(tmp_path / "dogs" / "deep" / "er" / "a.png", 30)
    _grey(tmp_path / "cats" / "z.png", 20)
    _grey(tmp_path / "loose.png", 50)
    (tmp_path / "cats" / "empty.jpg").write_bytes(b"")
    (tmp_path / "cats" / "page.png").write_text("<html></html>")
    read = read_image_folder(tmp_path, 8)
    assert read.paths == ("cats/z.png", "dogs/b.png", "dogs/deep/er/a.png", "loose.png")
    assert _values(read.images.pixels) == [20, 40, 30, 50]
    assert read.images.ids.tolist() == [0, 1, 2, 3] and read.images.shape == (3, 8, 8)
    assert [(bad.path, bad.reason) for bad in read.unreadable] == [
        ("cats/empty.jpg", Reason.NOT_AN_IMAGE),
        ("cats/page.png", Reason.NOT_AN_IMAGE),
    ]


def test_the_centre_is_kept_and_grey_is_an_argument(tmp_path: Path) -> None:
    halves = Image.new("L", (30, 10), 0)
    halves.paste(255, (20, 0, 30, 10))
    halves.save(tmp_path / "a.png")
    cropped = read_image_folder(tmp_path, 10, channels=1).images
    assert cropped.shape == (1, 10, 10) and int(cropped.pixels.max()) == 0


def test_names_of_all_kinds_survive(tmp_path: Path) -> None:
    names = [
        "😀.png",
        "שלום.png",
        "e\u0301.png",
        "\u00e9.png",
        "new\nline.png",
        "quo'te\".png",
        "-rf.png",
        "<img src=x onerror=alert(1)>.png",
        "x" * 251 + ".png",
    ]
    for name in names:
        _grey(tmp_path / "class" / name, 9)
    raw = tmp_path / "class" / b"bad\xff.png".decode("utf-8", "surrogateescape")
    _grey(raw, 9)
    read = read_image_folder(tmp_path, 4)
    assert set(read.paths) == {f"class/{name}" for name in (*names, raw.name)}
    assert read.unreadable == ()


def test_formats_and_animations_are_told(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (value, value, value)) for value in (200, 0)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "b.gif")
    frames[0].save(tmp_path / "c.gif", format="PNG")
    read = read_image_folder(tmp_path, 8)
    assert read.formats == ("GIF", "GIF", "PNG") and read.first_frames == ("a.gif",)
    assert _values(read.images.pixels) == [200, 200, 200]


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no folder"):
        read_image_folder(tmp_path / "absent", 8)
    with pytest.raises(BadInput, match="no readable image"):
        read_image_folder(tmp_path, 8)
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(BadInput, match=r"a\.txt: not_an_image"):
        read_image_folder(tmp_path, 8)
    with pytest.raises(BadInput, match="1 or more"):
        read_image_folder(tmp_path, 0)


def test_more_pixels_than_memory_are_refused_before_they_are_read(tmp_path: Path) -> None:
    _grey(tmp_path / "a.png", 1)
    with pytest.raises(BadInput, match="GiB of memory"):
        read_image_folder(tmp_path, 10_000_000)


def _two_classes(root: Path, count: int = 6) -> None:
    """Cats are dark (image i has the value i), dogs bright (100 + i)."""
    for index in range(count):
        _grey(root / "cats" / f"{index}.png", index)
        _grey(root / "dogs" / f"{index}.png", 100 + index)


def test_a_share_of_the_images_becomes_the_test_set(tmp_path: Path) -> None:
    _two_classes(tmp_path / "pets")
    data = folder_dataset(tmp_path / "pets", 8, 0.25, Stream.root(1))
    pool, test = _values(data.pool.pixels), _values(data.test.images.pixels)
    assert (len(pool), len(test)) == (9, 3)
    assert sorted(pool + test) == [*range(6), *range(100, 106)]
    assert data.pool_classes.tolist() == [int(value >= 100) for value in pool]
    assert data.test.classes.tolist() == [int(value >= 100) for value in test]
    assert (data.name, data.class_names, data.note) == ("pets", ("cats", "dogs"), "")
    splits = {
        tuple(_values(folder_dataset(tmp_path / "pets", 8, 0.25, Stream.root(seed)).test.images.pixels))
        for seed in (1, 2, 3)
    }
    assert tuple(test) in splits and len(splits) > 1


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_given_parts_are_kept(tmp_path: Path, test_name: str) -> None:
    _two_classes(tmp_path / "train")
    _grey(tmp_path / test_name / "dogs" / "x.png", 120)
    data = folder_dataset(tmp_path, 8, 0.5, Stream.root(1), channels=1)
    assert _values(data.pool.pixels) == [*range(6), *range(100, 106)]
    assert data.test.classes.tolist() == [1] and _values(data.test.images.pixels) == [120]
    assert data.class_names == ("cats", "dogs") and data.pool.shape == (1, 8, 8)
    _grey(tmp_path / test_name / "birds" / "x.png", 1)
    with pytest.raises(BadInput, match="training folder lacks: birds"):
        folder_dataset(tmp_path, 8, 0.5, Stream.root(1))


def test_limits_choose_the_files_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images are those that the whole set would keep; only a class with none of them costs one more."""
    for index in range(40):
        _grey(tmp_path / "train" / ("cats" if index < 20 else "dogs") / f"{index:02}.png", 5 * index)
        _grey(tmp_path / "val" / ("cats" if index < 20 else "dogs") / f"{index:02}.png", 5 * index)
    _grey(tmp_path / "train" / "rare" / "x.png", 255)
    (tmp_path / "train" / "notes").mkdir()
    (tmp_path / "train" / "notes" / "readme.txt").write_text("no image")
    whole = folder_dataset(tmp_path, 8, 0.5, Stream.root(1))
    opened: list[Path] = []
    monkeypatch.setattr(decode, "read_image_bytes", lambda path: opened.append(path) or path.read_bytes())
    limits = Limits(7, 3, Stream.root(2))
    data = folder_dataset(tmp_path, 8, 0.5, Stream.root(1), limits=limits)
    assert data.class_names == ("cats", "dogs", "rare") == whole.class_names
    assert data.note == "1 file left out; 7 of 42 pool images; 3 of 40 test images"
    assert len(data.pool) == 7 and len(data.test) == 3 and len(opened) <= 7 + 3 + 3
    kept = whole.limited(None, 3, Stream.root(2))
    assert data.test.images.pixels.equal(kept.test.images.pixels)
    assert data.test.classes.tolist() == kept.test.classes.tolist()
    assert data.pool_classes.tolist() == [[0, 1][value >= 100] for value in _values(data.pool.pixels)]


def test_an_unreadable_file_gives_its_place_to_the_next(tmp_path: Path) -> None:
    _two_classes(tmp_path / "train")
    _grey(tmp_path / "val" / "dogs" / "x.png", 120)
    for index in range(4):
        (tmp_path / "train" / "cats" / f"bad{index}.png").write_bytes(b"")
    data = folder_dataset(tmp_path, 8, 0.5, Stream.root(1), limits=Limits(12, 1, Stream.root(0)))
    assert _values(data.pool.pixels) == [*range(6), *range(100, 106)]
    with pytest.raises(BadInput, match="Cannot keep 13 images of the pool: it has 12"):
        folder_dataset(tmp_path, 8, 0.5, Stream.root(1), limits=Limits(13, 1, Stream.root(0)))


def test_left_out_files_are_counted_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _two_classes(tmp_path)
    _grey(tmp_path / "loose.png", 77)
    (tmp_path / "cats" / "bad.jpg").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        data = folder_dataset(tmp_path, 8, 0.25, Stream.root(1))
    assert data.note == "2 files left out" and len(data.pool) + len(data.test) == 12
    assert 77 not in _values(data.pool.pixels) + _values(data.test.images.pixels)
    assert "2 files left out" in caplog.text and "cats/bad.jpg: not_an_image" in caplog.text


def test_a_set_needs_two_classes_and_a_sensible_share(tmp_path: Path) -> None:
    _grey(tmp_path / "cats" / "a.png", 1)
    _grey(tmp_path / "loose.png", 1)
    with pytest.raises(BadInput, match=r"in 1 class folder \(cats\) and 1 outside"):
        folder_dataset(tmp_path, 8, 0.5, Stream.root(1))
    _grey(tmp_path / "dogs" / "a.png", 1)
    with pytest.raises(BadInput, match=r"2 pictures are in the folders of two classes"):
        folder_dataset(tmp_path, 8, 0.5, Stream.root(1))
    _grey(tmp_path / "dogs" / "a.png", 2)
    with pytest.raises(BadInput, match=r"0\.1 of 2 images leaves pool or test set empty"):
        folder_dataset(tmp_path, 8, 0.1, Stream.root(1))
    with pytest.raises(BadInput, match="between 0 and 1"):
        folder_dataset(tmp_path, 8, 1.0, Stream.root(1))
    with pytest.raises(BadInput, match="no folder"):
        folder_dataset(tmp_path / "absent", 8, 0.5, Stream.root(1))


def test_copies_of_one_image_are_refused_whatever_their_files_are(tmp_path: Path) -> None:
    for number, kind in enumerate(("png", "bmp", "gif", "tiff")):
        _grey(tmp_path / ("cats", "dogs")[number % 2] / f"{number}.{kind}", 40)
    with pytest.raises(BadInput, match=r"The 4 images of .* are all the same"):
        folder_dataset(tmp_path, 8, 0.5, Stream.root(1))
    _grey(tmp_path / "dogs" / "other.png", 41)
    assert len(folder_dataset(tmp_path, 8, 0.4, Stream.root(1)).pool) == 3


def test_many_files_keep_their_order_across_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(decode, "_FILES_AT_ONCE", 7)
    for index in range(40):
        _grey(tmp_path / f"{index:02}.png", 5 * index, (8 + index, 8))
    assert _values(read_image_folder(tmp_path, 4).images.pixels) == [5 * index for index in range(40)]


@pytest.mark.parametrize("splits", [("",), ("train/", "test/")])
def test_a_picture_in_the_folders_of_two_classes_is_left_out(
    tmp_path: Path, splits: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    for split in splits:
        for number in range(8):
            name = "cats" if number < 4 else "dogs"
            _grey(tmp_path / split / name / f"{number}.png", 20 + 10 * number + len(split))
    _grey(tmp_path / splits[0] / "cats" / "both.png", 222)
    _grey(tmp_path / splits[-1] / "dogs" / "again.png", 222)
    _grey(
        tmp_path / splits[0] / "dogs" / "another size.png", 222, (13, 10)
    )  # the same pixels, not the same file
    with caplog.at_level(logging.WARNING):
        data = folder_dataset(tmp_path, 8, 0.25, Stream.root(1))
    values = [*_values(data.pool.pixels), *_values(data.test.images.pixels)]
    assert len(values) == 8 * len(splits) + 1 and values.count(222) == 1
    assert (
        data.note.startswith("2 files left out") and "in the folders of two classes, such as" in caplog.text
    )
    assert caplog.text.count("left out") == 1, "each file is named once"
    limits = Limits(9 if len(splits) > 1 else 5, None, Stream.root(0))
    assert len(folder_dataset(tmp_path, 8, 0.25, Stream.root(1), limits=limits).pool) in (5, 8, 9)


def test_classes_json_gives_the_classes_their_names(tmp_path: Path) -> None:
    for number in range(8):
        _grey(tmp_path / ("a_b" if number < 4 else "dogs") / f"{number}.png", 20 + 10 * number)
    (tmp_path / "classes.json").write_text(json.dumps({"classes": [{"folder": "a_b", "name": "a/b"}]}))
    data = folder_dataset(tmp_path, 8, 0.25, Stream.root(1))
    assert data.class_names == ("a/b", "dogs") and len(data.pool) + len(data.test.images) == 8
