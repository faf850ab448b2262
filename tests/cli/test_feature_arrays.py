"""`aral run` and `aral compare` on features of one's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from aral.benchmarking import learner_titles, read_result, read_run
from aral.cli.options import arrays_of
from aral.errors import BadInput
from aral.loop.reading import store_reading

from .conftest import Aral

ARRAYS = ("--features", "embeddings.npy", "--labels", "labels.csv")
TINY = ("--budget=8", "--query-size=4", "--set=learner.prediction.batch=50")


@pytest.fixture(autouse=True)
def arrays(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty rows of three classes around three points; pictures of reports are tested elsewhere."""
    classes = np.arange(60) % 3
    centres = np.array([[4.0, 0, 0, 0], [0, 4.0, 0, 0], [0, 0, 4.0, 0]])
    np.save("embeddings.npy", centres[classes] + np.random.default_rng(0).normal(size=(60, 4)))
    Path("labels.csv").write_text("label\n" + "\n".join(f"kind {number}" for number in classes))
    for name in ("html.svg_bytes", "files.svg_bytes", "files.png_bytes"):
        monkeypatch.setattr(f"aral.reports.{name}", lambda figure: b"<svg/>")


def changed() -> None:
    features = np.load("embeddings.npy")
    features[0] += 1
    np.save("embeddings.npy", features)


def only(pattern: str) -> Path:
    (found,) = Path("runs").glob(pattern)
    return found


def test_a_run_is_kept_by_its_arrays_and_resumes(
    aral: Aral, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", *ARRAYS, *TINY, "--method=linear+random", "--test-share=0.4")
    assert aral(*words) == 0
    folder = only("embeddings-*-linear+random-seed0")
    record = read_run(folder)
    assert record.data.title == "embeddings.npy (test set: 40% of the rows of each class)"
    assert record.data.class_names == ("kind 0", "kind 1", "kind 2")
    accuracies = [each.accuracy for each in record.rounds]
    assert len(accuracies) == 2 and (accuracies[-1] or 0) > 0.6
    with store_reading(folder) as store:
        about = store.setting("features of")
        assert isinstance(about, dict) and folder.name.split("-")[1] == str(about["digest"])[:8]
        assert (store.setting("pool size"), store.setting("test size")) == (36, 24)
    assert aral(*words) == 0, "the same command continues"
    target = folder.absolute()
    monkeypatch.chdir("runs")
    assert aral("resume", str(target)) == 0, "from anywhere"
    monkeypatch.chdir("..")
    changed()
    capsys.readouterr()
    assert aral("resume", str(target)) == 2
    assert "other arrays than when this was started" in capsys.readouterr().err
    assert aral(*words) == 0
    assert len(list(Path("runs").iterdir())) == 2, "other arrays are another run"


def test_methods_are_compared_on_them(aral: Aral, capsys: pytest.CaptureFixture[str]) -> None:
    """Logistic regression has no training steps, so --steps is the other method's."""
    methods = ("--methods=linear+random,supervised+random", "--steps=2")
    words = (*ARRAYS, *TINY, *methods, "--seeds=1", "--workers=1", "--full", "--full-learner=linear")
    assert aral("compare", *words) == 0
    said = capsys.readouterr().out
    assert "(2 runs verified)" in said and "(linear, all labels in one round, mean of 1 run)" in said
    assert aral("compare", *words, "--json") == 0
    table = json.loads(capsys.readouterr().out)
    folder = only("compare-embeddings-*")
    result = read_result(folder)
    assert all(unit.state == "done" for unit in result.units) and len(result.units) == 2
    assert "25% of the rows of each class" in table["data"]
    assert "25% of the rows of each class" in (folder / "comparison.html").read_text()
    assert result.grid.arrays is not None and result.grid.arrays.digest.startswith(folder.name.split("-")[2])


def test_a_grid_file_holds_them(aral: Aral, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("compare", *ARRAYS, "--methods=linear", "--seeds=2", "--test-share=0.5", "--dry-run")
    assert aral(*words) == 0
    said = capsys.readouterr().out
    Path("grid.toml").write_text(said)
    assert aral("compare", "--grid=grid.toml", "--dry-run") == 0
    assert capsys.readouterr().out == said and "test_share" in said


@pytest.mark.parametrize("title", sorted(set(learner_titles()) - {"aral:printed"}))
def test_every_learner_runs_on_them(aral: Aral, title: str) -> None:
    """With principal components and without, and its networks at their smallest."""
    sizes = ("encoder_sizes", "generator_sizes", "discriminator_sizes")
    networks = [f"--set=learner.networks.{size}=[4]" for size in sizes]
    if title == "linear":
        networks = []
    elif title in ("supervised", "pseudo-label", "fixmatch"):
        networks = networks[2:]
    elif "no-encoder" in title:
        networks = networks[1:]
    steps = [] if title == "linear" else ["--steps=2"]
    pretraining = ["--set=learner.pretraining.steps=2"] if title.startswith("graph-ssl") else []
    components = (
        "--set=representation.components=0" if "aral" in title else "--set=representation.components=2"
    )
    words = (*ARRAYS, *TINY, *networks, *steps, *pretraining, components, "--threads=1")
    assert aral("run", *words, f"--method={title}+random", "--folder=run") == 0
    assert len(read_run(Path("run")).rounds) == 2
    shutil.rmtree("run")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--methods=linear+aral",), "'aral' needs sampler logits"),
        (("--methods=linear", "--set=learner.networks.scale=conv32"), "not used by 'linear'"),
        (("--methods=supervised", "--set=learner.networks.scale=conv32"), "do not fit the 'conv32' networks"),
        (("--methods=linear", "--representation=gradients"), "no images for 'gradients'"),
        (("--methods=linear", "--set=representation.backbone=pixels"), "no images for 'pixels'"),
        (("--methods=linear", "--budget=100"), "pool of 'embeddings.npy' has only 45 images"),
        (("--test-share=1",), "--test-share 1 is not between 0 and 1"),
        (("--test-features=embeddings.npy",), "--test-features needs --test-labels"),
        (("digits",), "Give either a data set, --features with --labels, or a grid"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(
    aral: Aral, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert aral("compare", *ARRAYS, "--seeds=1", "--workers=1", *words) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(Path().glob("runs/*/*/store.sqlite"))


def test_options_that_lack_or_contradict_another_are_named() -> None:
    some = Path("embeddings.npy"), Path("labels.csv")
    assert arrays_of(None, None, None, None, None) is None
    for given, said in (
        ((some[0], None, None, None, None), "--features needs --labels"),
        ((None, some[1], None, None, None), "--labels needs --features"),
        ((None, None, 0.5, None, None), "belong to --features"),
        ((None, None, None, *some), "belong to --features"),
        ((*some, 0.5, *some), "contradict"),
        ((*some, None, None, some[1]), "--test-labels needs --test-features"),
    ):
        with pytest.raises(BadInput, match=said):
            arrays_of(*given)
    found = arrays_of(*some, None, *some)
    assert found is not None and found.test_features == str(some[0].absolute()) and len(found.digest) == 64


def test_features_cannot_be_named_by_a_setting(aral: Aral, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("--set=arrays.features=embeddings.npy", "--set=arrays.labels=labels.csv")
    assert aral("run", "digits", "--method=linear", *settings) == 2
    assert "--features FEATURES.npy --labels" in capsys.readouterr().err
