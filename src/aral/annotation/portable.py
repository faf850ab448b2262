"""The classifier as a graph that runs without this package: torch.export and, with its extra, ONNX."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from aral.annotation.classifier import Classifier
from aral.annotation.formats import write_exported
from aral.errors import BadInput, RunFailed
from aral.randomness import Stream

TORCH_FILE = "model.pt2"
ONNX_FILE = "model.onnx"
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4
"""The largest difference of a probability between the graph and the classifier."""

CHECKED = 5
"""Images of noise on which both are compared; not the number with which the graph was traced."""


def export_torch(classifier: Classifier, target: Path) -> None:
    """Write a program of ``torch.export``: pixels 0..255, uint8, N×C×H×W, to probabilities N×K.

    Raises:
        RunFailed: the program differs from the classifier, or the file cannot be written.
    """
    images = torch.export.Dim("images", min=1, max=65_536)
    program = torch.export.export(
        classifier.module(),
        (torch.from_numpy(_noise(classifier, 2)),),
        dynamic_shapes={"pixels": {0: images}},
    )
    graph = program.module()
    _compare(classifier, lambda pixels: graph(torch.from_numpy(pixels)).detach().numpy(), "torch.export")
    content = io.BytesIO()
    torch.export.save(program, content)
    write_exported(target, content.getvalue())


def export_onnx(classifier: Classifier, target: Path) -> None:
    """Write an ONNX graph with the same inputs and outputs, after a comparison in onnxruntime.

    Raises:
        BadInput: the packages of the extra ``onnx`` are missing.
        RunFailed: the graph differs from the classifier, or the file cannot be written.
    """
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(
            f"ONNX needs {', '.join(missing)}, which this installation lacks.",
            "Install them: pip install 'aral[onnx]'",
        )
    import onnxruntime

    images = torch.export.Dim("images", min=1, max=65_536)
    program = torch.onnx.export(
        classifier.module(),
        (torch.from_numpy(_noise(classifier, 2)),),
        input_names=["pixels"],
        output_names=["probabilities"],
        dynamic_shapes={"pixels": {0: images}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # only the older exporter returns None
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    _compare(classifier, lambda pixels: np.asarray(session.run(None, {"pixels": pixels})[0]), "ONNX")
    write_exported(target, content)


def _noise(classifier: Classifier, count: int) -> UInt8[np.ndarray, "N C H W"]:
    shape = (count, *classifier.description.shape)
    return Stream.root(0).child("parity").numpy().integers(0, 256, shape, dtype=np.uint8)


def _compare(
    classifier: Classifier,
    graph: Callable[[UInt8[np.ndarray, "N C H W"]], Float[np.ndarray, "N K"]],
    name: str,
) -> None:
    pixels = _noise(classifier, CHECKED)
    difference = float(np.abs(graph(pixels) - classifier.of_pixels(pixels)).max())
    if not difference <= TOLERANCE:
        raise RunFailed(
            f"The {name} graph differs from the classifier by up to {difference:.2g} in a probability.",
            "Use the safetensors of the export instead.",
        )
