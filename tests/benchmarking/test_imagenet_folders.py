"""``aral run imagenet`` from class folders, at toy size: from the files to the evaluated rounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.benchmarking.methods import Method
from aral.benchmarking.runs import data_fingerprint, load_data, run
from aral.benchmarking.spec import resolve
from aral.data import decoded_files
from aral.loop.reading import store_reading

TOY = (
    "side=32",
    "learner.networks.channels=8",
    "learner.networks.encoder_widths=[4, 4, 8, 8]",
    "learner.networks.generator_embedding_size=4",
    "learner.networks.sampler_width=16",
    "learner.latent_size=8",
    "learner.training.steps=1",
    "learner.training.labelled_batch=4",
    "learner.training.unlabelled_batch=4",
    "learner.prediction.batch=8",
    "rounds.query_size=3",
    "rounds.budget=6",
)
VGG = (
    "learner.classifier.width=4",
    "learner.classifier.hidden_size=16",
    "learner.classifier.pooled_side=1",
    "learner.classifier.input_side=32",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes of eight pool and two test images, wider than high."""
    drawn = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 2)):
        for wnid in ("n01440764", "n01443537", "n01484850"):
            folder = tmp_path / "imagenet" / part / wnid
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = drawn.integers(0, 256, (40, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.JPEG")
    return tmp_path


@pytest.mark.parametrize(("method", "own"), [("no-co-training", VGG), ("aral:released+random", ())])
def test_two_rounds_run_from_class_folders(
    root: Path, tmp_path: Path, method: str, own: tuple[str, ...]
) -> None:
    spec = resolve("imagenet", Method.parse(method), [*TOY, *own], threads=1)
    data = load_data(spec, root)
    assert data.pool.shape == (3, 32, 32) and (len(data.pool), len(data.test), data.class_count) == (24, 6, 3)
    with store_reading(run(spec, data, tmp_path / "run")) as store:
        assert [row.value <= 1 for row in store.metrics("accuracy")] == [True, True]
        assert len(store.labels.answers()) == 6


def test_folders_larger_than_memory_are_decoded_once_for_all_processes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run on images that are mapped from a file gives what it gives on images in memory."""
    spec = resolve("imagenet", Method.parse("aral:released+random"), TOY, threads=1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    in_memory = load_data(spec, root)
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr(decoded_files, "FROM_BYTES", 1)
    seen: list[tuple[int, int]] = []
    first = load_data(spec, root, progress=lambda *each: seen.append(each))
    assert seen == [*((done, 24) for done in range(1, 25)), *((done, 6) for done in range(1, 7))]
    again = load_data(spec, root, progress=lambda *each: pytest.fail("decoded twice"))
    assert data_fingerprint(first) == data_fingerprint(again) == data_fingerprint(in_memory)
    assert len(list((tmp_path / "cache" / "aral" / "images").iterdir())) == 2
    values = []
    for data, name in ((in_memory, "memory"), (again, "file")):
        with store_reading(run(spec, data, tmp_path / name)) as store:
            values.append([(row.name, row.value) for row in store.metrics() if "seconds" not in row.name])
    assert values[0] == values[1] and values[0]


def test_a_smaller_pool_is_cut_before_decoding(root: Path) -> None:
    spec = resolve("imagenet", Method.parse("vaal"), TOY, pool_size=5, test_size=2)
    data = load_data(spec, root)
    assert (len(data.pool), len(data.test), data.class_count) == (5, 2, 3)
    assert data.note == "5 of 24 pool images; 2 of 6 test images"
