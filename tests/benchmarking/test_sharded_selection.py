"""Selecting from shards gives what selecting from one folder gives, whatever is killed, on every engine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aral.acquisition import select
from aral.acquisition.sharded import SHARDED
from aral.benchmarking import EngineSettings, GridObserver, Job, State, sharded_selection
from aral.benchmarking.shard_jobs import ShardResources
from aral.benchmarking.sharded_selection import (
    SelectedImage,
    ShardQuery,
    ShardSelection,
    select_from_shards,
)
from aral.data.shards import ROWS, Shard, open_shards
from aral.errors import BadInput, Stopped
from aral.logistic import calibrated_probabilities
from aral.randomness import Stream
from aral.representations import (
    ImageFiles,
    RepresentationSettings,
    features_in_order,
    fit_projection,
    make_backbone,
    project,
)
from aral.testing import small_images, tar_bytes, write_parquet, write_tar

COUNT, BAD = 130, 17
GRADIENTS = RepresentationSettings(backbone="gradients")
KEYS = [f"{number:03}" for number in range(COUNT)]
LABELS = {key: ("odd" if int(key) % 2 else "even") for key in KEYS[:90:9]} | {"gone": "odd"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small images of which one cannot be read."""
    folder = tmp_path_factory.mktemp("images")
    for key, content in zip(KEYS, small_images(COUNT), strict=True):
        (folder / key).write_bytes(b"no image" if int(key) == BAD else content)
    return folder


@pytest.fixture(scope="module")
def shards(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Shard, ...]:
    """The same images in order, in two Parquet files and a tar between them."""
    folder = tmp_path_factory.mktemp("shards")
    return written(folder, images, [("a.parquet", 0, 50), ("b.tar", 50, 110), ("c.parquet", 110, COUNT)])


def written(folder: Path, images: Path, parts: list[tuple[str, int, int]]) -> tuple[Shard, ...]:
    for name, start, end in parts:
        keys = KEYS[start:end]
        write = write_tar if name.endswith(".tar") else write_parquet
        write(folder / name, keys, [(images / key).read_bytes() for key in keys])
    return open_shards([str(folder / name) for name, _, _ in parts])


