"""The commands of labelling as a user types them: what they say, what they leave, how they end."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from PIL import Image

from aral import durable
from aral.annotation import Project, Trainer, TrainingOptions, TrainingState, read_options, session_folders
from aral.annotation.advice import SAMPLING_NOTE, estimate_sentence, sampling_note
from aral.annotation.images import Images
from aral.annotation.training_run import TrainingRun, identity_of
from aral.cli.serving import (
    BackgroundWork,
    ProjectChanges,
    ServeOptions,
    estimate_set_text,
    import_text,
    label_photos,
)
from aral.errors import RunFailed
from aral.loop import Observer
from aral.loop.database import Database
from aral.testing import (
    DIGIT_CLASSES,
    TINY_TRAINING,
    answer_cards,
    answer_event,
    run_trainer,
    save_digits,
    save_noise,
)
from aral.web import link_of_running_server, served


@pytest.fixture(scope="session")
def kept_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; tests work on copies."""
    folder = tmp_path_factory.mktemp("commands") / "photos"
    save_digits(folder, 24)
    with Project.create_or_open(folder, class_names=DIGIT_CLASSES, budget=20) as project:
        project.images.sync()
        trainer = Trainer(project, TINY_TRAINING)
        run_trainer(trainer)
        for _ in range(4):
            answer_cards(project, 4)
            run_trainer(trainer)
        trainer.close()
        assert project.models.all()
    return folder


@pytest.fixture
def photos(kept_photos: Path, here: Path) -> Path:
    """Twenty-four digits as a project with a classifier, in the working folder."""
    return shutil.copytree(kept_photos, here / "photos")


def test_status_in_words_and_as_json(aral, photos: Path, capsys) -> None:
    assert aral("status", str(photos)) == 0
    said = capsys.readouterr().out
    assert "24 images" in said and "16 of 20 labels" in said and "The page is not open" in said
    assert aral("status", str(photos / ".aral"), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["counts"]["labelled"], facts["page"], facts["training"]["phase"]) == (16, None, "off")


def test_doctor_with_and_without_a_project(aral, photos: Path, tmp_path: Path, capsys) -> None:
    assert aral("doctor", str(photos)) == 0
    assert "good classifier" in capsys.readouterr().out
    (photos / ".aral" / "project.sqlite").write_bytes(b"\0" * 4096)
    assert aral("doctor", str(photos), "--json") == 1
    assert "bad" in {check["verdict"] for check in json.loads(capsys.readouterr().out)}


def test_export_predict_import(aral, photos: Path, tmp_path: Path, capsys) -> None:
    assert aral("export", str(photos), "out", "--json") == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert "report.html" in files and "model/" in files
    for name in files:
        assert (tmp_path / "out" / name).exists(), name
    assert "http://" not in (tmp_path / "out" / "report.html").read_text().replace("http://www.w3.org", "")
    save_digits(tmp_path / "new", 3, first=60)
    assert aral("predict", "out", "new", "--target", "said.csv") == 0
    assert "3 images are classified" in capsys.readouterr().out
    assert len(Path("said.csv").read_text().splitlines()) == 4
    assert aral("import", str(photos), "out/labels.csv", "--annotator", "Zoe") == 0
    assert "0 labels imported; 16 were in the project already" in capsys.readouterr().out
    with Project.open(photos) as project:
        assert project.labels.counts().labelled == 16
        assert {name for label in project.labels.all() for name in label.annotators} == {"Ann"}


def test_the_exit_code_of_an_import_says_what_was_imported(aral, photos: Path, capsys) -> None:
    with Project.open(photos) as project:
        names = [project.images.get(int(each)).name for each in project.images.labelable_ids()[:3]]
    one, other, third = names
    files = {
        "whole.csv": (f"path,label\n{one},seven\n{other},\n", 0, ["Ignored: 1 row without a label."]),
        "part.csv": (
            f"path,label\n{one},seven\n{other},a\n{other},b\n" + "x.png,a\n" * 9,
            3,
            ["no annotators distinguish them", "'x.png', 'x.png', 'x.png' and 6 more", f"{other!r} (a)"],
        ),
        "none.csv": ("path,label\nx.png,a\ny.png,a\n", 2, ["it has 2 rows, and none can be used", "'y.png'"]),
        "unlabelled.csv": (f"path,label\n{third},\n", 2, ["it has 1 row, and none can be used"]),
        "empty.csv": ("path,label\n", 0, ["0 labels imported"]),
        "columns.csv": (f"path,file,label\n{one},{other},seven\n", 2, ["--image-column path"]),
        "two.csv": (
            f"path,label,annotator\n{third},a,Ann\n{third},b,Bob\n",
            0,
            ["On 1 image the annotators disagree", repr(third)],
        ),
    }
    for name, (content, code, words) in files.items():
        Path(name).write_text(content)
        assert aral("import", str(photos), name) == code, name
        said = "".join(capsys.readouterr())
        assert [word for word in words if word not in said] == [], said
        assert len(said.splitlines()) < 24
    assert (
        aral("import", str(photos), "columns.csv", "--image-column", "file", "--label-column", "label") == 0
    )
    capsys.readouterr()
    assert aral("status", str(photos)) == 0
    with Project.open(photos) as project:
        count = project.labels.counts().conflicts
    assert count and f"{count} with a disagreement" in capsys.readouterr().out


