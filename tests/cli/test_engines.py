"""`aral compare --engine`: what is refused before the data are read, and what to type instead."""

from __future__ import annotations

import importlib.util
import socket
from importlib import metadata

import pytest

COMPARE = ["compare", "digits", "--methods=random", "--seeds=1", "--folder=grid"]


def refused(aral, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert aral(*COMPARE, *options) == 2
    return capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_engines_and_options_that_do_not_exist_are_named(aral, capsys) -> None:
    assert "Did you mean 'slurm'" in refused(aral, capsys, "--engine=slrum")
    assert "--engine ray" in refused(aral, capsys, "--address=auto")
    assert "--engine slurm" in refused(aral, capsys, "--engine=ray", "--slurm=time=5")
    assert "KEY=VALUE" in refused(aral, capsys, "--engine=slurm", "--slurm=gpu")
    assert "HOST:PORT" in refused(aral, capsys, "--engine=ray", "--address=here")


@pytest.mark.usefixtures("here")
def test_a_missing_package_is_named_with_what_to_install(aral, capsys, monkeypatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    with monkeypatch.context() as patch:
        patch.setattr(metadata, "version", missing)
        assert "pip install 'aral[ray]'" in refused(aral, capsys, "--engine=ray")
    with monkeypatch.context() as patch:
        patch.setattr(metadata, "version", lambda name: "2.51.1")
        assert "Ray 2.51.1 is too old" in refused(aral, capsys, "--engine=ray")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "submitit" else found(name, *more)
    )
    assert "pip install 'aral[slurm]'" in refused(aral, capsys, "--engine=slurm")


@pytest.mark.usefixtures("here")
def test_clusters_that_cannot_be_used_are_named(aral, capsys, monkeypatch, tmp_path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        assert address in refused(aral, capsys, "--engine=ray", f"--address={address}")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert "Unset RAY_AUTH_MODE" in refused(aral, capsys, "--engine=ray")
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refused(aral, capsys, "--engine=slurm")
    assert "sbatch, srun, scancel" in said and "cluster=local" in said
