"""Runs on features of the embedded backbone, at toy size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aral.benchmarking import Method, RunSpec, load_data, read_projection, read_spec, resolve, run
from aral.benchmarking.runs import PROJECTION_FILE, data_fingerprint
from aral.benchmarking.spec import preset_names, read_preset
from aral.data import FeatureArrays
from aral.errors import BadInput
from aral.loop.reading import store_reading
from aral.representations import (
    Projection,
    RepresentationSettings,
    efficientnet_lite0,
    make_backbone,
    project,
)

TOY = (
    "representation.backbone=efficientnet-lite0-spatial",
    "representation.side=32",
    "representation.components=6",
    "learner.training.steps=2",
    "rounds.query_size=4",
    "rounds.budget=8",
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def spec_of(*settings: str) -> RunSpec:
    return resolve(
        "digits", Method.parse("supervised+random"), [*TOY, *settings], pool_size=24, test_size=8, threads=1
    )


def test_a_run_reads_features_and_records_their_backbone(tmp_path: Path) -> None:
    spec = spec_of()
    data = load_data(spec)
    assert data.pool.shape == (12, 1, 1) and len(data.pool) == 24 and len(data.test) == 8
    folder = run(spec, data, tmp_path / "run")
    assert read_spec(folder).representation == RepresentationSettings(
        backbone="efficientnet-lite0-spatial", side=32, components=6
    )
    with store_reading(folder) as store:
        recorded = store.setting("features of")
        assert isinstance(recorded, dict)
        assert recorded["digest"] == efficientnet_lite0().digest and recorded["licence"] == "Apache-2.0"
        assert len(store.metrics("accuracy")) == 2
    again = load_data(read_spec(folder))
    assert data_fingerprint(again) == data_fingerprint(data)


def test_the_fingerprint_depends_on_the_representation_not_on_the_threads() -> None:
    torch.set_num_threads(2)
    try:
        one = data_fingerprint(load_data(spec_of()))
    finally:
        torch.set_num_threads(1)
    assert data_fingerprint(load_data(spec_of())) == one
    others = ("representation.components=5", "representation.fit=crop", "representation.side=40")
    assert len({one, *(data_fingerprint(load_data(spec_of(other))) for other in others)}) == 4


@pytest.mark.parametrize(
    "fields", [{}, {"representation": RepresentationSettings(backbone="efficientnet-lite0-spatial")}]
)
def test_the_preset_of_features_stands_for_that_of_the_data_set(fields: dict[str, object]) -> None:
    settings = () if fields else TOY[:1]
    spec = resolve("mnist", Method.parse("aral"), settings, **fields)
    assert spec.learner.networks.scale == "features"
    assert spec.rounds.query_size == read_preset("features")["rounds"]["query_size"]
    assert "-efficientnet-lite0-spatial-" in spec.folder_name
    pixels = resolve("mnist", Method.parse("aral"))
    assert pixels.representation.is_pixels and pixels.learner.networks.scale == "mlp"
    assert "efficientnet" not in pixels.folder_name and "features" in preset_names()


def test_small_images_are_read_at_a_smaller_side_than_files(tmp_path: Path) -> None:
    method, setting = Method.parse("supervised+random"), TOY[0]
    sides = [
        resolve(data, method, [setting, *others]).representation.side
        for data, others in (("cifar10", []), ("cifar10", ["representation.side=96"]), (str(tmp_path), []))
    ]
    assert sides == [160, 96, None]
    assert resolve("imagenet", method, [setting]).representation.side is None
    assert resolve("cifar10", method, ["representation.backbone=gradients"]).representation.side is None


def test_a_run_keeps_the_projection_of_its_features(tmp_path: Path) -> None:
    """With it, the backbone makes of an image what the networks of the run have read."""
    spec = spec_of()
    data = load_data(spec)
    folder = run(spec, data, tmp_path / "run")
    projection = read_projection(folder)
    assert projection.matrix.shape == (2048, 12) and projection.parts == (1280, 768)
    pixels = load_data(spec_of("representation.backbone=pixels")).pool.pixels[:3]
    framing = make_backbone(spec.representation).framing
    squares = [framing.frame(Image.fromarray(each[0].numpy())) for each in pixels]
    features = make_backbone(spec.representation).features(torch.from_numpy(np.stack(squares)))
    # The cache keeps float16.
    assert torch.allclose(project(projection, features.numpy()), data.pool.pixels[:3], atol=0.02)


def test_a_projection_that_was_damaged_is_named_and_written_anew(tmp_path: Path) -> None:
    spec = spec_of()
    data = load_data(spec)
    folder = run(spec, data, tmp_path / "run")
    path, whole = folder / PROJECTION_FILE, (folder / PROJECTION_FILE).read_bytes()
    for content, problem in (
        (whole[:-4], "SHA-256 of projection.safetensors differs"),
        (None, "No such file"),
    ):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BadInput, match=rf"(?s){problem}.*aral resume"):
            read_projection(folder)
        run(spec, data, folder)
        assert path.read_bytes() == whole


def test_a_run_is_not_continued_with_another_projection(tmp_path: Path) -> None:
    spec = spec_of()
    data = load_data(spec)
    folder = run(spec, data, tmp_path / "run")
    kept = read_projection(folder)
    other = Projection(kept.mean + 1, kept.matrix, kept.parts)
    with pytest.raises(BadInput, match="another projection of the features"):
        run(spec, replace(data, projection=other.state()), folder)
    pixels = spec_of("representation.backbone=pixels")
    with pytest.raises(BadInput, match="it reads pixels"):
        read_projection(run(pixels, load_data(pixels), tmp_path / "pixels"))


def test_the_sampler_combined_with_coverage_queries_features(tmp_path: Path) -> None:
    """Of rows that are there twice, `aral-diverse` queries no two copies; `aral` alone gives both the same score."""
    classes = np.arange(30) % 3
    rows = 3 * np.eye(5)[classes] + np.random.default_rng(0).normal(size=(30, 5))
    np.save(tmp_path / "rows.npy", np.concatenate([rows, rows]))
    np.save(tmp_path / "test.npy", rows + 0.1)
    (tmp_path / "rows.csv").write_text("\n".join(f"kind {number}" for number in np.tile(classes, 2)))
    (tmp_path / "test.csv").write_text("\n".join(f"kind {number}" for number in classes))
    files = {name: f"{tmp_path}/{file}" for name, file in (("features", "rows.npy"), ("labels", "rows.csv"))}
    files |= {"test_features": f"{tmp_path}/test.npy", "test_labels": f"{tmp_path}/test.csv"}
    settings = ["learner.training.steps=2", "rounds.query_size=8", "rounds.budget=16"]
    pairs = {}
    for name in ("aral+aral-diverse", "aral+aral"):
        arrays = FeatureArrays.model_validate(files)
        spec = resolve("", Method.parse(name), settings, threads=1, arrays=arrays)
        data = load_data(spec)
        assert data.pool.shape == (5, 1, 1) and data.pool.is_features
        with store_reading(run(spec, data, tmp_path / name)) as store:
            query = store.query(1)
        assert query is not None and query.acquisition == spec.acquisition and len(query) == 8
        pairs[name] = 8 - np.unique(query.ids % 30).size
        assert pairs[name] == 0 or name == "aral+aral"
        if name == "aral+aral-diverse":
            assert all(
                reason == "looks unlabelled to the sampler and is uncertain" for reason in query.reasons
            )
            assert ((query.scores > 0) & (query.scores <= 1)).all()
    assert pairs["aral+aral"] > 0
