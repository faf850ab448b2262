"""What a command loads before it begins: seconds of PyTorch, SciPy and Matplotlib only where they are used."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import aral
from aral.annotation import Project
from aral.cli.app import COMMANDS

HEAVY = ("torch", "torchvision", "sklearn", "scipy", "matplotlib")
UNUSED_BY_HELP = (*HEAVY, "numpy", "pydantic", "jaxtyping", "fastapi", "uvicorn", "jinja2", "PIL", "sqlite3")
LAZY = ("aral", "data", "benchmarking", "annotation", "reports", "loop", "web")


def heavy_after(code: str, *arguments: str, of: tuple[str, ...] = HEAVY) -> set[str]:
    """Which of the heavy packages a fresh Python has loaded once it has run this."""
    asked = f"{code}\nimport sys\nprint('loaded:', *(set({of!r}) & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", asked, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].removeprefix("loaded:").split())


@pytest.mark.parametrize("module", ["aral", "aral.cli.app", "aral.cli.serving", "aral.web.server"])
def test_neither_a_command_nor_the_page_loads_what_only_training_and_reports_use(module: str) -> None:
    assert heavy_after(f"import {module}") == set()


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_loads_nothing_but_the_command_line(word: str) -> None:
    code = f"from aral.cli.app import app; app([{word!r}], standalone_mode=False)"
    assert heavy_after(code, of=UNUSED_BY_HELP) == set()
    modules = f"{code}\nimport sys\nprint(*(name for name in sys.modules if name.startswith('aral.')))"
    done = subprocess.run([sys.executable, "-c", modules], capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()[-1].split()) == {
        *("aral.cli", "aral.cli.app", "aral.cli.printing", "aral.cli.stopping", "aral.errors")
    }


def test_the_table_of_commands_is_what_their_modules_register() -> None:
    """Names in order, and the first sentence of each docstring, which the help shows."""
    registered: dict[str, tuple[str, str]] = {}
    for module in dict.fromkeys(module for module, _ in COMMANDS.values()):
        made = typer.Typer()
        importlib.import_module(f"aral.cli.{module}").add_to(made)
        for name, command in typer.main.get_group(made).commands.items():
            registered[name] = (module, " ".join((command.help or "").split("\n\n")[0].split()))
    assert list(registered.items()) == list(COMMANDS.items())


def test_the_whole_page_and_the_supervision_of_training_do_without_it() -> None:
    names = "from aral.web import make_app, serve; from aral.annotation import TrainerProcess, import_labels"
    assert heavy_after(f"{names}; from aral.annotation import class_names_of, read_options, status") == set()


def test_status_of_a_project_does_without_it(tmp_path: Path) -> None:
    Project.create_or_open(tmp_path, class_names=("cat", "dog")).close()
    code = "import sys; from aral.cli.app import app; app(['status', sys.argv[1]], standalone_mode=False)"
    assert heavy_after(code, str(tmp_path)) == set()


def test_training_does_without_the_compiler_of_pytorch() -> None:
    code = (
        "import torch\n"
        "from aral.learners.optimisers import NetAdam\n"
        "from aral.learners.settings import Adam\n"
        "weight = torch.nn.Parameter(torch.ones(2))\n"
        "NetAdam([weight], Adam()).step({weight: torch.ones(2)}, rate=0.1)\n"
        "assert bool((weight < 1).all())"
    )
    assert heavy_after(code, of=("torch._dynamo", "torch._inductor")) == set()


def test_names_come_from_where_they_are_defined() -> None:
    code = (
        "import aral.acquisition.interface, aral.benchmarking.runs, aral.annotation.exporting\n"
        "from aral import make_acquisition, benchmarking, annotation\n"
        "assert callable(make_acquisition) and callable(benchmarking.run) and callable(annotation.export)\n"
        "assert aral.data.load is aral.load and aral.learners.Learner is aral.Learner"
    )
    assert "torch" in heavy_after(code)


@pytest.mark.parametrize("package", LAZY)
def test_every_public_name_can_be_had(package: str) -> None:
    module = sys.modules["aral"] if package == "aral" else __import__(f"aral.{package}", fromlist=["*"])
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="attribute leaner"):
        aral.leaner  # type: ignore[attr-defined]  # noqa: B018