def test_imports_are_listed_and_undone(aral, photos: Path, capsys) -> None:
    assert aral("import", str(photos), "--list") == 0
    assert "No labels were imported" in capsys.readouterr().out
    with Project.open(photos) as project:
        names = [project.images.get(int(each)).name for each in project.images.labelable_ids()[:3]]
    table = Path("theirs.csv")
    table.write_text("path,label\n" + "".join(f"{name},seven\n" for name in (*names, "nobody.png")))
    assert aral("import", str(photos), "theirs.csv", "--annotator", "Zoe") == 3
    said = capsys.readouterr().out
    for line in (
        "3 labels imported; 0 were in the project already.",
        "New classes: seven.",
        "1 row was not imported, because the project has no image of this path: 'nobody.png'",
        "--undo 1 undoes it",
    ):
        assert line in said, line
    assert aral("import", str(photos), "theirs.csv", "--annotator", "Zoe", "--json") == 3
    facts = json.loads(capsys.readouterr().out)
    assert (facts["number"], facts["recorded"], facts["repeated"]) == (None, 0, 3)
    assert facts["reasons"] == {"the project has no image of this path": 1}
    assert facts["rejected"][0]["path"] == "nobody.png"
    assert aral("import", str(photos), "--undo") == 0
    said = capsys.readouterr().out
    assert "Import 1 (theirs.csv) is undone: 3 labels removed; 0 images keep" in said
    assert "Removed classes: seven." in said
    assert aral("import", str(photos), "--list", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["source"], first["counts"]["recorded"], first["undone_by"]) == ("theirs.csv", 3, 2)
    assert (second["undoes"], second["counts"]["undone"]) == (1, 3)
    assert aral("import", str(photos), "--list") == 0
    assert "undo of 1: undone 3, classes removed 1" in capsys.readouterr().out
    with Project.open(photos) as project:
        assert project.labels.counts().labelled == 16 and len(project.classes.all()) == 3
    for words, problem in (
        (["--undo"], "no import to undo"),
        (["1", "--undo"], "undone already"),
        (["9", "--undo"], "There is no import 9"),
        (["x", "--undo"], "is not the number of an import"),
        (["--undo", "--list"], "given together"),
        ([], "No labels were named"),
        (["theirs.csv", "--classes", "a"], "--classes is for folders"),
    ):
        assert aral("import", str(photos), *words) == 2
        assert problem in capsys.readouterr().err


