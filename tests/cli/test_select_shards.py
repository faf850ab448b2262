"""``aral select`` of shards: addresses in, a table by key out; what is refused, and what a stop leaves."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aral.benchmarking import sharded_selection
from aral.testing import parquet_bytes, small_images, write_parquet, write_tar

QUICK = ("--representation", "gradients")
IMAGES = small_images(40)
KEYS = [f"{number:02}" for number in range(40)]


@pytest.fixture
def pool(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Parquet file and a tar of 20 images each in ``pool``, and the same images as files in ``photos``."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    for folder in ("pool", "photos"):
        (here / folder).mkdir()
    write_parquet(here / "pool" / "a.parquet", KEYS[:20], IMAGES[:20])
    write_tar(here / "pool" / "b.tar", KEYS[20:], [*IMAGES[20:39], b"no image"])
    for key, content in zip(KEYS, IMAGES[:39], strict=False):
        (here / "photos" / f"{key}.png").write_bytes(content)
    return here / "pool"


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_shards_give_the_images_of_a_folder_as_csv_and_json(aral, pool: Path, capsys) -> None:
    Path("labels.csv").write_text("key,label\n" + "".join(f"{key},{int(key) % 2}\n" for key in KEYS[5:35:7]))
    Path("paths.csv").write_text(
        "path,label\n" + "".join(f"{key}.png,{int(key) % 2}\n" for key in KEYS[5:35:7])
    )
    words = ("--n", "4", "--strategy", "margin", "--seed", "2", *QUICK)
    assert aral("select", "photos", *words, "--labels", "paths.csv") == 0
    expected = table(capsys.readouterr().out)
    assert aral("select", "pool", *words, "--labels", "labels.csv") == 0
    said = capsys.readouterr()
    rows = table(said.out)
    assert list(rows[0]) == ["key", "shard", "row", "rank", "score", "reason"]
    assert [row["key"] for row in rows] == [row["path"].removesuffix(".png") for row in expected]
    assert [row["score"] for row in rows] == [row["score"] for row in expected]
    for row in rows:
        name = "a.parquet" if int(row["key"]) < 20 else "b.tar"
        assert row["shard"] == str(pool / name) and int(row["row"]) == int(row["key"]) % 20
    for sentence in (
        "1 shard: Parquet, images in column image.bytes, keys: column id; columns that are not read: label.",
        "1 shard: WebDataset, one image member a sample, keys: names of members.",
        f"1 image could not be read, such as 39 in {pool}/b.tar (not_an_image).",
        "Members of tars that are not read: 20 of cls.",
        "5 images have a label; 0 keys of the labels not among the images.",
    ):
        assert sentence in said.err
    again = (
        "select",
        "pool/b.tar",
        "pool/*.parquet",
        "pool/a.parquet",
        "--n",
        "3",
        "--out",
        "next.csv",
        "--json",
    )
    assert aral(*again, *QUICK) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["strategy"] == "maxherding" and "1 shard is named twice" in said.err
    assert found["unreadable"] == [
        {"key": "39", "shard": str(pool / "b.tar"), "reason": "not_an_image"}
        | {"detail": found["unreadable"][0]["detail"]}
    ]
    written = table(Path("next.csv").read_text("utf-8-sig"))
    assert [row["key"] for row in written] == [row["key"] for row in found["selected"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("both",),
            r"The folder both holds images, such as 1.png, and shards, such as a.parquet. Name the pool",
        ),
        (("photos", "pool"), "The folder photos holds 39 images but no shard"),
        (("pool/*.zip",), "No file matches pool/*.zip"),
        (("pool/none.tar",), "There is no shard pool/none.tar"),
        (("elsewhere",), "There is no folder elsewhere"),
        (("photos/00.png",), "photos/00.png is neither a Parquet file nor a tar"),
        (
            ("photos", "--workers", "2", "--keys", "id"),
            "--keys, --workers are for shards, and photos is a folder",
        ),
        (("pool", "--text", "red"), "--text selects from a folder of images, not from shards"),
        (("pool", "--strategy", "uncertain"), "'uncertain' needs labels of images"),
        (("pool", "--strategy", "divers"), "Unknown acquisition 'divers'"),
        (("pool", "--engine", "cloud"), "Unknown engine 'cloud'"),
        (("pool", "--address", "x:1"), "--address is an option of --engine ray"),
        (("pool", "--labels", "paths.csv"), "need the columns key and label; found: a, label"),
        (("keys.parquet",), "id, key. Choose one: --keys id, or number the rows: --keys rows"),
        (("keys.parquet", "--keys", "name"), "no column 'name' of texts"),
        (("keys.parquet", "--keys", "id", "--n", "41"), "41 images but only 40 without a label"),
        (
            ("pool/a.parquet", "pool/b.tar", "--strategy", "robust-core-set"),
            "'robust-core-set' cannot be computed by shards",
        ),
    ],
)
def test_bad_input_ends_with_2_and_says_what_to_type(
    aral, pool: Path, capsys, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(sharded_selection, "ONE_ARRAY", 10)
    Path("both").mkdir()
    Path("both/1.png").write_bytes(IMAGES[0])
    write_parquet(Path("both/a.parquet"), KEYS[:2], IMAGES[:2])
    Path("paths.csv").write_text("a,label\n1,2\n")
    Path("keys.parquet").write_bytes(parquet_bytes({"image": IMAGES, "id": KEYS, "key": KEYS}))
    assert aral("select", "--n", "3", *words, *QUICK) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert not list(Path("cache").rglob("*.npy"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_killed_or_stopped_continues(
    aral, here: Path, monkeypatch: pytest.MonkeyPatch, capsys, number: signal.Signals
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    for folder in ("pool", "photos"):
        (here / folder).mkdir()
    for shard in range(8):
        part = slice(5 * shard, 5 * shard + 5)
        write_tar(here / "pool" / f"{shard}.tar", KEYS[part], IMAGES[part])
    for key, content in zip(KEYS, IMAGES, strict=True):
        (here / "photos" / f"{key}.png").write_bytes(content)
    words = ("select", "pool", "--n", "5", "--features", "features", "--workers", "1", *QUICK)
    command = subprocess.Popen(
        [sys.executable, "-m", "aral", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    )
    deadline = time.monotonic() + 60
    while not list(Path("features").glob("*/*.json")):
        assert command.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    command.send_signal(number)
    out, err = command.communicate(timeout=60)
    assert command.returncode == (-number if number == signal.SIGKILL else 128 + number)
    if number == signal.SIGINT:
        assert b"Run the same command to continue." in err and b"of 8 jobs done" in err
    assert not out
    kept = {path: path.stat().st_mtime_ns for path in Path("features").glob("*/*.json")}
    assert len(kept) < 8
    assert aral(*words) == 0
    found = table(capsys.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not list(Path("features").rglob(".*"))
    assert aral("select", "photos", *words[2:4], *QUICK) == 0
    expected = [row["path"].removesuffix(".png") for row in table(capsys.readouterr().out)]
    assert [row["key"] for row in found] == expected
