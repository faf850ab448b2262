"""``aral select``: a folder in, a table of images out; what is refused."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.cli import selecting
from aral.representations import RepresentationSettings
from aral.testing import text_image_backbone

QUICK = ("--representation", "gradients")


@pytest.fixture
def photos(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stripes of three directions, eight of each, in sub-folders, and a file that is no image."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    noise = np.random.default_rng(0)
    wave = (np.arange(32) // 4 % 2) * 200
    patterns = {"across": wave[None].repeat(32, 0), "down": wave[:, None].repeat(32, 1)}
    patterns["diagonal"] = ((np.arange(32)[:, None] + np.arange(32)) // 4 % 2) * 200
    for name, pattern in patterns.items():
        (here / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = (pattern + noise.integers(0, 40, (32, 32))).astype(np.uint8)
            Image.fromarray(pixels).save(here / "photos" / name / f"{number}.png")
    (here / "photos" / "down" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return here / "photos"


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("strategy", ["diverse", "typical", "centroids"])
def test_one_of_each_group_without_labels(aral, photos: Path, capsys, strategy: str) -> None:
    assert aral("select", "photos", "--n", "3", "--strategy", strategy, *QUICK) == 0
    said = capsys.readouterr()
    rows = table(said.out)
    assert {row["path"].partition("/")[0] for row in rows} == {"across", "down", "diagonal"}
    assert [row["rank"] for row in rows] == ["1", "2", "3"] and all(row["reason"] for row in rows)
    assert "1 file could not be read, such as down/bad.png" in said.err


def test_labelled_images_are_left_out_and_uncertain_uses_them(aral, photos: Path, capsys) -> None:
    labels = [f"{group}/{number}.png,{group}" for group in ("across", "down") for number in range(4)]
    Path("labels.csv").write_text(
        "path,label\n" + "\n".join([*labels, "gone.png,down", "down/7.png,"]) + "\n"
    )
    words = ("--strategy", "uncertain", "--labels", "labels.csv", "--out", "next.csv", "--json")
    assert aral("select", "photos", "--n", "4", *words, *QUICK) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert "8 images have a label" in said.err and "1 path of it not among the images" in said.err
    paths = [row["path"] for row in found["selected"]]
    assert found["strategy"] == "uncertainty-herding"
    assert found["selected"][0]["path"].startswith("diagonal/")  # of neither class
    assert not {line.partition(",")[0] for line in labels} & set(paths)
    assert [row["path"] for row in table(Path("next.csv").read_text("utf-8-sig"))] == paths


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("photos", "--n", "3", "--strategy", "uncertain"), "'uncertain' needs labels of images"),
        (
            ("photos", "--n", "3", "--strategy", "badge", "--labels", "one.csv"),
            "'badge' needs labels of images",
        ),
        (("photos", "--n", "3", "--strategy", "divers"), "Unknown acquisition 'divers'"),
        (("photos", "--n", "3", "--strategy", "margin"), "'margin' needs labels of images"),
        (("photos", "--n", "3", "--strategy", "vaal"), "needs sampler logits"),
        (("photos", "--n", "25"), "25 images but only 24"),
        (("elsewhere", "--n", "3"), "There is no folder elsewhere"),
        (("empty", "--n", "3"), "There is no image in empty"),
        (("photos", "--n", "3", "--labels", "none.csv"), "cannot be read"),
        (("photos", "--n", "3", "--labels", "other.csv"), "need the columns path and label; found: a, b"),
        (("photos", "--n", "3", "--labels", "twice.csv"), "line 3: 'x.png' has two classes"),
    ],
)
def test_bad_input_ends_with_2_and_says_what_is_wrong(
    aral, photos: Path, capsys, words: tuple[str, ...], said: str
) -> None:
    Path("empty").mkdir()
    Path("one.csv").write_text("path,label\ndown/1.png,down\n")
    Path("other.csv").write_text("a,b\n1,2\n")
    Path("twice.csv").write_text("path,label\nx.png,cat\nx.png,dog\n")
    assert aral("select", *words, *QUICK) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")


@pytest.fixture
def coloured(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[RepresentationSettings]:
    """Plain images from black over dark red to red, and a green one; a backbone with text that knows colours."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    (here / "colours").mkdir()
    for name, colour in {"1": (60, 0, 0), "2": (240, 20, 0), "3": (0, 200, 0), "4": (140, 0, 0)}.items():
        Image.new("RGB", (8, 8), colour).save(here / "colours" / f"{name}.png")
    asked: list[RepresentationSettings] = []

    def make(settings: RepresentationSettings, download: bool = False) -> object:
        asked.append(settings)
        return text_image_backbone()

    monkeypatch.setattr(selecting, "make_backbone", make)
    return asked


def test_images_like_words_best_first(aral, coloured: list[RepresentationSettings], capsys) -> None:
    words = ("--text", "something  red", "--representation", "hf:tiny")
    assert aral("select", "colours", "--n", "3", *words) == 0
    rows = table(capsys.readouterr().out)
    assert [row["path"] for row in rows] == ["2.png", "4.png", "1.png"]
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    scores = [float(row["score"]) for row in rows]
    # (240, 20, 0) and (255, 0, 0), less 127, divided by 128: (0.883, −0.836, −0.992) and (1, −0.992, −0.992).
    assert scores == sorted(scores, reverse=True) and scores[0] == pytest.approx(0.9973, abs=1e-3)
    assert {row["reason"] for row in rows} == {'similar to "something red"'}
    assert [each.backbone for each in coloured] == ["hf:tiny"]


def test_words_select_no_labelled_image_and_write_a_file(
    aral, coloured: list[RepresentationSettings], capsys
) -> None:
    Path("labels.csv").write_text("path,label\n2.png,red\n")
    words = ("--text", "red", "--labels", "labels.csv", "--out", "next.csv", "--json")
    assert aral("select", "colours", "--n", "2", *words) == 0
    said = capsys.readouterr()
    assert [row["path"] for row in table(Path("next.csv").read_text("utf-8-sig"))] == ["4.png", "1.png"]
    assert json.loads(said.out)["strategy"] == "text" and "1 image has a label" in said.err
    assert aral("select", "colours", "--n", "4", *words) == 2
    assert "4 images but only 3 without a label" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--text", "red"), "'gradients' has no text tower.*hf:NAME of CLIP and SigLIP"),
        (("--text", " "), "--text is empty"),
        (("--text", "red", "--strategy", "diverse"), "--text and --strategy contradict each other"),
    ],
)
def test_words_that_cannot_be_used_are_refused(
    aral, photos: Path, capsys, words: tuple[str, ...], said: str
) -> None:
    assert aral("select", "photos", "--n", "3", *words, *QUICK) == 2
    assert re.search(said, capsys.readouterr().err.replace("\n", " "))