@pytest.fixture(scope="module")
def features(shards: tuple[Shard, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all features are there."""
    folder = tmp_path_factory.mktemp("features")
    chosen(shards, "random", folder)
    return folder


def chosen(
    shards: tuple[Shard, ...],
    strategy: str,
    features: Path,
    engine: EngineSettings | None = None,
    observer: GridObserver | None = None,
    stopping: Callable[[], bool] = lambda: False,
    said: list[str] | None = None,
    n: int = 7,
) -> ShardSelection:
    query = ShardQuery(n, strategy, GRADIENTS, LABELS, seed=3)
    resources = ShardResources(features, 2, engine or EngineSettings())
    say = (lambda text: None) if said is None else said.append
    return select_from_shards(shards, query, resources, observer=observer, say=say, stopping=stopping)


def in_one_folder(images: Path, strategy: str, sample: int = COUNT) -> list[tuple[str, float, str]]:
    """Keys, scores and reasons without shards; with components of so many images with the lowest random numbers."""
    backbone = make_backbone(GRADIENTS)
    rows = {
        key: row
        for key, row in zip(KEYS, features_in_order(ImageFiles(images, KEYS), backbone), strict=True)
        if isinstance(row, np.ndarray)
    }
    keys = list(rows)
    features = np.stack(list(rows.values())).astype(np.float16).astype(np.float32)
    drawn = Stream.root(3).child("select").child("components").uniform(np.arange(len(keys)))
    projection = fit_projection(features[np.sort(np.argsort(drawn)[:sample])], 128, backbone.parts)
    vectors = project(projection, features).flatten(1).double().numpy()
    labelled = np.array([keys.index(key) for key in LABELS if key in rows])
    classes = np.array([sorted(set(LABELS.values())).index(LABELS[keys[row]]) for row in labelled])
    found = select(
        vectors,
        7,
        probabilities=calibrated_probabilities(vectors[labelled], classes, 2, vectors),
        labelled=labelled,
        labelled_classes=classes,
        strategy=strategy,
        seed=3,
    )
    return [
        (keys[row], score, reason)
        for row, score, reason in zip(found.ids, found.scores.tolist(), found.reasons, strict=True)
    ]


def table(images: tuple[SelectedImage, ...]) -> list[tuple[str, float, str]]:
    return [(each.key, each.score, each.reason) for each in images]


def assert_same(found: ShardSelection, expected: list[tuple[str, float, str]]) -> None:
    """The same images in order; products of matrices of other shapes may differ in the last digits."""
    assert [each.key for each in found.images] == [key for key, _, _ in expected]
    assert np.allclose(
        [each.score for each in found.images], [score for _, score, _ in expected], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("strategy", ["random", "margin", "maxherding", "typiclust", "core-set", "badge"])
def test_a_small_pool_in_shards_is_one_pool(
    images: Path, shards: tuple[Shard, ...], features: Path, strategy: str
) -> None:
    said: list[str] = []
    found = chosen(shards, strategy, features, said=said)
    assert table(found.images) == in_one_folder(images, strategy)
    assert (strategy in SHARDED) == (not any("is for pools in shards of at most" in text for text in said))
    places = {"a.parquet": 0, "b.tar": 50, "c.parquet": 110}
    for rank, each in enumerate(found.images, 1):
        assert places[Path(each.shard).name] + each.row == int(each.key) and each.rank == rank
    assert found.pool_size == COUNT - 1
    ((address, bad),) = found.unreadable
    assert (Path(address).name, bad.path) == ("a.parquet", KEYS[BAD])
    assert not {each.key for each in found.images} & {*LABELS, KEYS[BAD]}


@pytest.mark.parametrize("strategy", ["random", "margin", "cluster-margin"])
def test_scores_by_shards_are_those_of_one_pool(
    images: Path,
    shards: tuple[Shard, ...],
    features: Path,
    strategy: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sharded_selection, "ONE_ARRAY", 30)
    said: list[str] = []
    found = chosen(shards, strategy, features, said=said)
    assert_same(found, in_one_folder(images, strategy))
    assert any(f"'{strategy}' by shards" in text for text in said)


def test_coverage_by_shards_is_nearly_that_of_one_pool(
    images: Path, shards: tuple[Shard, ...], features: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded_selection, "ONE_ARRAY", 30)
    found = chosen(shards, "maxherding", features)
    assert not {each.key for each in found.images} & {*LABELS, KEYS[BAD]}
    whole = sum(score for _, score, _ in in_one_folder(images, "maxherding"))
    assert sum(each.score for each in found.images) == pytest.approx(whole, rel=0.1)


def test_components_of_a_large_pool_are_those_of_a_sample(
    images: Path, shards: tuple[Shard, ...], features: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded_selection, "ONE_ARRAY", 30)
    monkeypatch.setattr(sharded_selection, "SAMPLE", 40)
    said: list[str] = []
    found = chosen(shards, "margin", features, said=said)
    assert_same(found, in_one_folder(images, "margin", sample=40))
    assert table(found.images) != in_one_folder(images, "margin")
    assert any("components of 40 random images of 129" in text for text in said)


@pytest.mark.parametrize("name", ["all.parquet", "all.tar"])
def test_one_shard_of_any_size_is_one_pool(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sharded_selection, "ONE_ARRAY", 30)
    monkeypatch.setattr(sharded_selection, "SAMPLE", 20)
    shard = written(tmp_path, images, [(name, 0, COUNT)])
    for strategy in ("maxherding", "margin"):
        found = chosen(shard, strategy, tmp_path / "features")
        assert table(found.images) == in_one_folder(images, strategy)


class Killer(GridObserver):
    """Kills the worker of each of the first jobs while it reads its shard."""

    def __init__(self, count: int) -> None:
        self.left, self.killed, self.news = count, set[str](), list[str]()

    def changed(self, job: Job, news: str) -> None:
        self.news.append(news)
        if self.left and news == "step" and job.name not in self.killed and job.process is not None:
            self.left -= 1
            self.killed.add(job.name)
            os.kill(job.process, signal.SIGKILL)


def test_killed_workers_change_nothing(
    images: Path, shards: tuple[Shard, ...], features: Path, tmp_path: Path
) -> None:
    killer = Killer(2)
    found = chosen(shards, "margin", tmp_path, observer=killer)
    assert not killer.left and sum("worker died" in news for news in killer.news) == 2
    assert found == chosen(shards, "margin", features)
    (folder,) = tmp_path.iterdir()
    assert not list(folder.glob(".*"))


class Ended(GridObserver):
    """Counts jobs that ended."""

    def __init__(self) -> None:
        self.done = 0

    def changed(self, job: Job, news: str) -> None:
        self.done += news == "ended" and job.state is State.DONE


def times(features: Path) -> dict[str, int]:
    """When each file of features was written."""
    return {path.name: path.stat().st_mtime_ns for path in features.glob("*/*.npy")}


@pytest.mark.slow
def test_a_stopped_command_continues_with_the_shards_that_are_left(
    shards: tuple[Shard, ...], features: Path, tmp_path: Path
) -> None:
    ended = Ended()
    with pytest.raises(Stopped, match="of 3 jobs done"):
        chosen(shards, "margin", tmp_path, observer=ended, stopping=lambda: ended.done > 0)
    before = times(tmp_path)
    assert 1 <= len(before) <= 2
    again = Ended()
    assert chosen(shards, "margin", tmp_path, observer=again) == chosen(shards, "margin", features)
    assert again.done == 3 - len(before) and before.items() <= times(tmp_path).items()


def test_what_is_wrong_with_a_shard_is_named_and_the_others_are_kept(images: Path, tmp_path: Path) -> None:
    shards = written(tmp_path, images, [("a.tar", 0, 20), ("b.tar", 20, 40), ("c.tar", 40, 60)])
    whole = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[: len(whole) // 2])
    shards = open_shards([shard.address for shard in shards])
    with pytest.raises(BadInput, match=r"b\.tar is cut short or damaged"):
        chosen(shards, "random", tmp_path / "features")
    kept = times(tmp_path / "features")
    assert len(kept) == 2
    (tmp_path / "b.tar").write_bytes(whole)
    shards = open_shards([shard.address for shard in shards])
    assert len(chosen(shards, "random", tmp_path / "features").images) == 7
    assert kept.items() <= times(tmp_path / "features").items()


def test_a_key_of_two_shards_is_refused_and_rows_can_be_numbered(images: Path, tmp_path: Path) -> None:
    contents = [(images / key).read_bytes() for key in KEYS[:6]]
    for name in ("a", "b"):
        (tmp_path / f"{name}.tar").write_bytes(
            tar_bytes([(f"{number}.png", content) for number, content in enumerate(contents)])
        )
    addresses = [str(tmp_path / f"{name}.tar") for name in ("a", "b")]
    with pytest.raises(BadInput, match=r"'0' is in two shards: .*a\.tar and .*b\.tar(.|\n)*--keys rows"):
        chosen(open_shards(addresses), "random", tmp_path / "features", n=3)
    before = times(tmp_path / "features")
    found = chosen(open_shards(addresses, keys=ROWS), "random", tmp_path / "features", n=12)
    assert {each.key for each in found.images} == {
        f"{address}#{row}" for address in addresses for row in range(6)
    }
    assert times(tmp_path / "features") == before


def test_what_cannot_be_selected_is_refused_before_features_are_computed(
    shards: tuple[Shard, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded_selection, "ONE_ARRAY", 30)
    with pytest.raises(BadInput, match="Unknown acquisition"):
        chosen(shards, "margins", tmp_path)
    with pytest.raises(BadInput, match="needs sampler logits"):
        chosen(shards, "vaal", tmp_path)
    with pytest.raises(BadInput, match="'robust-core-set' cannot be computed by shards"):
        chosen(shards, "robust-core-set", tmp_path)
    with pytest.raises(BadInput, match="100 images but only 70"):
        chosen((shards[0], shards[2]), "random", tmp_path, n=100)
    assert not times(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_engines_select_the_same(
    shards: tuple[Shard, ...],
    features: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setattr(sharded_selection, "ONE_ARRAY", 30)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    engine = EngineSettings("ray") if name == "ray" else EngineSettings("slurm", slurm=("cluster=local",))
    killer = Killer(1)
    found = chosen(shards, "margin", tmp_path, engine, killer)
    assert found.images == chosen(shards, "margin", features).images
    assert not killer.left
