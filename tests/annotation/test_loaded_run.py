"""A run folder as an object: its rounds, the learner of each kept round, predictions and generated images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import aral
from aral.benchmarking import Hardware, Method, RunSpec, load_data, resolve, run
from aral.data import FeatureArrays
from aral.errors import BadInput, Stopped
from aral.learners import evaluate
from aral.loop.run_store import Store

TOY = ("rounds.query_size=4", "rounds.budget=12", 'rounds.first_query="random"')
STEPS = "learner.training.steps=3"
PLAIN = Hardware("float32", 1, 1)
KEEP_ALL = "rounds.keep_checkpoints=all"
NETWORKS = {
    "supervised": (
        STEPS,
        "learner.networks.discriminator_sizes=[8]",
    ),
    "aral": (
        STEPS,
        "learner.networks.scale=mlp",
        "learner.networks.discriminator_sizes=[8]",
        "learner.networks.encoder_sizes=[8]",
        "learner.networks.generator_sizes=[8]",
        "learner.training.unlabelled_batch=8",
    ),
    "linear": (),
}
FEATURES = (
    STEPS,
    "representation.backbone=gradients",
    "representation.components=6",
    "learner.networks.discriminator_sizes=[8]",
)


def spec_of(method: str, *settings: str) -> RunSpec:
    named = Method.parse(method)
    own = () if any("representation" in each for each in settings) else NETWORKS[named.learner_name]
    return resolve("digits", named, [*TOY, *own, *settings], PLAIN, pool_size=40, test_size=30)


@pytest.fixture(scope="module")
def all_kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = spec_of("aral+random", KEEP_ALL)
    return run(spec, load_data(spec), tmp_path_factory.mktemp("runs") / "all")


@pytest.fixture(scope="module")
def on_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        spec = spec_of("supervised+random", *FEATURES)
        return run(spec, load_data(spec), tmp_path_factory.mktemp("runs") / "features")


def test_a_run_has_its_settings_and_rounds(all_kept: Path) -> None:
    loaded = aral.load_run(all_kept)
    assert loaded.settings == spec_of("aral+random", KEEP_ALL)
    assert [each.labelled for each in loaded.rounds] == [4, 8, 12]
    for each in loaded.rounds:
        assert each.selection is not None and len(each.selection) == 4 and len(each.answers) == 4
    assert loaded.class_names == tuple("0123456789") and loaded.kept_rounds == (0, 1, 2)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_learner_of_every_kept_round_has_the_accuracy_of_that_round(all_kept: Path, number: int) -> None:
    loaded = aral.load_run(str(all_kept))
    test = load_data(loaded.settings).test
    found = evaluate(loaded.learner(number), test)
    assert found.accuracy == loaded.rounds[number].accuracy
    assert np.array_equal(found.confusion, loaded.rounds[number].confusion)
    assert evaluate(loaded.learner(number - 3), test).negative_log_likelihood == found.negative_log_likelihood


def test_a_learner_with_the_data_gives_propagated_labels(all_kept: Path) -> None:
    loaded = aral.load_run(all_kept)
    data = loaded.data()
    learner = loaded.learner(data=data)
    found = learner.predict(data.pool, {aral.Need.PROPAGATED}, aral.Stream.root(0)).get(aral.Need.PROPAGATED)
    answers = {a.image_id: a.class_index for each in loaded.rounds for a in each.answers.values()}
    assert len(answers) == 12
    agree = [int(found[row].argmax()) == answer for row, answer in answers.items()]
    assert sum(agree) >= 7, "neighbours may outvote a label"
    with pytest.raises(ValueError, match="no labels to propagate"):
        loaded.learner().predict(data.pool, {aral.Need.PROPAGATED}, aral.Stream.root(0))


@pytest.mark.parametrize("method", ["aral+random", "linear+random"])
def test_predictions_on_pixels_are_those_of_the_learner(method: str, tmp_path: Path) -> None:
    spec = spec_of(method)
    data = load_data(spec)
    loaded = aral.load_run(run(spec, data, tmp_path / "run"))
    expected = loaded.learner().predict(data.test.images, {aral.Need.PROBABILITIES}, aral.Stream.root(0))
    probabilities = expected.get(aral.Need.PROBABILITIES).numpy()
    for images in (data.test.images, data.test.images.pixels, data.test.images.pixels.numpy()[:, 0]):
        assert np.allclose(loaded.predict(images), probabilities, atol=1e-6)
    # Images of another size and in colour are brought to what the networks read.
    large = np.repeat(np.repeat(data.test.images.pixels.numpy()[:, 0], 4, 1), 4, 2)[..., None].repeat(3, 3)
    assert loaded.predict(large).shape == (30, 10)
    agree = loaded.predict(large).argmax(1) == probabilities.argmax(1)
    assert agree.mean() > 0.8


def test_a_folder_gives_a_row_for_each_file(all_kept: Path, tmp_path: Path) -> None:
    loaded = aral.load_run(all_kept)
    pixels = load_data(loaded.settings).test.images.pixels[:3]
    for row, image in enumerate(pixels):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{row}.png")
    (tmp_path / "notes.txt").write_text("no image")
    rows = loaded.predict(tmp_path)
    assert [row.path for row in rows] == ["0.png", "1.png", "2.png", "notes.txt"] and rows[3].problem
    assert np.allclose([row.probabilities for row in rows[:3]], loaded.predict(pixels), atol=1e-6)
    with pytest.raises(BadInput, match="no folder"):
        loaded.predict(tmp_path / "missing")


def test_a_run_on_features_reads_images_through_its_backbone(on_features: Path) -> None:
    loaded = aral.load_run(on_features)
    data = load_data(loaded.settings)
    pixels = load_data(spec_of("supervised+random")).test.images.pixels
    known = loaded.predict(data.test.images)
    assert evaluate(loaded.learner(), data.test).accuracy == loaded.rounds[-1].accuracy
    assert (known.argmax(1) == data.test.classes).mean() == pytest.approx(loaded.rounds[-1].accuracy)
    assert np.allclose(loaded.predict(pixels), known, atol=0.02), "the cache keeps float16"
    backbone = loaded.classifier().backbone()
    assert backbone is not None
    with pytest.raises(BadInput, match=f"5 columns, but the classifier reads {backbone.feature_size}"):
        loaded.predict(np.zeros((2, 5), np.float32))


def test_features_of_elsewhere_are_read_as_features_only(tmp_path: Path) -> None:
    classes = np.arange(40) % 4
    rows = (3 * np.eye(6)[classes] + np.random.default_rng(0).normal(size=(40, 6))).astype(np.float32)
    np.save(tmp_path / "features.npy", rows)
    (tmp_path / "labels.csv").write_text("label\n" + "\n".join(map(str, classes)))
    arrays = FeatureArrays(features=str(tmp_path / "features.npy"), labels=str(tmp_path / "labels.csv"))
    spec = resolve(
        "",
        Method.parse("linear"),
        ["rounds.query_size=8", "rounds.budget=16"],
        PLAIN,
        arrays=arrays,
        threads=1,
    )
    loaded = aral.load_run(run(spec, load_data(spec), tmp_path / "run"))
    assert (loaded.predict(rows).argmax(1) == classes).mean() > 0.9
    for images in (tmp_path, np.zeros((1, 8, 8), np.uint8)):
        with pytest.raises(BadInput, match="computed elsewhere"):
            loaded.predict(images)


def test_generated_images_are_of_the_given_classes(all_kept: Path) -> None:
    loaded = aral.load_run(all_kept)
    images = loaded.generate(["3", 7], 2)
    assert images.shape == (2, 2, *load_data(loaded.settings).pool.shape)
    assert 0 <= float(images.min()) and float(images.max()) <= 1
    assert torch.equal(images, loaded.generate([3, 7], 2))
    assert not torch.equal(images, loaded.generate([3, 7], 2, seed=1))
    assert not torch.equal(images, loaded.generate([4, 7], 2))
    for classes, count, problem in (
        (["ten"], 1, "Unknown class"),
        ([10], 1, "no class 10"),
        ([1], 0, "0 images"),
    ):
        with pytest.raises(BadInput, match=problem):
            loaded.generate(classes, count)


def test_by_default_the_last_round_is_kept(on_features: Path) -> None:
    loaded = aral.load_run(on_features)
    with pytest.raises(BadInput, match="has no generator"):
        loaded.generate([1], 1)
    with pytest.raises(BadInput, match=r"(?s)round 0 .* not kept. Rounds whose weights are kept: 1, 2\."):
        loaded.learner(0)
    with pytest.raises(BadInput, match="no trained round 3: it has trained rounds 0 to 2"):
        loaded.learner(3)


def test_what_is_no_run_is_refused(tmp_path: Path, all_kept: Path) -> None:
    with pytest.raises(BadInput, match="not a run folder"):
        aral.load_run(tmp_path)
    with pytest.raises(BadInput, match="not a run folder"):
        aral.load_run(tmp_path / "missing")
    copy = tmp_path / "copy"
    shutil.copytree(all_kept, copy)
    (copy / "settings.json").unlink()
    with pytest.raises(BadInput, match="not a run folder"):
        aral.load_run(copy)


def test_damaged_weights_and_missing_data_are_named(tmp_path: Path, all_kept: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(all_kept, copy)
    next(copy.glob("checkpoints/round-002-*/tensors.safetensors")).write_bytes(b"")
    loaded = aral.load_run(copy)
    with pytest.raises(BadInput, match=r"(?s)damaged.*aral resume"):
        loaded.learner()
    loaded.learner(1)


def test_a_run_whose_photos_are_gone_still_predicts(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name, grey in (("dark", 20), ("light", 220)):
        (photos / name).mkdir(parents=True)
        for row in range(8):
            Image.new("RGB", (8, 8), (grey + row,) * 3).save(photos / name / f"{row}.png")
    method = Method.parse("supervised+random")
    toy = ("rounds.query_size=4", "rounds.budget=4", "side=8")
    spec = resolve(str(photos), method, [*toy, *NETWORKS["supervised"], "learner.networks.scale=mlp"], PLAIN)
    folder = run(spec, load_data(spec), tmp_path / "run")
    assert aral.load_run(folder).data().class_names == ("dark", "light")
    for each in (photos / "dark").iterdir():
        Image.new("RGB", (8, 8)).save(each)
    with pytest.raises(BadInput, match="are others than those of the run"):
        aral.load_run(folder).data()
    shutil.rmtree(photos)
    loaded = aral.load_run(folder)
    with pytest.raises(BadInput, match=r"The data of the run .* cannot be read: There is no folder"):
        loaded.data()
    assert loaded.predict(np.zeros((2, 8, 8, 3), np.uint8)).shape == (2, 2)


def test_an_older_run_has_the_size_of_its_images_from_the_data(tmp_path: Path, all_kept: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(all_kept, copy)
    expected = aral.load_run(copy).predict(np.zeros((1, 8, 8), np.uint8))
    with Store.open(copy, create=False) as store:
        store.record_setting("image shape", None)
    assert np.array_equal(aral.load_run(copy).predict(np.zeros((1, 8, 8), np.uint8)), expected)


# Keeping the weights of every round


def stop_after(calls: int) -> Callable[[], bool]:
    left = iter(range(calls))
    return lambda: next(left, None) is None


def test_keeping_all_changes_no_result_and_survives_a_stop(all_kept: Path, tmp_path: Path) -> None:
    spec = spec_of("aral+random", KEEP_ALL)
    data = load_data(spec)
    last = aral.load_run(run(spec_of("aral+random"), data, tmp_path / "last"))
    assert last.kept_rounds == (1, 2)
    with pytest.raises(Stopped):
        run(spec, data, tmp_path / "stopped", stopping=stop_after(4))
    stopped = aral.load_run(run(spec, data, tmp_path / "stopped"))
    assert stopped.kept_rounds == (0, 1, 2)
    whole = aral.load_run(all_kept)
    for other in (last, stopped):
        assert [each.accuracy for each in other.rounds] == [each.accuracy for each in whole.rounds]
        state = other.learner().state_dict()
        assert all(torch.equal(value, state[name]) for name, value in whole.learner().state_dict().items())
    state = stopped.learner(0).state_dict()
    assert all(torch.equal(value, state[name]) for name, value in whole.learner(0).state_dict().items())


def test_what_is_kept_may_be_changed_when_a_run_is_resumed(tmp_path: Path) -> None:
    spec = spec_of("supervised+random")
    data = load_data(spec)
    with pytest.raises(Stopped):
        run(spec, data, tmp_path / "run", stopping=stop_after(1))
    loaded = aral.load_run(run(spec_of("supervised+random", KEEP_ALL), data, tmp_path / "run"))
    assert loaded.kept_rounds == (0, 1, 2) and loaded.settings.rounds.keep_checkpoints == "all"
