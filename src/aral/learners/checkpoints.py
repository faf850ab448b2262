"""Atomic checkpoints of a learner: tensors as safetensors, the rest as JSON, in one sealed folder.

Nothing is ever unpickled. How a folder is written and proven intact: :mod:`aral.durable`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialise_tensors
from torch import Tensor

from aral.durable import DamagedCheckpoint, Json, prune, read_sealed, write_sealed
from aral.errors import RunFailed

__all__ = ["Checkpoint", "DamagedCheckpoint", "load", "newest_valid", "prune", "save"]

TENSORS = "tensors.safetensors"
DOCUMENT = "document.json"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What was saved, verified.

    Attributes:
        path: the checkpoint's folder.
        tensors: by name, on the CPU, bit for bit as saved; each may be written to.
        document: everything else; JSON made lists of tuples.
    """

    path: Path
    tensors: dict[str, Tensor]
    document: dict[str, Json]


def save(folder_parent: Path, name: str, tensors: Mapping[str, Tensor], document: Mapping[str, Json]) -> Path:
    """Write a checkpoint; when this returns it is on the disk.

    A checkpoint of this name that is intact and identical stays as it is; any other is replaced, in a way
    that keeps the old one until the new one is complete. Tensors may be on any device, strided in any way
    and share memory; each is saved on its own.

    Args:
        folder_parent: the folder of checkpoints, made if missing.
        name: the folder of this checkpoint in it.
        tensors: by name; floating-point ones hold finite numbers only.
        document: everything else, as JSON with text as keys.

    Returns:
        The checkpoint's folder.

    Raises:
        RunFailed: a tensor holds NaN or an infinity, or the disk is full or refuses; nothing half-written is
            left at this name.
    """
    if not name or name != Path(name).name:
        raise ValueError(f"{name!r} cannot be the name of a checkpoint")
    files = {
        TENSORS: serialise_tensors(_separate(tensors)),
        DOCUMENT: json.dumps(dict(document)).encode(),
    }
    path = folder_parent / name
    write_sealed(path, files)
    return path


def load(path: Path) -> Checkpoint:
    """Read a checkpoint and verify every byte of it against its manifest.

    Raises:
        DamagedCheckpoint: a file is missing, unreadable, of another size or content than was saved, or of an
            unknown format; the message names the file and what differs.
    """
    files = read_sealed(path, (TENSORS, DOCUMENT))
    try:
        tensors = parse_tensors(files[TENSORS])
        document = json.loads(files[DOCUMENT])
    except (SafetensorError, ValueError) as error:
        raise DamagedCheckpoint(path, f"it holds something else than was saved: {error}") from error
    if not isinstance(document, dict):
        raise DamagedCheckpoint(path, f"{DOCUMENT} holds something else than was saved")
    return Checkpoint(path, tensors, document)


def newest_valid(parent: Path, names: Iterable[str]) -> tuple[Checkpoint, list[DamagedCheckpoint]]:
    """The first checkpoint that verifies, and the damage of those passed over on the way to it.

    Args:
        parent: the folder of checkpoints.
        names: their names, the newest first.

    Raises:
        RunFailed: there is no name, or all of them are damaged.
    """
    skipped: list[DamagedCheckpoint] = []
    for name in names:
        try:
            return load(parent / name), skipped
        except DamagedCheckpoint as damage:
            skipped.append(damage)
    found = " ".join(damage.problem for damage in skipped) or "None is recorded."
    raise RunFailed(f"No checkpoint in {parent} can be used. {found}", "Start this round of the run again.")


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, none of which shares memory with another."""
    separate = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if (tensor.is_floating_point() or tensor.is_complex()) and not torch.isfinite(tensor).all():
            raise RunFailed(
                f"Tensor '{name}' holds NaN or an infinity; the checkpoint was not saved.",
                "Go back to the last checkpoint with a lower learning rate.",
            )
        dense = tensor.detach().to("cpu").contiguous()
        storage = dense.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != dense.nbytes:
            dense = dense.clone()
        seen.add(dense.untyped_storage().data_ptr())
        separate[name] = dense
    return separate