def test_splits_and_dates_are_no_classes(aral, here: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(
        "aral.cli.serving.serve_project", lambda project, options, labels: project.images.sync()
    )
    for number, name in enumerate(("train/cat", "train/dog", "Validation/cat", "test/dog", "2023/05")):
        save_digits(here / "photos" / name, 2, first=2 * number)
    label_photos(Path("photos"), None, ProjectChanges(), ServeOptions(browser=False))
    said = capsys.readouterr().out
    assert "Splits, not classes: Validation, test, train." in said
    assert "Classes from the folders: cat, dog." in said and "Ignored: 2 files in 2023" in said
    assert aral("import", "photos", "photos") == 0
    assert "8 labels imported" in capsys.readouterr().out
    with Project.open(Path("photos")) as project:
        assert [each.name for each in project.classes.all()] == ["cat", "dog"]
    assert aral("import", "photos", "photos", "--classes", "2023", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["recorded"] == 2 and facts["new_classes"] == ["2023"]
    for number, name in enumerate(("2023/05", "2024/06")):
        save_digits(here / "dated" / name, 2, first=2 * number)
    label_photos(Path("dated"), None, ProjectChanges(), ServeOptions(browser=False))
    said = capsys.readouterr().out
    assert "no classes yet" in said and "Ignored: 2 files in 2024, which is named like a date" in said


def test_labels_to_begin_with_add_their_classes_when_they_are_imported(
    here: Path, monkeypatch, capsys
) -> None:
    """So a failed import leaves no classes, and the undo of one takes them."""
    monkeypatch.setattr("aral.cli.serving.serve_project", lambda project, options, labels: None)
    save_digits(here / "photos", 3)
    Path("theirs.csv").write_text("path,label\nnobody.png,owl\n")
    label_photos(Path("photos"), None, ProjectChanges(labels=Path("theirs.csv")), ServeOptions(browser=False))
    assert "added by the import: owl" in capsys.readouterr().out
    with Project.open(Path("photos")) as project:
        BackgroundWork(
            project, ServeOptions(browser=False, training=False), Path("theirs.csv"), lambda: False
        ).run()
        assert project.classes.all() == ()
        Path("theirs.csv").write_text(f"path,label\n{project.images.get(0).name},owl\n")
        BackgroundWork(
            project, ServeOptions(browser=False, training=False), Path("theirs.csv"), lambda: False
        ).run()
        assert [each.name for each in project.classes.all()] == ["owl"]
        assert project.label_imports.undo().removed_classes == ("owl",)


def test_the_report_is_of_the_newest_session_that_trained(aral, photos: Path, capsys) -> None:
    with Project.open(photos) as project:
        project.classes.add("three", "Ann")
        with TrainingRun(project, identity_of(project, TINY_TRAINING), Observer()):
            pass
        assert [number for number, _ in session_folders(project.folder)] == [1, 2]
        model = project.models.all()[-1]
        assert model.estimate is not None
        estimate = replace(model.estimate, late=2)  # as after the estimate set was enlarged
        project.models.record(replace(model, estimate=estimate))
    assert aral("export", str(photos), "out", "--format", "csv") == 0
    page = Path("out/report.html").read_text()
    assert "Run session-1" in page and "test accuracy" not in page.lower() and "Test images" not in page
    assert f"<dt>accuracy on the estimate set</dt><dd>{100 * estimate.accuracy:.1f} %</dd>" in page
    assert (
        f"{estimate_sentence(estimate)} {sampling_note(estimate)}" in page
        and "2 images of" in sampling_note(estimate)
    )
    # The project's own names, pictures, budget and labels, as they are now.
    with Project.open(photos) as project:
        project.settings.set(replace(project.settings.get(), budget=987))
        labelled = project.labels.counts().labelled
    before = sorted((photos / ".aral" / "session-1").iterdir())
    assert aral("export", str(photos), "out", "--format", "csv") == 0
    assert sorted((photos / ".aral" / "session-1").iterdir()) == before, "the project is not changed"
    page = Path("out/report.html").read_text()
    assert f"<dt>labels</dt><dd>{labelled} of 987</dd>" in page
    captions = re.findall(r"<figure>(.*?)</figure>", page, re.DOTALL)
    assert captions and all("data:image/png" in caption and ".png, score" in caption for caption in captions)
    assert re.search(
        r"Learning curve, accuracy on the estimate set: [\d.]+ % \([\d.]+ to [\d.]+ %\) with", page
    )
    assert "Generated images are not shown" in page and "Generated images of class" not in page
    # A session that is read by itself tells the same of its last round.
    assert aral("report", str(photos / ".aral" / "session-1")) == 0
    assert SAMPLING_NOTE in (photos / ".aral" / "session-1" / "report.html").read_text()


def test_an_export_to_a_bad_place_says_why_on_one_screen(aral, photos: Path, capsys) -> None:
    Path("file").write_text("mine")
    for words in (
        ("file",),
        ("file/out",),
        (str(photos),),
        ("out", "--format", "xlsx"),
        ("out", "--images", "move"),
    ):
        assert aral("export", str(photos), *words) == 2
        said = capsys.readouterr().err
        assert 1 <= len(said.splitlines()) < 24 and "Traceback" not in said
    assert not Path("out").exists() and Path("file").read_text() == "mine"


def test_the_licence_of_an_export_is_in_its_metadata(aral, photos: Path) -> None:
    assert aral("export", str(photos), "out", "--format", "model", "--licence", "CC0-1.0") == 0
    assert json.loads(Path("out/classifier.json").read_text())["licence"] == "CC0-1.0"
    assert "CC0-1.0" in Path("out/README.md").read_text()


def test_a_second_server_is_refused_with_the_address_of_the_first(aral, photos: Path, capsys) -> None:
    with Project.open(photos) as project, served(project) as running:
        project.models.set_training_state(TrainingState("training", 3, 0.5, "of the first"))
        assert aral("serve", str(photos), "--no-train") == 2
        said = capsys.readouterr().err
        assert "is in use by process" in said and running.url in said and "Traceback" not in said
        assert project.models.training_state().message == "of the first"
        assert aral("label", str(photos), "--no-browser") == 0  # says where it is instead
        assert "open already" in capsys.readouterr().out


def test_large_images_are_taken_when_that_is_meant_and_the_project_remembers(
    aral, photos: Path, capsys
) -> None:
    """Images of 1.2 million pixels, in a project that takes a million."""
    save_noise(photos / "zz-large.png", 1, (1200, 1000))
    assert aral("sync", str(photos), "--max-pixels", "1") == 0
    assert "0 new images" in capsys.readouterr().out
    with Project.open(photos) as project:
        (bad,) = project.images.unreadable()
    assert bad.path == "zz-large.png" and bad.reason == "too_large"
    assert "1200×1000" in bad.detail and "--max-pixels 2" in bad.detail
    assert aral("sync", str(photos)) == 0  # remembered
    assert "0 new images" in capsys.readouterr().out
    assert aral("sync", str(photos), "--max-pixels", "2") == 0
    assert "1 new image," in capsys.readouterr().out
    save_noise(photos / "zz-too.png", 2, (1200, 1000))
    with Project.open(photos) as project:
        assert project.images.sync().added == 1
    (photos / "zz").mkdir()
    shutil.copy(photos / "zz-too.png", photos / "zz" / "new.png")
    assert aral("predict", str(photos), str(photos / "zz"), "--max-pixels", "1") == 0
    assert "0 images are classified, 1 file" in capsys.readouterr().out
    assert aral("predict", str(photos), str(photos / "zz")) == 0
    assert "1 image is classified" in capsys.readouterr().out
    assert aral("sync", str(photos), "--max-pixels", "179") == 2


def test_the_estimate_share_is_printed_and_can_be_chosen(aral, here: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        "aral.cli.serving.serve_project", lambda project, options, labels: project.images.sync()
    )
    save_digits(here / "photos", 150)
    for share, measuring in ((None, 24), (0.25, 30), (0.0, 0), (None, 0)):
        label_photos(
            Path("photos"),
            None,
            ProjectChanges(("one",), 120, estimate_share=share),
            ServeOptions(browser=False),
        )
        with Project.open(Path("photos")) as project:
            assert project.estimate.image_ids().size == measuring
            said = estimate_set_text(project)
        assert (
            f"{measuring} of 120 labels are for the estimate set" if measuring else "no estimate set"
        ) in said
    assert aral("label", "photos", "--estimate-share", "0.6", "--no-browser") == 2


def test_the_reason_for_missing_classes_is_printed(here: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("aral.cli.serving.serve_project", lambda project, options, labels: None)
    save_digits(here / "photos" / "cat", 1)
    save_digits(here / "photos" / "dog", 1, first=1)
    save_digits(here / "photos", 1, first=2)
    label_photos(Path("photos"), None, ProjectChanges(), ServeOptions(browser=False))
    assert "no classes yet, because the image 'two-002.png' lies beside" in capsys.readouterr().out
    (here / "photos" / "two-002.png").write_text("no image")
    label_photos(Path("photos"), None, ProjectChanges(), ServeOptions(browser=False))
    assert "Classes from the folders: cat, dog" in capsys.readouterr().out


def test_any_failure_of_the_import_is_reported(aral, photos: Path, monkeypatch, capsys) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of a library")

    monkeypatch.setattr(Images, "sync", fail)
    assert aral("label", str(photos), "--no-browser") == 1
    assert "The import failed: ZeroDivisionError: of a library." in capsys.readouterr().err
    with Project.open(photos) as project:
        state = project.models.training_state()
    assert state.phase == "failed" and "ZeroDivisionError" in state.message


def test_sync_adds_new_files(aral, photos: Path, capsys) -> None:
    save_digits(photos, 3, first=24)
    next(photos.glob("*-000.png")).unlink()
    assert aral("sync", str(photos)) == 0
    assert "3 new images, 1 missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["status", "nowhere"], 2, "There is no project in nowhere."),
        (["predict", "photos", "nowhere"], 2, "There is no folder nowhere."),
        (["export", "photos", "photos"], 2, "is the folder of the photos or the project"),
        (["import", "photos", "labels.xls"], 2, "neither"),
        (["label", "nowhere"], 2, "There is no folder nowhere."),
        (["label", "photos", "--host", "0.0.0.0", "--no-browser", "--no-train"], 2, "--allow-remote"),
        (["label", "photos", "--method", "arall", "--no-browser"], 2, "Did you mean 'aral'"),
        (
            ["label", "photos", "--representation", "nosuch", "--no-browser"],
            2,
            "Unknown representation 'nosuch'",
        ),
        (["label", "photos", "--threads", "0", "--no-browser"], 2, "Option threads"),
        (["export", "photos", "out", "--format", "jsonx"], 2, "Did you mean 'jsonl'"),
    ],
)
def test_wrong_arguments_are_explained(aral, photos: Path, capsys, words, code, said) -> None:
    assert aral(*words) == code
    problem = capsys.readouterr().err
    assert said in problem and "Traceback" not in problem


def test_the_result_of_a_sync_in_words(here: Path) -> None:
    save_digits(here / "photos", 3)
    frames = [Image.new("L", (8, 8), value) for value in (9, 200)]
    frames[0].save(here / "photos" / "a.gif", save_all=True, append_images=frames[1:])
    shutil.copy(here / "photos" / "a.gif", here / "photos" / "b.gif")
    (here / "photos" / "broken.png").write_bytes(b"no image")
    Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30)).save(here / "photos" / "wide.png")
    Image.new("RGB", (9, 9)).save(here / "photos" / "profile.png", icc_profile=b"broken")
    with Project.create_or_open(here / "photos") as project:
        said = import_text(project.images.sync())
    assert said == (
        "7 images, 1 of them a copy; 1 file could not be read. Of 2 animations only the first frame is used. "
        "1 image of more than 8 bits was scaled to 8 by the range of the values. "
        "1 unusable colour profile was ignored."
    )


