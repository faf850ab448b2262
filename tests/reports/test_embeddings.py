"""The pool in two dimensions: what is kept of a run, and what its report shows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import save_file

from aral.benchmarking import Method, load_data, read_run, resolve, run
from aral.loop import embedding
from aral.loop.embedding import EMBEDDING_FILE, embeddings
from aral.randomness import Stream
from aral.reports.curves import svg_bytes
from aral.reports.embeddings import Embedding, embedding_chart, read_embedding
from aral.reports.html import report_page

SETTINGS = ["rounds.budget=12", "rounds.query_size=4", "pool_size=60", "test_size=20"]


def finished(folder: Path, embedded: bool = True) -> Path:
    spec = resolve("digits", Method.parse("linear+random"), SETTINGS, None, threads=1)
    return run(spec, load_data(spec), folder, embedded=embedded)


def read(folder: Path) -> Embedding:
    found = read_embedding(folder)
    assert isinstance(found, Embedding)
    return found


def test_queried_images_have_their_round_and_the_whole_pool_is_shown(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run")
    found = read(folder)
    assert np.bincount(found.rounds + 1).tolist() == [48, 4, 4, 4]
    assert set(found.coordinates) >= {"pca", "tsne"}
    assert all(each.shape == (60, 2) and np.isfinite(each).all() for each in found.coordinates.values())
    assert found.in_words().startswith("All images of the pool.")
    page = report_page(read_run(folder))
    assert "Where the queries are in the pool" in page and found.in_words() in page
    before = (folder / EMBEDDING_FILE).stat().st_mtime_ns
    finished(folder)
    assert (folder / EMBEDDING_FILE).stat().st_mtime_ns == before


def test_a_run_is_the_same_with_it_and_without(tmp_path: Path) -> None:
    with_it, without = finished(tmp_path / "a"), finished(tmp_path / "b", embedded=False)
    one, other = (read_run(folder) for folder in (with_it, without))
    assert [each.accuracy for each in one.rounds] == [each.accuracy for each in other.rounds]
    assert read_embedding(without) is None
    assert "Where the queries are in the pool" not in report_page(other)


def test_a_large_pool_is_sampled_and_the_sample_is_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "MOST_IMAGES", 20)
    monkeypatch.setattr(embedding, "MOST_QUERIED", 8)
    found = read(finished(tmp_path / "run"))
    assert found.rounds.size == 20 and (found.rounds >= 0).sum() == 8
    assert "A sample: 8 of the 12 queried images and 12 of the 48 others." in found.in_words()


def test_neighbours_stay_neighbours() -> None:
    classes = np.arange(90) % 3
    features = (8.0 * np.eye(3)[classes] + np.random.default_rng(0).normal(size=(90, 3))).astype(np.float32)
    for name, points in embeddings(features, Stream.root(0)).items():
        centres = np.array([points[classes == number].mean(axis=0) for number in range(3)])
        nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        assert (nearest == classes).mean() > 0.95, name
    again = embeddings(features, Stream.root(0))
    assert all((again[name] == points).all() for name, points in embeddings(features, Stream.root(0)).items())


@pytest.mark.parametrize(
    "features", [np.zeros((30, 4)), np.ones((3, 4)), np.random.default_rng(0).normal(size=(9, 1))]
)
def test_too_few_images_or_no_variance_leave_principal_components(features: np.ndarray) -> None:
    found = embeddings(features.astype(np.float32), Stream.root(0))
    assert set(found) == {"pca"} and np.isfinite(found["pca"]).all()


def test_umap_is_drawn_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Umap:
        def __init__(self, n_components: int, random_state: int) -> None:
            self.count = n_components

        def fit_transform(self, rows: np.ndarray) -> np.ndarray:
            return rows[:, : self.count] + 5

    module = ModuleType("umap")
    module.UMAP = Umap  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", module)
    monkeypatch.setattr(embedding, "find_spec", lambda name: object() if name == "umap" else None)
    features = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    found = embeddings(features, Stream.root(0))
    assert set(found) == {"pca", "tsne", "umap"} and found["umap"].min() > 0
    drawn = embedding_chart(Embedding(np.full(20, -1), found, 20, 0))
    assert [axes.get_title() for axes in drawn.axes[:3]] == ["principal components", "t-SNE", "UMAP"]


def test_colours_are_those_of_the_rounds_and_the_drawing_stays_small() -> None:
    draw = np.random.default_rng(0)
    rounds = np.repeat([-1, 0, 1, 2], 250)
    points = draw.normal(size=(1000, 2)).astype(np.float32)
    found = Embedding(rounds, {"pca": points, "tsne": points}, 5000, 750)
    drawn = embedding_chart(found)
    pool, queried = drawn.axes[0].collections
    assert len(pool.get_offsets()) == 250 and (queried.get_array() == rounds[rounds >= 0]).all()
    assert (np.asarray(queried.get_offsets()) == points[rounds >= 0]).all()
    assert len(svg_bytes(drawn)) < 700_000


def test_a_damaged_file_is_a_note_of_the_report(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    (folder / EMBEDDING_FILE).write_bytes(b"nothing")
    record = read_run(folder)
    assert "embedding.safetensors cannot be read" in report_page(record)
    save_file(
        {"rounds": np.zeros(3, np.int64), "pca": np.zeros((2, 2), np.float32)},
        folder / EMBEDDING_FILE,
        {"pool": "3", "queried": "1"},
    )
    assert "do not belong together" in report_page(record)
