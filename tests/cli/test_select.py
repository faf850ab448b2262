"""``aral select``: a folder in, a table of images out; what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