@pytest.mark.parametrize("names", [[], ["broken.png"]])
def test_a_folder_without_images_is_refused(aral, here: Path, capsys, names) -> None:
    (here / "photos").mkdir()
    for name in names:
        (here / "photos" / name).write_bytes(b"no image")
    assert aral("label", "photos", "--no-browser", "--no-train") == 2
    problem = capsys.readouterr().err
    assert ("contains no readable image" if names else "it has no files") in problem
    assert "Traceback" not in problem
    assert all(f"'{name}': not_an_image" in problem for name in names)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no readable image"),
        ({"cat/a.png": 1}, "two classes are needed"),
        ({"cat/a.png": 1, "cat/b.png": 2}, "two classes are needed"),
        ({"cat/a.png": 1, "dog/b.png": 2}, "leaves pool or test set empty"),
        ({"a.png": 1, "b.png": 2}, "two classes are needed"),
        (
            {f"{name}/{number}.png": 1 for name in ("cat", "dog") for number in range(6)},
            "folders of two classes",
        ),
    ],
)
def test_folders_that_nothing_can_be_learned_from(aral, here: Path, capsys, files, said) -> None:
    (here / "photos").mkdir()
    for name, seed in files.items():
        save_noise(here / "photos" / name, seed)
    assert aral("run", "./photos", "--threads", "1") == 2
    problem = capsys.readouterr().err
    assert said in problem and "Traceback" not in problem


