"""The classifier as a graph that runs without this package: torch.export and, with its extra, ONNX.

Input of a graph: photos of any one size, N×H×W×3, red, green, blue, 0..255 as uint8. Resize, crop, grey and scaling are
inside (:mod:`aral.annotation.preprocessing`), and so are a backbone and the projection of its features. The rest, from
a file to pixels, is in :mod:`aral.annotation.snippets`.
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from aral.annotation.classifier import Classifier
from aral.annotation.formats import write_exported
from aral.durable import Json
from aral.errors import BadInput, RunFailed
from aral.networks import Discriminator
from aral.randomness import Stream

TORCH_FILE = "model.pt2"
ONNX_FILE = "model.onnx"
TRUNK_FILE = "trunk.onnx"
FRAMING_FILE = f"{TRUNK_FILE}.json"
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
"""Of ONNX; runtimes since 2022 have it."""

EXTRA_FILE = "metadata.json"
"""Name of the metadata inside a ``.pt2`` file."""

INPUT, OUTPUT = "pixels", "probabilities"
MOST = 65_536
"""Largest N, H and W."""

TOLERANCE = 1e-4
"""The largest difference of a probability between the graph and the classifier."""

CHECKED = 5
"""Images of noise on which both are compared; not the number with which the graph was traced."""


@dataclass(frozen=True)
class Portable:
    """A graph that was written: name of its file, and the versions it was written and compared with, by name."""

    file: str
    versions: Mapping[str, str]


class NotPortable(BadInput):
    """A classifier, or a part of it, cannot be written as a graph."""


def export_torch(classifier: Classifier, target: Path, metadata: Mapping[str, Json]) -> Portable:
    """Write a program of ``torch.export``: photos to probabilities N×K.

    Args:
        classifier: its preprocessing and weights.
        target: the file.
        metadata: JSON, written into the file as :data:`EXTRA_FILE`.

    Raises:
        BadInput: the classifier's backbone is missing; :class:`NotPortable` if it cannot be part of a graph.
        RunFailed: the program differs from the classifier, or the file cannot be written.
    """
    with _named(classifier, target):
        program = _program(classifier)
    graph = program.module()
    _compare(classifier, lambda pixels: graph(torch.from_numpy(pixels)).detach().numpy(), "torch.export")
    for name, value in program.state_dict.items():
        # A backbone's weights are in the order of channels that is fastest; the file wants them in that of the axes.
        if not value.is_contiguous():
            program.state_dict[name] = nn.Parameter(value.contiguous(), requires_grad=False)
    versions = {"torch": torch.__version__}
    content = io.BytesIO()
    torch.export.save(
        program, content, extra_files={EXTRA_FILE: json.dumps({**metadata, "versions": versions})}
    )
    write_exported(target, content.getvalue())
    return Portable(target.name, versions)


def export_onnx(classifier: Classifier, target: Path, metadata: Mapping[str, Json]) -> Portable:
    """Write an ONNX graph with the same inputs and outputs, after a comparison in onnxruntime.

    Args:
        classifier: its preprocessing and weights.
        target: the file.
        metadata: written into the graph's ``metadata_props``: texts as they are, other values as JSON.

    Raises:
        BadInput: the packages of the extra ``onnx`` are missing, or the classifier's backbone; :class:`NotPortable` if
            it cannot be part of a graph.
        RunFailed: the graph differs from the classifier, or the file cannot be written.
    """
    require_onnx()
    import onnxruntime

    with _named(classifier, target):
        program = torch.onnx.export(
            _program(classifier).run_decompositions({torch.ops.aten.hypot.default: _hypot}),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # only the older exporter returns None
    model = program.model_proto
    versions = {
        "torch": torch.__version__,
        "opset": str(next(each.version for each in model.opset_import if not each.domain)),
        "ir": str(model.ir_version),
        "onnxruntime": onnxruntime.__version__,
    }
    for name, value in {**metadata, "versions": versions}.items():
        model.metadata_props.add(key=name, value=value if isinstance(value, str) else json.dumps(value))
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    _compare(classifier, lambda pixels: np.asarray(session.run(None, {INPUT: pixels})[0]), "ONNX")
    write_exported(target, content)
    return Portable(target.name, versions)


class Trunk(nn.Module):
    """The features of a classifier, before its class layer.

    Args:
        network: of the classifier.
        grey: whether it reads one channel: the mean of the three.
    """

    def __init__(self, network: Discriminator, grey: bool) -> None:
        super().__init__()
        self.network = network
        self.grey = grey

    def forward(self, images: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N F"]:
        """Features of normalised images."""
        return self.network.features(images.mean(1, keepdim=True) if self.grey else images)


def export_trunk(classifier: Classifier, target: Path, licence: str) -> None:
    """Write the trunk of a classifier on pixels as a backbone of one's own: ONNX, and how it wants its images.

    ``--representation onnx:FILE`` reads both.

    Args:
        classifier: its preprocessing and weights.
        target: the ONNX file.
        licence: of the classifier; empty if none is stated.

    Raises:
        BadInput: the packages of the extra ``onnx`` are missing; :class:`NotPortable` if the classifier reads features.
        RunFailed: the graph differs from the trunk, or a file cannot be written.
    """
    require_onnx()
    import onnxruntime

    features = classifier.description.features_of
    if features is not None:
        raise NotPortable(
            f"{target.name} was not written: the classifier reads features of '{features.backbone}'.",
            f"Use that backbone: --representation {features.backbone}",
        )
    preprocessing = classifier.preprocessing
    channels, side, _ = preprocessing.shape
    trunk = Trunk(classifier.network, channels == 1).eval()
    example = torch.zeros(2, 3, side, side)
    program = torch.onnx.export(
        trunk,
        (example,),
        input_names=["images"],
        output_names=["features"],
        dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1, max=MOST)}},
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # only the older exporter returns None
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    noise = torch.from_numpy(_noise(CHECKED, side, side)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        expected = trunk(noise)
    found = torch.from_numpy(session.run(None, {"images": noise.numpy()})[0])
    difference = float((found - expected).abs().max() / expected.abs().max().clamp(min=1))
    if not difference <= TOLERANCE:
        raise RunFailed(
            f"The ONNX graph of the trunk differs from it by up to {difference:.2g} of its largest feature.",
            "Leave out the format trunk.",
        )
    framing = {
        "licence": licence or "unknown",
        "side": side,
        "fit": {"stretch": "squash"}.get(preprocessing.fit, preprocessing.fit),
        "crop_share": preprocessing.crop_share,
        "fill": round(preprocessing.fill),
        "resampling": preprocessing.resampling,
        "mean": list(preprocessing.mean) * (3 // channels),
        "std": list(preprocessing.deviation) * (3 // channels),
    }
    write_exported(target, content)
    write_exported(target.with_name(FRAMING_FILE), (json.dumps(framing, indent=1) + "\n").encode())


def require_onnx() -> None:
    """Check that ONNX can be written.

    Raises:
        BadInput: packages are missing.
    """
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(
            f"ONNX needs {', '.join(missing)}, which this installation lacks.",
            "Install them: pip install 'aral[onnx]'",
        )


def _program(classifier: Classifier) -> torch.export.ExportedProgram:
    return torch.export.export(
        classifier.of_photos(), (_example(classifier),), dynamic_shapes={INPUT: _sizes()}
    )


def _hypot(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """√(a² + b²), which ONNX lacks as one operation."""
    return (one.square() + other.square()).sqrt()


@contextmanager
def _named(classifier: Classifier, target: Path) -> Iterator[None]:
    """An error of the tracer on a backbone, which may run code of other packages, in words."""
    try:
        yield
    except Exception as error:  # the tracers have many classes of errors
        backbone = classifier.backbone()
        if backbone is None:
            raise
        raise NotPortable(
            f"{target.name} was not written: the backbone '{backbone.name}' cannot be part of a graph "
            f"({type(error).__name__}).",
            "Use aral predict, which loads the backbone beside the safetensors of the export.",
        ) from error


def _sizes() -> dict[int, Any]:
    """N, H and W may be any numbers."""
    names = enumerate(("images", "height", "width"))
    return {axis: torch.export.Dim(name, min=1, max=MOST) for axis, name in names}


def _example(classifier: Classifier) -> torch.Tensor:
    """Photos with which a graph is traced; their sizes are no constants of it."""
    _, height, width = classifier.preprocessing.shape
    return torch.zeros((2, height + 3, width + 5, 3), dtype=torch.uint8)


def _noise(count: int, height: int, width: int) -> UInt8[np.ndarray, "N H W 3"]:
    """Grey noise, which is the same in one channel and in three."""
    draw = Stream.root(0).child("parity").numpy()
    return draw.integers(0, 256, (count, height, width, 1), dtype=np.uint8).repeat(3, axis=3)


def _compare(
    classifier: Classifier,
    graph: Callable[[UInt8[np.ndarray, "N H W 3"]], Float[np.ndarray, "N K"]],
    name: str,
) -> None:
    """Compare with the classifier: on images of its own size, and on larger ones of another aspect ratio."""
    preprocessing = classifier.preprocessing
    channels, height, width = preprocessing.shape
    own = _noise(CHECKED, height, width)
    # At half the size every weight is a multiple of a power of two: nothing is rounded differently elsewhere.
    larger = _noise(CHECKED - 2, 2 * height, 4 * width)
    module = classifier.of_photos()
    with torch.no_grad():
        expected, resized = (module(torch.from_numpy(each)).numpy() for each in (own, larger))
    if preprocessing.crop_share == 1:  # an image of its own size is not resized
        expected = classifier.of_pixels(np.ascontiguousarray(own.transpose(0, 3, 1, 2)[:, :channels]))
    for pixels, right in ((own, expected), (larger, resized)):
        difference = float(np.abs(graph(pixels) - right).max())
        if not difference <= TOLERANCE:
            raise RunFailed(
                f"The {name} graph differs from the classifier by up to {difference:.2g} in a probability.",
                "Use the safetensors of the export instead.",
            )
