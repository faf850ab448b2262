"""Hostile label files and full disks: no connection, no other file opened, no crash, no partial file."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aral.annotation import AnswerEvent, Project, export, import_labels, predict
from aral.annotation.classifier import newest_classifier
from aral.annotation.formats import write_exported
from aral.errors import BadInput, RunFailed
from tests.forks import status_of

ADDRESSES = (
    "http://169.254.169.254/latest/meta-data/",
    "https://evil.example/elsewhere.png",
    "http://localhost:1/x?d=/etc/passwd",
    "file:///etc/passwd",
    "ftp://evil.example/a.png",
    "//evil.example/share/a.png",
    "s3://bucket/key.png",
    "data:image/png;base64,AAAA",
    "gopher://127.0.0.1:25/_HELO",
    "/etc/passwd",
    "/data/local-files/?d=../../../etc/passwd",
)


def in_formats(folder: Path) -> list[Path]:
    """The addresses as images of labels in each format."""
    tasks = [
        {
            "data": {"image": address, "text": address, "aral_id": None},
            "annotations": [{"result": [{"type": "choices", "value": {"choices": ["cat"], "url": address}}]}],
            "predictions": [{"model_version": address, "result": address}],
        }
        for address in ADDRESSES
    ]
    contents = {
        "tasks.json": json.dumps(tasks),
        "labels.jsonl": "".join(json.dumps({"path": each, "label": "cat"}) + "\n" for each in ADDRESSES),
        "labels.csv": "path,label\n" + "".join(f'"{each}",cat\n' for each in ADDRESSES),
    }
    for name, content in contents.items():
        (folder / name).write_text(content)
    return [folder / name for name in contents]


def test_addresses_in_labels_are_never_fetched(project: Project, tmp_path: Path) -> None:
    """Every attempt to connect, to look up a name or to open another file ends the process with code 3."""
    sources = in_formats(tmp_path)
    project.close()
    allowed = (str(tmp_path), str(Path(sys.prefix).resolve()), str(Path(os.__file__).parent), "/usr", "/proc")

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(
            ("socket.connect", "socket.getaddrinfo", "socket.gethost", "urllib", "subprocess")
        ):
            os._exit(3)
        if event == "open" and isinstance(arguments[0], str) and not arguments[0].startswith(allowed):
            os._exit(3)

    def run_imports() -> None:
        with Project.open(project.folder) as again:
            sys.addaudithook(watch)
            for source in sources:
                with pytest.raises(BadInput, match=r"Nothing was imported|cannot be understood"):
                    import_labels(again, source)
            assert again.labels.all() == []

    assert status_of(run_imports) == 0
    assert (
        os.waitstatus_to_exitcode(
            status_of(lambda: (sys.addaudithook(watch), Path("/etc/passwd").read_text()))
        )
        == 3
    ), "the watch works"


_CELLS = st.sampled_from(
    ["path", "label", "answer", "annotator", "sha256", "class", "cat", "zero-000.png", "skip", ""]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["csv", "jsonl", "json"]),
    st.one_of(
        st.binary(max_size=60),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.lists(st.lists(_CELLS, max_size=5), max_size=4).map(
            lambda rows: "\n".join(",".join(row) for row in rows).encode()
        ),
        st.recursive(
            st.none() | st.integers() | st.floats() | _CELLS,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_CELLS, inner, max_size=4),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
@example("csv", b"path,label\n\xff\x00,\x00")
@example("csv", b'path,label\n"' + b"x" * 200_000)
@example("jsonl", b'{"path": {"path": 1}, "label": ["cat"]}')
@example("jsonl", b'{"path": "zero-000.png", "label": "\\ud800"}')
@example("jsonl", b'{"path": "zero-000.png", "label": "cat", "annotators": [{}, null]}')
@example(
    "json",
    b'[{"data": {"image": "zero-000.png"}, "annotations": [{"result": [{"value": {"choices": ["\\ud800"]}}]}]}]',
)
@example("json", b"[" * 5000)
@example("json", b"1" * 5000)
def test_any_label_file_is_imported_or_refused(project: Project, kind: str, content: bytes) -> None:
    path = project.folder / f"labels.{kind}"
    path.write_bytes(content)
    try:
        import_labels(project, path)
    except BadInput as refused:
        assert refused.problem


# The disk


def limited(work: Callable[[Project], object], project: Project, bytes_free: int) -> int:
    """Exit code of a forked process with a limit on the size of files: 7 after a RunFailed."""

    def run() -> None:
        with Project.open(project.folder) as opened:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_free, bytes_free))
            try:
                work(opened)
            except RunFailed as failed:
                assert "bytes" in failed.problem
                os._exit(7)

    return os.waitstatus_to_exitcode(status_of(run))


def test_an_export_that_does_not_fit_leaves_the_earlier_files_whole(trained: Project, tmp_path: Path) -> None:
    out = tmp_path / "out"
    formats: Sequence[Any] = ["csv", "jsonl", "label-studio", "model", "imagefolder"]
    export(trained, out, formats)
    before = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert len(before) > 10
    for label in trained.labels.all():  # from here on every file would be another one
        trained.annotations.append(
            AnswerEvent(f"again-{label.image_id}", label.image_id, "Bob", "class", label.class_id)
        )
    trained.close()
    for bytes_free in (0, 100, 1000):
        assert limited(lambda project: export(project, out, formats), trained, bytes_free) == 7
        after = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        assert {name: content for name, content in after.items() if ".tmp-" not in str(name)} == before
    with Project.open(trained.folder) as project:
        export(project, out, formats)
    assert (out / "labels.csv").read_bytes() != before[Path("labels.csv")]


def test_a_table_of_predictions_that_does_not_fit_leaves_the_one_before(
    trained: Project, tmp_path: Path
) -> None:
    target = tmp_path / "predictions.csv"
    target.write_text("the one before")
    classifier = newest_classifier(trained)
    trained.close()
    assert limited(lambda project: predict(classifier, project.photos, target), trained, 100) == 7
    assert target.read_text() == "the one before" and {path.name for path in tmp_path.iterdir()} == {
        "predictions.csv",
        "photos",
    }
    predict(classifier, trained.photos, target)
    assert target.read_text().startswith("path,class")


@pytest.mark.parametrize("code", ["EACCES", "EROFS", "EPERM", "EDQUOT"])
def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    import errno

    number = getattr(errno, code)

    def refuse(self: Path, *arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(
        RunFailed, match=f"a.csv was not written: .*{os.strerror(number)}; 4 bytes are needed"
    ):
        write_exported(tmp_path / "a.csv", b"abcd")


def test_nothing_is_written_by_way_of_another_file_system(
    trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename out of TMPDIR would be a copy, which a kill can cut in two."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a temporary file elsewhere")

    make = tempfile.mkdtemp

    def make_inside(suffix: str | None = None, prefix: str | None = None, dir: Path | None = None) -> str:
        assert dir is not None and Path(dir).is_relative_to(tmp_path), "a temporary folder elsewhere"
        return make(suffix, prefix, dir)

    for name in ("mkstemp", "NamedTemporaryFile", "TemporaryFile"):
        monkeypatch.setattr(tempfile, name, refuse)
    monkeypatch.setattr(tempfile, "mkdtemp", make_inside)
    moved: list[tuple[Path, Path]] = []
    replace = Path.replace

    def noting(self: Path, target: Path) -> Path:
        moved.append((self.parent, Path(target).parent))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noting)
    monkeypatch.setattr(os, "rename", refuse)
    trained.annotations.append(AnswerEvent("one", int(trained.images.labelable_ids()[0]), "Bob", "class", 0))
    newest_classifier(trained).save(trained.folder / "models" / "again")
    export(trained, tmp_path / "out", ["csv", "jsonl", "model", "imagefolder"])
    assert len(moved) > 8
    out = tmp_path / "out"
    assert all(
        source == target or (source.is_relative_to(out) and target.is_relative_to(out))
        for source, target in moved
    )
