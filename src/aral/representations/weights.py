"""Weights of other projects: read once with their SHA-256 checked, kept as safetensors, never unpickled otherwise."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from aral.durable import write_file
from aral.errors import BadInput, RunFailed

CACHE_VARIABLE = "XDG_CACHE_HOME"


def cache_folder() -> Path:
    """Where aral keeps what can be made again: ``$XDG_CACHE_HOME/aral``, else ``~/.cache/aral``."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache").expanduser() / "aral"


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_checkpoint(path: Path, digest: str, remedy: str) -> dict[str, Tensor]:
    """The tensors of a PyTorch checkpoint, in its order.

    The bytes are verified before they are parsed, and parsed with ``weights_only``, which runs no code of the file.

    Args:
        path: the file.
        digest: SHA-256 that it must have, or the first digits of it.
        remedy: what to do when the file is missing or another one, for the error.

    Raises:
        BadInput: the file is missing, has another SHA-256, or holds no weights, or weights that are NaN or infinite.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"The weights {path} cannot be read: {error.strerror}.", remedy) from error
    found = hashlib.sha256(content).hexdigest()
    if not digest or not found.startswith(digest):
        raise BadInput(
            f"The weights {path} are not the expected ones: SHA-256 {found}, not {digest}.",
            remedy,
        )
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything
        raise BadInput(f"The weights {path} cannot be understood: {error}", remedy) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BadInput(f"The file {path} holds no weights (tensors by name).", remedy)
    check_finite(state, str(path), remedy)
    return dict(state)


def package(name: str, backbone: str) -> Any:
    """An optional package.

    Args:
        name: of the package.
        backbone: that needs it, for the error.

    Raises:
        BadInput: it is not installed; says what to type.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        extra = "onnx" if name == "onnxruntime" else "backbones"
        raise BadInput(
            f"Representation '{backbone}' needs the package {name}: {error}.", f"pip install 'aral[{extra}]'"
        ) from error


def missing_weights(backbone: str, otherwise: str) -> BadInput:
    """The error for weights that are not on this machine and may not be fetched.

    Args:
        backbone: whose weights.
        otherwise: what to do on a machine without a network.
    """
    return BadInput(
        f"The weights of '{backbone}' are not on this machine, and nothing is downloaded unasked.",
        f"Add --download, or {otherwise}.",
    )


def from_hub(backbone: str, repository: str, patterns: Sequence[str], download: bool) -> Path:
    """The folder of a repository of Hugging Face's hub in its local cache.

    Args:
        backbone: whose files, for the errors.
        repository: such as ``"timm/resnet10t.c3_in1k"``.
        patterns: of the files that are needed.
        download: whether missing files may be fetched.

    Raises:
        BadInput: files are missing and may not be fetched.
        RunFailed: the download failed.
    """
    hub = package("huggingface_hub", backbone)
    try:
        found = hub.snapshot_download(
            repository, allow_patterns=list(patterns), local_files_only=not download
        )
    except Exception as error:  # the classes of its errors differ from version to version
        if not download:
            raise missing_weights(
                backbone,
                f"copy models--{repository.replace('/', '--')} from the hub's cache of another machine",
            ) from error
        reason = str(error).partition("\n")[0]
        raise RunFailed(
            f"The weights of '{backbone}' could not be downloaded: {reason}", "Try again, or check the name."
        ) from error
    folder = Path(found)
    if not download and not any(path for pattern in patterns for path in folder.glob(pattern)):
        raise missing_weights(backbone, f"complete {folder}")
    return folder


def check_finite(state: Mapping[str, Tensor], source: str, remedy: str) -> None:
    """Refuse weights that are NaN or infinite.

    Args:
        state: tensors by name.
        source: of the weights, for the error.
        remedy: what to do.

    Raises:
        BadInput: names the first such tensor.
    """
    for name, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise BadInput(f"The weights {source} are NaN or infinite in '{name}'.", remedy)


def kept_as_safetensors(name: str, digest: str) -> dict[str, Tensor] | None:
    """The tensors that :func:`keep_as_safetensors` kept; None if there are none, or damaged ones.

    Args:
        name: of the backbone.
        digest: SHA-256 of the checkpoint that they came from.
    """
    try:
        content = _kept(name, digest).read_bytes()
        expected = _kept(name, digest).with_suffix(".sha256").read_text()
    except OSError:
        return None
    return dict(load(content)) if hashlib.sha256(content).hexdigest() == expected else None


def keep_as_safetensors(name: str, digest: str, state: Mapping[str, Tensor]) -> None:
    """Keep weights in the user's cache, so that the checkpoint is parsed once; a full or read-only disk is no error."""
    path = _kept(name, digest)
    content = save({key: value.contiguous() for key, value in state.items()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
        write_file(path.with_suffix(".sha256"), hashlib.sha256(content).hexdigest().encode())
    except OSError:
        return


def _kept(name: str, digest: str) -> Path:
    return cache_folder() / "weights" / f"{name}-{digest[:16]}.safetensors"
