"""`aral run` and `aral compare` on files of one's own: an .npz file, a folder of images with a table of labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.benchmarking import read_result, read_run
from aral.loop.reading import store_reading

from .conftest import Aral

TINY = ("--budget=8", "--query-size=4", "--method=linear+random", "--threads=1", "--representation=gradients")


@pytest.fixture(autouse=True)
def files(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty images, light or dark, as arrays and as files; pictures of reports are tested elsewhere."""
    classes = np.arange(60) % 2
    noise = np.random.default_rng(0).integers(0, 60, (60, 12, 10), dtype=np.uint8)
    images = (noise + 150 * classes[:, None, None]).astype(np.uint8)
    np.savez("shades.npz", images=images, labels=classes)
    Path("photos").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(f"photos/{number}.png")
    lines = [f"{number}.png,{('dark', 'light')[label]}" for number, label in enumerate(classes)]
    Path("labels.csv").write_text("file,label\n" + "\n".join([*lines, "gone.png,dark"]))
    for name in ("html.svg_bytes", "files.svg_bytes", "files.png_bytes"):
        monkeypatch.setattr(f"aral.reports.{name}", lambda figure: b"<svg/>")


def test_a_run_on_arrays_resumes_from_anywhere_and_refuses_other_arrays(
    aral: Aral, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", "shades.npz", *TINY, "--test-share=0.3")
    assert aral(*words) == 0
    folder = Path("runs/shades-gradients-linear+random-seed0").absolute()
    record = read_run(folder)
    assert record.data.title.startswith("shades (test set: 30% of the images of each class")
    with store_reading(folder) as store:
        assert (store.setting("pool size"), store.setting("test size")) == (42, 18)
    assert aral(*words) == 0, "the same command continues"
    monkeypatch.chdir("runs")
    assert aral("resume", str(folder)) == 0
    monkeypatch.chdir("..")
    with np.load("shades.npz") as old:
        np.savez("shades.npz", images=255 - old["images"], labels=old["labels"])
    capsys.readouterr()
    assert aral("resume", str(folder)) == 2
    assert "started on other images" in capsys.readouterr().err


def test_a_run_on_a_folder_with_a_table_of_labels(aral: Aral, capsys: pytest.CaptureFixture[str]) -> None:
    assert aral("run", "photos", "--labels=labels.csv", *TINY, "--json") == 0
    table = json.loads(capsys.readouterr().out)
    assert table["note"].startswith("1 row left out; test set: 20% of the images of each class")
    record = read_run(Path("runs/photos-gradients-linear+random-seed0"))
    assert record.data.class_names == ("dark", "light") and len(record.rounds) == 2
    assert aral("resume", "runs/photos-gradients-linear+random-seed0") == 0
    capsys.readouterr()
    assert aral("run", "photos", *TINY) == 2, "the folder alone has no classes"
    assert "two classes are needed" in " ".join(capsys.readouterr().err.split())


def test_labels_that_changed_are_refused_when_a_run_goes_on(
    aral: Aral, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", "photos", "--labels=labels.csv", *TINY)
    assert aral(*words) == 0
    text = Path("labels.csv").read_text()
    Path("labels.csv").write_text(text.replace("dark", "x").replace("light", "dark").replace("x", "light"))
    assert aral(*words) == 2
    assert "started on other" in capsys.readouterr().err


def test_methods_are_compared_on_both(aral: Aral) -> None:
    tiny = [each for each in TINY if not each.startswith(("--method", "--threads"))]
    words = ("--methods=linear+random,linear+entropy", *tiny, "--seeds=1", "--workers=1")
    assert aral("compare", "shades.npz", *words) == 0
    assert aral("compare", "photos", "--labels=labels.csv", *words) == 0
    for folder in ("compare-shades-gradients", "compare-photos-gradients"):
        result = read_result(Path("runs") / folder)
        assert [unit.state for unit in result.units] == ["done", "done"]
        assert result.parity[0].verified == 2 and not result.parity[0].differences


def test_the_settings_of_pool_and_oracle_are_in_the_report(aral: Aral) -> None:
    changes = ("--set=pool.imbalance=0.5", "--set=pool.label_noise=0.25", "--set=oracle.cost_by_class.1=2")
    assert aral("run", "shades.npz", *TINY, *changes, "--folder=run") == 0
    page = Path("run/report.html").read_text()
    assert "imbalance: 36 of 48 pool images, 24 to 12 of a class" in page
    assert "label noise: symmetric, 9 of 36 pool labels wrong" in page
    assert "cost_by_class" in page and "test set: 20% of the images" in page
    assert read_run(Path("run")).rounds[-1].numbers["cost"] <= 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none.npz",), "none.npz. Check the path"),
        (("photos", "--labels=none.csv"), "There is no file"),
        (("shades.npz", "--labels=labels.csv"), "'shades' has labels and a test set of its own"),
        (("digits", "--labels=labels.csv"), "'digits' has labels and a test set of its own"),
        (("digits", "--test-share=0.5"), "'digits' has labels and a test set of its own"),
        (("shades.npz", "--test-share=1.5"), "Setting test_share"),
        (("shades.npz", "--set=pool.class_shares.x=0.1"), "Unknown class 'x'"),
        (("shades.npz", "--set=oracle.wrong_by_class.x=0.1"), "Unknown class 'x'"),
        (("shades.npz", "--set=pool.imbalance=2"), "Setting pool.imbalance"),
        (("shades.npz", "--set=pool.label_nose=0.1"), "Did you mean 'pool.label_noise'"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_type(
    aral: Aral, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert aral("run", *words, *TINY) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_varied_settings_are_listed_by_a_dry_run_and_are_methods(
    aral: Aral, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "compare", "shades.npz", "--representation=gradients", "--methods=linear+random,supervised+random",
        "--budget=8", "--query-size=4", "--steps=2", "--seeds=1", "--workers=1",
        "--vary=learner.inverse_penalty=1.0,0.1,-1",
    )  # fmt: skip
    assert aral(*words, "--dry-run") == 0
    said = capsys.readouterr().out
    assert 'vary = ["learner.inverse_penalty=1.0,0.1,-1"]' in said
    assert "# linear+random@inverse_penalty=0.1-seed0" in said and "# supervised+random-seed0" in said
    assert "# Not compared: linear+random with learner.inverse_penalty=-1: Setting" in said
    assert "# Not compared: supervised+random with learner.inverse_penalty: " in said
    Path("grid.toml").write_text(said)
    assert aral("compare", "--grid=grid.toml", "--dry-run") == 0
    assert capsys.readouterr().out == said
    assert aral(*words) == 0
    caught = capsys.readouterr()
    assert "linear+random@inverse_penalty=0.1" in caught.out and "Not compared: " in caught.err
    assert aral("compare", "--grid=grid.toml", "--vary=learner.inverse_penalty=1,2") == 2


def test_a_comparison_is_written_as_tables(aral: Aral, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        assert aral("run", "shades.npz", *TINY, f"--seed={seed}") == 0
    folders = [f"runs/shades-gradients-linear+random-seed{seed}" for seed in (0, 1)]
    assert aral("report", *folders, "--table=out/a.tex", "--table=out/a.md") == 0
    assert "linear+random & " in Path("out/a.tex").read_text() and "2 seeds" in Path("out/a.md").read_text()
    assert aral("report", folders[0], "--table=one.md") == 0 and "a single seed" in Path("one.md").read_text()
    capsys.readouterr()
    assert aral("report", folders[0], "--table=a.pdf") == 2
    assert "Try --table accuracies.tex" in capsys.readouterr().err
