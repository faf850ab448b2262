"""A file of another program as backbone: ``onnx:FILE``, N×3×S×S float32 images in, N×F features out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import ValidationError
from torch import Tensor, nn

from aral.errors import BadInput
from aral.representations.backbone import Backbone, Framing, feature_size
from aral.representations.settings import Fit
from aral.representations.weights import file_digest, package

PREFIX = "onnx:"
_DEFAULT_SIDE = 224
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LOG = logging.getLogger(__name__)


def onnx_backbone(file: str) -> Backbone:
    """A network in an ONNX file. How it wants its images may be written beside it, in ``FILE.json``.

    The JSON file may hold ``licence`` and the settings of :class:`aral.representations.Framing`. Without it, images are
    normalised with the mean and standard deviation of ImageNet, which the log says.

    Args:
        file: path of the model, whose output has one row an image; further dimensions are flattened.

    Raises:
        BadInput: onnxruntime is not installed, the file is missing or damaged, or not of such a network.
    """
    path, name = Path(file).expanduser(), PREFIX + file
    onnxruntime = package("onnxruntime", name)
    if not path.is_file():
        raise BadInput(f"There is no file {path}.", "Write --representation onnx:PATH")
    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # each worker has one core
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no class
        raise BadInput(f"{path} cannot be loaded: {error}", "Export it again, as ONNX.") from error
    inputs = session.get_inputs()
    shape = inputs[0].shape
    if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or inputs[0].type != "tensor(float)":
        raise BadInput(
            f"{path} reads {', '.join(f'{each.name} {each.type} {each.shape}' for each in inputs)}.",
            "One input of N×3×S×S float32 is needed.",
        )
    fixed = shape[2] if isinstance(shape[2], int) else None
    licence, framing = _about(path, fixed)
    trunk = OnnxTrunk(session, inputs[0].name, isinstance(shape[0], int) and shape[0] == 1)
    size = feature_size(name, trunk, framing.side)
    return Backbone(name, licence, str(path), file_digest(path), size, framing, trunk)


class OnnxTrunk(nn.Module):
    """Runs a session of onnxruntime; it cannot be exported again.

    Args:
        session: of onnxruntime.
        input_name: of its only input.
        one_by_one: the graph takes one image at a time.
    """

    def __init__(self, session: Any, input_name: str, one_by_one: bool) -> None:
        super().__init__()
        self._session = session
        self._input = input_name
        self._one_by_one = one_by_one

    def forward(self, images: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N F"]:
        """Features of normalised images."""
        given = np.ascontiguousarray(images.cpu().numpy())
        parts = np.split(given, len(given)) if self._one_by_one else [given]
        found = [self._session.run(None, {self._input: part})[0] for part in parts]
        return torch.from_numpy(np.concatenate(found)).flatten(1).to(images.device)


def _about(path: Path, side: int | None) -> tuple[str, Framing]:
    """Licence and framing from the file beside the model."""
    beside = path.with_name(f"{path.name}.json")
    if not beside.is_file():
        _LOG.warning("%s: normalised as for ImageNet; write %s if that is wrong", path, beside.name)
        framing = Framing(
            side=side or _DEFAULT_SIDE,
            fit=Fit.PAD,
            mean=tuple(255 * value for value in _MEAN),
            std=tuple(255 * value for value in _STD),
        )
        return "unknown", framing
    try:
        table = json.loads(beside.read_text())
        licence = str(table.pop("licence", "unknown"))
        framing = Framing.model_validate({"side": side or _DEFAULT_SIDE} | table)
    except (ValueError, AttributeError, ValidationError) as error:
        raise BadInput(
            f"{beside} cannot be used: {error}", "It holds licence, side, fit, mean, std, …"
        ) from error
    if side not in (None, framing.side):
        raise BadInput(f"{beside} has side {framing.side}, but {path} reads {side}.", "Correct the side.")
    return licence, framing
