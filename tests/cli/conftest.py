"""Commands in a working folder of their own, and a run that several tests work on copies of."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from aral.cli import main
from aral.cli.app import COMMANDS

# Modules of commands are imported when they are used. One that is imported while a test replaces a function in another
# module would keep the replacement for all later tests, so all of them are imported here.
for _module, _ in COMMANDS.values():
    import_module(f"aral.cli.{_module}")

SHORT = ("--threads=1", "--budget=6", "--query-size=3", "--steps=2", "--pool-size=60", "--test-size=20")
PERCEPTRONS = ("--set=learner.networks.discriminator_sizes=[8]",)
"""Options for `supervised`."""
COMPACT = (
    "--set=learner.pretraining.steps=3",
    "--set=learner.training.unlabelled_batch=12",
    "--set=learner.networks.widths=[4, 6]",
    "--set=learner.networks.encoder_widths=[4, 4, 4]",
    "--set=learner.networks.generator_widths=[4, 4, 4]",
)
TINY = (*SHORT, *COMPACT)
"""Options for `graph-ssl`, the method of a run for which none is named."""

Aral = Callable[..., int]


def give(patch: pytest.MonkeyPatch, *words: str) -> int:
    """Run a command in this process; gives its exit code."""
    patch.setattr(sys, "argv", ["aral", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    code = stopped.value.code
    assert code is None or isinstance(code, int)
    return code or 0


@pytest.fixture
def aral(monkeypatch: pytest.MonkeyPatch) -> Aral:
    """``aral("run", "digits")`` runs a command as a user types it and gives its exit code."""
    return lambda *words: give(monkeypatch, *words)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, without any data set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARAL_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of `graph-ssl` on digits, with the options of ``TINY``; to be copied."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        assert give(patch, "run", "digits", *TINY, "--folder", str(folder)) == 0
    return folder