@pytest.mark.parametrize(
    "words",
    [
        ["export", "photos", "/sys/out"],
        ["predict", "photos", "photos", "--target", "/sys/out.csv"],
        ["export", "photos", "occupied"],
        ["predict", "photos", "photos", "--target", "occupied/out.csv"],
        ["report", "run", "--target", "occupied"],
        ["label", "photos", "--project", "/sys/project", "--no-browser", "--no-train"],
        ["label", "photos", "--project", "occupied/project", "--no-browser", "--no-train"],
    ],
)
def test_a_folder_that_cannot_be_written_to_is_named(aral, photos: Path, capsys, words) -> None:
    """``/sys`` refuses even the root user; ``occupied`` is a file."""
    Path("occupied").write_text("mine")
    assert aral(*words) in (1, 2)
    problem = capsys.readouterr().err
    assert re.search("/sys/|occupied|run", problem) and "Traceback" not in problem
    assert Path("occupied").read_text() == "mine"


def test_without_training_the_state_is_off_after_the_sync(photos: Path, capsys) -> None:
    with Project.open(photos) as project:
        BackgroundWork(project, ServeOptions(browser=False, training=False), None, lambda: False).run()
        assert project.models.training_state().phase == "off"
    assert "24 images, 0 of them copies; 0 files could not be read." in capsys.readouterr().out


