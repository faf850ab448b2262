"""Docs are true: commands, names, links and code in them exist and run."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import torch
import typer.main
from typer.testing import CliRunner

import aral
from aral.acquisition import ACQUISITIONS
from aral.benchmarking import learner_titles
from aral.benchmarking.auto import AUTO_METHOD, AUTO_METHOD_ON_FEATURES
from aral.cli.app import app
from aral.loop.reading import store_reading

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_picture_is_shown_or_linked_somewhere() -> None:
    linked = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text())
    }
    pictures = {path.resolve() for path in (ROOT / "docs" / "images").iterdir()}
    assert pictures - linked == set()


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_their_options_exist(name: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for block in blocks(ROOT / name, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] != ["aral"] or words[1:] in (["--help"], ["--version"]):
                continue
            assert words[1] in commands, line
            parameters = commands[words[1]].load().params
            known = {name for each in parameters for name in (*each.opts, *each.secondary_opts)}
            given = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
            assert given <= known, line


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / name).read_text()
    assert {
        named
        for found in re.findall(r"`make ([a-z-]+)`|^ *make ([a-z-]+)$", text, re.MULTILINE)
        for named in found
        if named
    } <= targets


@pytest.mark.parametrize("name", NAMES)
def test_dotted_names_exist(name: str) -> None:
    for dotted in re.findall(r"`(aral(?:\.\w+)+)`", (ROOT / name).read_text()):
        parts = dotted.split(".")
        for cut in range(len(parts), 0, -1):
            try:
                found = importlib.import_module(".".join(parts[:cut]))
                break
            except ModuleNotFoundError:
                continue
        for part in parts[cut:]:
            found = getattr(found, part)


@pytest.mark.parametrize("name", NAMES)
def test_named_files_exist(name: str) -> None:
    for path in re.findall(r"`((?:src|tests|docs|benchmarks)/[\w./-]+)`", (ROOT / name).read_text()):
        assert (ROOT / path).exists(), path


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for command in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f"aral {command}" in text or f"make {command}" in text, command


def test_the_layers_in_architecture_are_those_of_the_contract() -> None:
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [layer.replace("aral.", "") for layer in contract["layers"]]
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert blocks(ROOT / "docs" / "architecture.md", "text")[0].splitlines() == layers
    described = {
        name
        for row in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page, re.MULTILINE)
        for name in re.findall(r"\w+", row)
    }
    packages = {name for layer in layers for name in layer.split(" | ")}
    assert described == packages
    modules = {path.stem for path in (ROOT / "src" / "aral").iterdir() if path.suffix in ("", ".py")}
    assert packages == {name for name in modules if not name.startswith("__")}


def test_every_public_name_is_in_the_reference() -> None:
    """Names of `aral` are links to the packages that define them; each public package has a page."""
    page = (ROOT / "docs" / "reference" / "aral.md").read_text()
    assert sorted(re.findall(r"\[`(\w+)`\]\[aral\.[\w.]+\]", page)) == sorted(aral.__all__)
    pages = {path.stem for path in (ROOT / "docs" / "reference").glob("*.md")}
    packages = {path.parent.name for path in (ROOT / "src" / "aral").glob("*/__init__.py")}
    assert pages == packages - {"cli", "web"} | {"aral"}


def test_the_methods_of_auto_are_those_of_the_docs() -> None:
    for name in ("representations.md", "learners.md"):
        page = (ROOT / "docs" / name).read_text()
        assert f"`{AUTO_METHOD}`" in page and f"`{AUTO_METHOD_ON_FEATURES}`" in page


def test_every_strategy_and_learner_is_described() -> None:
    strategies = (ROOT / "docs" / "strategies.md").read_text()
    assert not [name for name in ACQUISITIONS if f"`{name}`" not in strategies]
    learners = (ROOT / "docs" / "learners.md").read_text()
    assert not [name for name in learner_titles() if f"`{name}`" not in learners]


def test_code_in_extending_runs_and_works() -> None:
    from aral.acquisition import PoolView, Predictions
    from aral.randomness import Stream
    from aral.testing import planted_data, tiny_settings

    space: dict[str, object] = {}
    for block in blocks(ROOT / "docs" / "extending.md", "python"):
        exec(compile(block, "extending.md", "exec", dont_inherit=True), space)
    data = planted_data()
    probabilities = torch.eye(3)[torch.from_numpy(data.pool_classes)] * 0.7 + 0.1
    probabilities[5] = torch.tensor([0.5, 0.45, 0.05])
    predictions = Predictions(
        data.pool.ids, probabilities=probabilities, features=data.pool.pixels.flatten(1).float()
    )
    view = PoolView(predictions, Predictions(data.pool.ids[:0]), data.pool_classes[:0], 3)
    for name in ("SECOND_GUESS", "Spread"):
        made = space[name]
        strategy = made() if isinstance(made, type) else made
        selection = strategy(view, 4, Stream.root(0))  # type: ignore[operator]
        assert len(set(selection.ids.tolist())) == 4
        if name == "SECOND_GUESS":
            assert selection.ids[0] == 5

    from aral.learners import Task
    from aral.types import LabelledSet

    settings = space["ConfidentSettings"].model_validate({"networks": tiny_settings().networks})
    learner = settings.build(Task(data.pool.shape, 3, Stream.root(0)))
    labelled = LabelledSet(data.pool.subset(data.pool.ids[:6]), data.pool_classes[:6], 3)
    learner.start_round(0, labelled, data.pool.without(data.pool.ids[:6]), Stream.root(0))
    assert learner.step(0).values["entropy"] > 0


def test_the_strategy_in_extending_runs_in_a_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of the page, shortened, with its own code in the working directory and real workers."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "extending.md"
    (tmp_path / "my_module.py").write_text(blocks(page, "python")[0])
    (command,) = (line for line in blocks(page, "sh")[0].splitlines() if line.startswith("aral compare"))
    short = ["budget=4", "query_size=2"]
    settings = [
        *(f"rounds.{each}" for each in short),
        "learner.training.steps=1",
        "pool_size=60",
        "test_size=20",
    ]
    words = [*shlex.split(command)[1:-2], "--seeds=1", "--workers=1", *(f"--set={each}" for each in settings)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    with store_reading(tmp_path / "runs/compare-digits/supervised+my_module:SECOND_GUESS-seed0") as store:
        (first, second) = (store.query(number) for number in range(2))
    assert first and second and (first.acquisition, second.acquisition) == ("typiclust", "second-guess")


def test_code_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(ROOT / "README.md", "python"):
        exec(block, {})
    printed = [float(line) for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == 2 and all(0 < accuracy <= 1 for accuracy in printed)
