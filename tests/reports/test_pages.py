"""Pages: complete, offline, accessible, and not to be fooled by names."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from aral.benchmarking import Conditions, Difference, Parity, compare_runs, read_run
from aral.errors import BadInput, RunFailed
from aral.loop import Store
from aral.reports import write_comparison, write_report
from aral.reports.html import report_page
from aral.reports.run_report import recall_table, rounds_table, state

MakeRun = Callable[..., Path]
HOSTILE = "<script>alert(1)</script>\"' onload=x &amp; {{ 7*7 }}"


VOID = {"meta", "img", "br", "source", "link", "hr", "input"}
LOADING = {"src", "href", "srcset", "poster", "data", "action", "formaction", "background"}


class Page(HTMLParser):
    """The elements of a page.

    Attributes:
        elements: names and attributes in order.
        text: all text, outside of styles.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.style = ""
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.style += data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of a name."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def addresses(self) -> list[str]:
        """Everything the page refers to."""
        return [
            value for _, attributes in self.elements for name, value in attributes.items() if name in LOADING
        ]

    def check_accessible(self) -> None:
        """One main heading, texts for images, scopes for heads, targets for links, no id twice."""
        assert len(self.all("h1")) == 1
        assert self.all("html") == [{"lang": "en"}]
        assert all(image["alt"] for image in self.all("img"))
        assert all(head["scope"] in ("row", "col") for head in self.all("th"))
        ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert {link["href"][1:] for link in self.all("a") if link["href"].startswith("#")} <= set(ids)
        levels = [int(name[1]) for name, _ in self.elements if name in ("h1", "h2", "h3", "h4")]
        assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time; where a test is of something else it is left out."""
    for name in ("html.svg_bytes", "files.svg_bytes", "files.png_bytes"):
        monkeypatch.setattr(f"aral.reports.{name}", lambda figure: b"<svg/>")


def check_offline(page: Page) -> None:
    """Nothing is loaded from anywhere, nothing can run."""
    assert page.addresses
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not page.all("script") + page.all("link") + page.all("iframe") + page.all("base")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "url(" not in page.style and "@import" not in page.style


def test_a_report_says_everything(make_run: MakeRun) -> None:
    page = Page(write_report(read_run(make_run())).read_text())
    page.check_accessible()
    check_offline(page)
    for words in (
        "aral+aral on shapes (JPEG copy)", "75.00 %", "20 of 40", "1 min 25 s", "2 rounds are complete.",
        "image 25, score -0.25", "surely unlabelled", "skip", "star", "2 phases were skipped", "latent KL",
        '"steps": 4', "Most frequent mistakes",
    ):  # fmt: skip
        assert words in page.text, words
    assert "collapsed" not in page.text
    alternatives = [image["alt"] for image in page.all("img")]
    assert "Learning curve, test accuracy: 50.0 % with 10 labels, 75.0 % with 20 labels." in alternatives
    assert [words for words in alternatives if words.startswith("Image ")] == [
        "Image 25, star", "Image 23, skip", "Image 5, star", "Image 3, skip",
    ]  # fmt: skip
    assert alternatives.count("Generated images of class square") == 1
    assert sum(words.startswith("Original ") for words in alternatives) == 5
    shares = [cell["style"] for cell in page.all("td") if "style" in cell]
    assert shares[:3] == ["--share: 0.562", "--share: 0.188", "--share: 0.000"]


def test_files_beside_the_page(make_run: MakeRun) -> None:
    folder = make_run()
    before = {path.name for path in folder.iterdir()}
    assert write_report(read_run(folder), reference=0.9) == folder / "report.html"
    made = {path.name for path in folder.iterdir()} - before
    assert made == {"report.html", "curve.png", "curve.svg", "rounds.csv", "rounds.json"}
    with Image.open(folder / "curve.png") as picture:
        assert picture.width > 1000
    rows = list(csv.DictReader((folder / "rounds.csv").read_text().splitlines()))
    assert [float(row["value"]) for row in rows if row["metric"] == "accuracy"] == [0.5, 0.75]
    assert len(json.loads((folder / "rounds.json").read_text())) == len(rows)
    first = (folder / "report.html").read_bytes()
    write_report(read_run(folder), reference=0.9)
    assert (folder / "report.html").read_bytes() == first


@pytest.mark.usefixtures("no_charts")
def test_hostile_names_stay_text(make_run: MakeRun) -> None:
    folder = make_run(
        class_names=(HOSTILE, "b", HOSTILE), method=HOSTILE, data=HOSTILE, note=HOSTILE,
        reasons=(HOSTILE, HOSTILE), settings={"x": HOSTILE}, numbers={HOSTILE: 1.0},
    )  # fmt: skip
    with Store.open(folder, create=False) as store:
        store.record_event(HOSTILE, HOSTILE)
    page = Page(write_report(read_run(folder)).read_text())
    page.check_accessible()
    check_offline(page)
    assert page.text.count(HOSTILE) >= 10
    target = folder.parent / "comparison"
    compared = Page(write_comparison(compare_runs([read_run(folder)]), target).read_text())
    assert not compared.all("script")
    assert compared.text.count(HOSTILE) >= 3


@pytest.mark.usefixtures("no_charts")
@pytest.mark.parametrize(
    "changes",
    [
        {"pictures": False},
        {"accuracies": (0.5,)},
        {"accuracies": ()},
        {"accuracies": (None,), "pictures": False, "settings": None},
        {"chosen_count": 3},
    ],
)
def test_a_report_of_a_part_of_a_run(make_run: MakeRun, changes: dict[str, object]) -> None:
    folder = make_run(**changes)
    page = Page(write_report(read_run(folder)).read_text())
    page.check_accessible()
    assert not page.all("script")
    shown = [image for image in page.all("img") if image["alt"].startswith("Image ")]
    with_pictures = changes.get("pictures", True) and "chosen_count" not in changes
    assert len(shown) == (2 * len(read_run(folder).rounds) if with_pictures else 0)
    evaluated = read_run(folder).last_evaluated is not None
    assert (folder / "curve.png").exists() == evaluated
    assert ("curve" in [section.get("id") for section in page.all("section")]) == evaluated


@pytest.mark.usefixtures("no_charts")
def test_a_collapse_warning_is_on_the_page(make_run: MakeRun) -> None:
    page = Page(report_page(read_run(make_run(numbers={"latent KL": 0.17}))))
    assert "The latent codes have collapsed in round 1: latent KL is 0.17, below 1 nats." in page.text


@pytest.mark.parametrize(("spread", "warned"), [(0.01, True), (1.5, False)])
def test_a_warning_of_the_generator_is_on_the_page(make_run: MakeRun, spread: float, warned: bool) -> None:
    page = Page(report_page(read_run(make_run(numbers={"generated spread": spread, "latent KL": 0.17}))))
    said = "The generator in round 1: generated images of a class are nearly all the same"
    assert (said in page.text) is warned
    assert "The latent codes have collapsed" in page.text, "both may be shown"


@pytest.mark.usefixtures("no_charts")
def test_a_large_query_is_cut_and_says_so(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aral.reports.html.IMAGES_SHOWN", 1)
    page = Page(report_page(read_run(make_run(accuracies=(0.5,)))))
    assert "Round 0: 2 images by sampler" in page.text
    assert "1 more are not shown." in page.text
    assert "image 5," in page.text and "image 3," not in page.text


@pytest.mark.usefixtures("no_charts")
def test_of_a_query_larger_than_what_is_kept_the_first_pictures_are_shown(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aral.reports.html.MOST_CHOSEN", 1)
    page = Page(report_page(read_run(make_run(accuracies=(0.5,), chosen_count=1))))
    shown = [image["alt"] for image in page.all("img") if image["alt"].startswith("Image ")]
    assert len(shown) == 1 and shown[0].startswith("Image 5")
    assert "image 5," in page.text and "image 3," in page.text


@pytest.mark.usefixtures("no_charts")
def test_a_report_of_a_run_that_another_process_holds(make_run: MakeRun) -> None:
    folder = make_run()
    program = (
        "import fcntl, sqlite3, sys\n"
        "lock = open(sys.argv[1] + '/lock', 'w'); fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "store = sqlite3.connect(sys.argv[1] + '/store.sqlite')\n"
        "store.execute('UPDATE metrics SET value = 0.625 WHERE round = 1 AND name = ?', ('accuracy',))\n"
        "store.commit(); print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BadInput, match="in use"):
            Store.open(folder, create=False)
        assert "62.50 %" in write_report(read_run(folder)).read_text()
        holder.communicate()
    assert holder.returncode == 0


@pytest.mark.usefixtures("no_charts")
def test_the_holder_can_report_on_itself(make_run: MakeRun) -> None:
    folder = make_run()
    with Store.open(folder, create=False) as store:
        store.record_round(2, 30)
        page = Page(write_report(read_run(folder)).read_text())
        store.record_round(2, 31)
    assert "Round 2 is being labelled or trained." in page.text
    assert "30 of 40" in page.text
    with Store.open(folder, create=False) as store:
        assert store.rounds()[2].labelled == 31


@pytest.mark.usefixtures("no_charts")
def test_a_comparison(make_run: MakeRun, tmp_path: Path) -> None:
    folders = [
        make_run("a", accuracies=(0.5, 0.8)),
        make_run("b #2", accuracies=(0.7, 0.8), seed=1),
        make_run("c", method="random", accuracies=(0.1, 0.2)),
    ]
    write_report(read_run(folders[1]))
    target = tmp_path / "out" / "all"
    conditions = Conditions(
        parity=(Parity(0, "0123456789ab", 2, ("steps: a 1",)),),
        differences=(Difference("seeds", "not stated", "2"),),
    )
    comparison = replace(compare_runs([read_run(folder) for folder in folders]), conditions=conditions)
    path = write_comparison(comparison, target)
    assert path == target / "comparison.html"
    page = Page(path.read_text())
    page.check_accessible()
    assert [link["href"] for link in page.all("a") if link["href"][0] != "#"] == [
        "../../b%20%232/report.html"
    ]
    for words in (
        "60.00 ± 14.14 (2)",
        "NOT run under equal",
        "0123456789ab",
        "not stated",
        "random",
        "1 min 25 s",
    ):
        assert words in page.text, words
    assert {file.name for file in target.iterdir()} == {
        "comparison.html", "comparison.txt", "comparison.csv", "comparison.json", "curves.csv", "curves.png",
        "curves.svg", "verdicts.csv", "verdicts.json",
    }  # fmt: skip
    assert "60.00 ± 14.14 (2)" in (target / "comparison.txt").read_text()
    assert {entry["run"] for entry in json.loads((target / "comparison.json").read_text())} == {
        "a", "b #2", "c",
    }  # fmt: skip


def test_a_comparison_of_runs_that_have_nothing_yet(make_run: MakeRun, tmp_path: Path) -> None:
    page = Page(
        write_comparison(compare_runs([read_run(make_run(accuracies=()))]), tmp_path / "out").read_text()
    )
    assert "No accuracy is known yet." in page.text
    assert not (tmp_path / "out" / "curves.png").exists()


@pytest.mark.usefixtures("no_charts")
def test_verdicts_on_the_page(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [
        read_run(
            make_run(
                f"{method}-{seed}", method=method, seed=seed, accuracies=(0.5, 0.6 + gain), pictures=False
            )
        )
        for seed, plus in enumerate((0.04, 0.05, 0.06))
        for method, gain in (("aral+aral", plus), ("aral+random", 0.0))
    ]
    page = write_comparison(compare_runs(runs, targets=[0.62]), tmp_path / "out").read_text()
    for words in (
        '<td class="verdict better">', "▲", "<strong>better</strong>",
        "+2.50 points on average from 10 to 20 labels",
        "+5.00 points on average with 20 labels", "62.00", "Paired differences", "Pairwise penalty matrix",
    ):  # fmt: skip
        assert words in page, words
    assert "Without a verdict" not in page
    assert "final accuracy: better. +5.00 points" in (tmp_path / "out" / "comparison.txt").read_text()
    assert json.loads((tmp_path / "out" / "verdicts.json").read_text())["verdicts"][0]["verdict"] == "better"
    alone = write_comparison(compare_runs(runs[:1]), tmp_path / "alone").read_text()
    assert "Add runs of supervised+random" in alone and 'class="verdict' not in alone


@pytest.mark.usefixtures("no_charts")
def test_a_failed_write_leaves_the_old_page_and_no_rest(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run()
    (folder / "report.html").write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(RunFailed, match="No space left"):
        patched.setattr("os.fsync", full)
        write_report(read_run(folder))
    assert (folder / "report.html").read_text() == "old"
    assert not list(folder.glob(".*"))


def test_the_page_explains_the_diagnostics_that_were_recorded(make_run: MakeRun) -> None:
    meaning = "share of generated images whose class logistic regression"
    assert meaning in Page(report_page(read_run(make_run(numbers={"generated recognised": 0.25})))).text
    text = Page(report_page(read_run(make_run("other")))).text
    assert meaning not in text and "how well the sampler separates" in text


def test_rounds_as_a_table(make_run: MakeRun) -> None:
    record = read_run(make_run(accuracies=(0.5, None), numbers={"odd": 1 / 3}))
    table = rounds_table(record)
    assert table.head == (
        "round", "labels", "accuracy, %", "balanced accuracy, %", "macro F1, %", "latent KL", "latent std",
        "odd", "sampler AUC", "train seconds", "query seconds",
    )  # fmt: skip
    assert table.rows[0] == (
        "0",
        "10",
        "50.00",
        "58.33",
        "51.85",
        "12.5",
        "0.8",
        "0.3333",
        "0.7",
        "40",
        "2.5",
    )
    assert table.rows[1] == ("1", "20", *9 * ("–",))
    assert state(record) == "Round 1 is being labelled or trained."


def test_recall_by_class_as_a_table(make_run: MakeRun) -> None:
    """Of the classes 4, 4 and 2 images, 3, 4 and 0 are right."""
    folder = make_run(accuracies=(0.5, 0.6, None))
    table = recall_table(read_run(folder))
    assert table.head == ("class", "10 labels", "20 labels")
    assert table.rows == (("circle", "75.0", "75.0"), ("square", "100.0", "100.0"), ("star", "0.0", "0.0"))
    assert "Recall by class" in Page(report_page(read_run(folder))).text
    assert not recall_table(read_run(make_run("new", accuracies=(None,)))).rows


def test_of_many_classes_and_rounds_the_table_of_recalls_has_some(make_run: MakeRun) -> None:
    record = read_run(make_run())
    rounds = tuple(
        replace(record.rounds[0], labelled=10 * number, recalls={f"c{k}": (k % 50) / 50 for k in range(40)})
        for number in range(1, 21)
    )
    table = recall_table(replace(record, rounds=rounds))
    assert (
        table.head[:2] == ("class", "10 labels") and table.head[-1] == "200 labels" and len(table.head) == 7
    )
    assert [row[0] for row in table.rows] == [f"c{k}" for k in range(30)]