def start(photos: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "aral", "label", str(photos), "--no-browser", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def read_until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if found := re.search(pattern, line):
            return found
    raise AssertionError(said)


def label_a_little(photos: Path) -> str:
    """What a person does while the page is open: start it once more, and give an answer; gives the page's link."""
    deadline = time.monotonic() + 30
    with Project.open(photos) as project:
        while (link := link_of_running_server(photos / ".aral")) is None or project.images.count() < 10:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        label_photos(photos, None, ProjectChanges(), ServeOptions(browser=False))
        project.annotations.append(answer_event(0, 1))
    return link


def test_labelling_until_ctrl_c(aral, here: Path, capsys) -> None:
    photos = here / "photos"
    for name in ("cat", "dog"):
        save_digits(photos / name, 5, first=0 if name == "cat" else 5)

    over = Event()

    def work() -> str:
        try:
            while not (photos / ".aral" / "server.json").exists():
                assert not over.wait(0.01)
            return label_a_little(photos)
        finally:
            if not over.is_set():
                os.kill(os.getpid(), signal.SIGINT)

    words = ("--no-browser", "--no-train", "--effort", "quick", "--budget", "8")
    with ThreadPoolExecutor(1) as person:
        link = person.submit(work)
        try:
            assert aral("label", "photos", *words) == 130
        finally:
            over.set()
    said = capsys.readouterr().out
    page = link.result().partition("?")[0]
    for line in (
        "Classes from the folders: cat, dog",
        f"The page is open at {page}?token=",
        "10 images",
        "4 of 8 labels are for the estimate set",
        f"The page of this project is open already: {page}?token=",
        "Everything is saved",
    ):
        assert line in said, line
    assert read_options(photos / ".aral") == TrainingOptions(effort="quick")
    with Project.open(photos) as project:
        assert [each.name for each in project.classes.all()] == ["cat", "dog"]
        assert (project.settings.get().budget, project.labels.counts().labelled) == (8, 1)


def test_ctrl_c_on_a_full_disk(aral, photos: Path, capsys, monkeypatch) -> None:
    """From the moment of the signal on no file can be written and nothing can be committed."""
    is_full = Event()
    write_whole, transaction = durable._write_to_disk, Database.transaction

    def write(*arguments: object, **more: object) -> None:
        if is_full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        write_whole(*arguments, **more)  # type: ignore[arg-type]

    def begin(self: Database, durable: bool = True):  # type: ignore[no-untyped-def]
        if is_full.is_set():
            raise RunFailed("No space left for the project.", "Free some space.")
        return transaction(self, durable)

    monkeypatch.setattr(durable, "_write_to_disk", write)
    monkeypatch.setattr(Database, "transaction", begin)

    def work() -> None:
        deadline = time.monotonic() + 60
        while link_of_running_server(photos / ".aral") is None and time.monotonic() < deadline:
            time.sleep(0.02)
        with Project.open(photos) as project:
            labelled = {label.image_id for label in project.labels.all()}
            image = next(each for each in project.images.labelable_ids().tolist() if each not in labelled)
            project.annotations.append(answer_event(image, 1))
        is_full.set()
        os.kill(os.getpid(), signal.SIGINT)

    with ThreadPoolExecutor(1) as person:
        labelling = person.submit(work)
        assert aral("label", "photos", "--no-browser", "--no-train") in (1, 130)
        labelling.result()
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    monkeypatch.undo()
    with Project.open(photos) as project:
        assert project.labels.counts().labelled == 17


@pytest.mark.slow
def test_labelling_from_the_command_line(tmp_path: Path) -> None:
    """As a process of its own with a trainer beside it, stopped as a system stops it."""
    photos = tmp_path / "photos"
    save_digits(photos, 10)
    with start(photos, "--classes", "zero,one") as server:
        try:
            read_until(server, "10 images")
            log = photos / ".aral" / "trainer.log"
            deadline = time.monotonic() + 60
            with Project.open(photos) as project:
                while (
                    project.models.training_state().phase not in ("training", "choosing")
                    and not project.queue.remaining()
                ):
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.02)
                asked = time.monotonic()
                server.send_signal(signal.SIGTERM)
                assert server.wait(40) == 143
                assert time.monotonic() - asked < 8  # 5 on a machine that does nothing else
                assert project.models.training_state().phase == "off"
        finally:
            server.kill()
