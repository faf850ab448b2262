import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from torchvision import datasets

from aral.data import NAMES, data_root, load
from aral.data.torchvision_sets import read_celeba
from aral.errors import BadInput, RunFailed


def test_digits_are_the_1797_of_scikit_learn_split_once_and_for_all() -> None:
    data, again = load("digits"), load("digits")
    assert (len(data.pool), len(data.test), data.pool.shape) == (1437, 360, (1, 8, 8))
    assert data.pool.pixels.equal(again.pool.pixels) and int(data.pool.pixels.max()) == 255
    rows = np.concatenate([data.pool.pixels.numpy(), data.test.images.pixels.numpy()]).reshape(-1, 64)
    classes = np.concatenate([data.pool_classes, data.test.classes])
    source = load_digits()
    wanted = sorted(
        (*np.floor(image * 255 / 16 + 0.5).astype(int).tolist(), int(label))
        for image, label in zip(source.data, source.target, strict=True)
    )
    assert sorted((*row.tolist(), int(label)) for row, label in zip(rows, classes, strict=True)) == wanted
    assert np.unique(data.pool_classes).size == np.unique(data.test.classes).size == 10


def test_a_file_below_the_root_comes_before_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = np.full((2, 4, 4), 7, np.uint8), np.array([0, 9])
    arrays: dict[str, Any] = {"train_images": images, "train_labels": labels}
    np.savez(tmp_path / "mnist.npz", **arrays, test_images=images, test_labels=labels)
    assert load("mnist", tmp_path).class_names == tuple("0123456789")
    monkeypatch.setenv("ARAL_DATA", str(tmp_path))
    data = load("mnist")
    assert data.name == "mnist" and int(data.pool.pixels.sum()) == 2 * 16 * 7


def test_the_root_is_the_argument_then_the_variable_then_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARAL_DATA", str(tmp_path))
    assert data_root(Path("here")) == Path("here") and data_root() == tmp_path
    monkeypatch.delenv("ARAL_DATA")
    monkeypatch.setenv("HOME", "/somewhere")
    assert data_root() == Path("/somewhere/.cache/aral")


def _write_mnist(folder: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    head = struct.pack(">iiii", 0x803, *images.shape)
    (folder / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(
        struct.pack(">ii", 0x801, labels.size) + labels.tobytes()
    )


def test_the_files_of_torchvision_are_read(tmp_path: Path) -> None:
    images = np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2)
    labels = np.array([3, 1, 2], np.uint8)
    _write_mnist(tmp_path / "MNIST" / "raw", "train", images, labels)
    _write_mnist(tmp_path / "MNIST" / "raw", "t10k", images[::-1], labels[::-1])
    data = load("mnist", tmp_path)
    assert np.array_equal(data.pool.pixels[:, 0].numpy(), images) and data.pool_classes.tolist() == [3, 1, 2]
    assert data.test.images.pixels[0, 0].tolist() == images[2].tolist()
    assert data.test.classes.tolist() == [2, 1, 3]


@pytest.mark.parametrize(("name", "kind"), [("svhn", "SVHN"), ("cifar10", "CIFAR10")])
def test_colour_sets_have_channels_before_height(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    pixels = np.zeros((2, 3, 32, 32), np.uint8)
    pixels[1, 2] = 5
    given = pixels if name == "svhn" else pixels.transpose(0, 2, 3, 1)
    labels = np.array([0, 9])

    def fake(root: Path, download: bool, **part: object) -> SimpleNamespace:
        assert not download
        return SimpleNamespace(data=given, labels=labels, targets=labels.tolist())

    monkeypatch.setattr(datasets, kind, fake)
    data = load(name, tmp_path)
    assert np.array_equal(data.pool.pixels.numpy(), pixels) and data.test.classes.tolist() == [0, 9]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "digits"])
def test_missing_data_list_each_place_and_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(name, tmp_path)
    text = str(caught.value)
    for place in (tmp_path / f"{name}.npz", tmp_path / f"{name}-jpeg.npz"):
        assert str(place) in text
    assert f"Put {name}.npz (arrays train_images, train_labels, test_images, test_labels)" in text
    assert "export ARAL_DATA=" in text
    if name == "imagenet":
        assert str(tmp_path / "imagenet" / "train") in text and "--download" not in text
    else:
        assert "torchvision's files" in text and "--download" in text


def test_a_failed_download_is_a_failed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def offline(root: Path, download: bool, **part: object) -> SimpleNamespace:
        asked.append(download)
        raise RuntimeError("no route to host")

    monkeypatch.setattr(datasets, "SVHN", offline)
    with pytest.raises(RunFailed, match="no route to host"):
        load("svhn", tmp_path / "new", download=True)
    assert asked == [False, True]


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(BadInput, match="Did you mean 'fashion-mnist'"):
        load("fashion_mnist")


def _write_celeba(folder: Path, count: int) -> None:
    """Image i has the grey value 10·i; the odd ones are male."""
    (folder / "img_align_celeba").mkdir(parents=True)
    lines = [str(count), "Bald Male Young"]
    for index in range(count):
        name = f"{index:06}.jpg"
        Image.new("RGB", (18, 22), (10 * index,) * 3).save(folder / "img_align_celeba" / name)
        lines.append(f"{name}  1 {1 if index % 2 else -1} -1")
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")


def test_celeba_splits_all_images_and_keeps_each_with_its_attribute(tmp_path: Path) -> None:
    _write_celeba(tmp_path / "celeba", 12)
    data = read_celeba(tmp_path / "celeba", pool_size=7, test_size=3, side=8)
    assert data.pool.shape == (3, 8, 8) and data.class_names == ("not male", "male")
    originals = [
        np.rint(part.pixels.float().mean(dim=(1, 2, 3)).numpy() / 10).astype(np.int64)
        for part in (data.pool, data.test.images)
    ]
    assert np.array_equal(originals[0] % 2, data.pool_classes)
    assert np.array_equal(originals[1] % 2, data.test.classes)
    assert np.unique(np.concatenate(originals)).size == 10
    assert not np.array_equal(originals[0], np.arange(7))
    with pytest.raises(BadInput, match="lists 12 images; 200000 are needed"):
        load("celeba", tmp_path)


def test_a_damaged_celeba_names_the_file(tmp_path: Path) -> None:
    _write_celeba(tmp_path, 4)
    (tmp_path / "img_align_celeba" / "000002.jpg").write_bytes(b"")
    with pytest.raises(BadInput, match=r"000002\.jpg cannot be read: not_an_image"):
        read_celeba(tmp_path, 2, 2)
    (tmp_path / "list_attr_celeba.txt").write_text("1\nBald Young\na.jpg 1 1\n")
    with pytest.raises(BadInput, match="not CelebA's list"):
        read_celeba(tmp_path, 2, 2)


def test_imagenet_is_read_from_class_folders(tmp_path: Path) -> None:
    for part, count in (("train", 2), ("val", 1)):
        for number, wnid in enumerate(("n01440764", "n01443537")):
            folder = tmp_path / "imagenet" / part / wnid
            folder.mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (30, 20), (100 * number, 0, 0)).save(folder / f"{index}.JPEG")
    data = load("imagenet", tmp_path)
    assert data.name == "imagenet" and data.pool.shape == (3, 224, 224)
    assert data.pool_classes.tolist() == [0, 0, 1, 1] and data.test.classes.tolist() == [0, 1]
    assert data.class_names == ("n01440764", "n01443537")
    assert load("imagenet", tmp_path, side=16).pool.shape == (3, 16, 16)
