"""Python files of an export that classify photos: with the graphs, without this package; with the safetensors, with it.

A file gives the pixels that this package reads: upright, eight bits of sRGB a channel, transparency over white.
"""

from __future__ import annotations

from textwrap import indent

READ = '''\
def read(path):
    """A photo as the graph needs it: upright, eight bits of sRGB a channel, transparency over white."""
    image = Image.open(path)
    if enough:  # a large JPEG is decoded at a half, a quarter or an eighth of its size, as in the training
        scale = min(max(image.size) // enough[0], min(image.size) // enough[1])
        if scale > 1:
            image.draft(None, (image.width // scale, image.height // scale))
    image = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode[0] in "IF":  # more than eight bits: black is 0, white the largest value of the usual depths
        low, high = image.getextrema()
        whites = (2**bits - 1 for bits in (8, 10, 12, 14, 16, 20, 24, 31))
        if image.mode[0] == "I":
            low, high = min(low, 0), next(white for white in whites if high <= white)
        elif 0 <= low and high <= 1:
            low, high = 0, 1
        scale = 255 / ((high - low) or 1)
        image = image.convert("F").point(lambda level: level * scale + (0.5 - low * scale)).convert("L")
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if image.getbands()[0] == "L" else "RGB")
    if profile:
        with suppress(ImageCms.PyCMSError, OSError):  # of another colour space, or damaged
            source, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
            image = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    image = image.convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
'''


def _loop(classify: str) -> str:
    """The end of a file: classify each photo; one that cannot be read is named and stops nothing."""
    return f"""\
failed = False
for path in sys.argv[1:]:
    try:
{indent(classify, " " * 8)}
        ranked = sorted(zip(probabilities, classes), key=lambda pair: -pair[0])[:3]
        print(path, *(f"{{name}} {{probability:.4f}}" for probability, name in ranked))
    except Exception as error:
        print(f"{{path}} cannot be classified: {{error}}", file=sys.stderr)
        failed = True
sys.exit(failed)
"""


_WITH_ONNX = """\
pixels = np.asarray(read(path))[None]  # N, height, width, 3
probabilities = model.run(None, {"pixels": pixels})[0][0].tolist()"""

ONNX_SNIPPET = f'''\
"""Classify photos: python classify_onnx.py PHOTO [PHOTO ...]. Needs numpy, onnxruntime and pillow."""

import json
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageCms, ImageOps


{READ}

model = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"))
metadata = model.get_modelmeta().custom_metadata_map
classes, enough = json.loads(metadata["classes"]), json.loads(metadata["preprocessing"])["enough"]
{_loop(_WITH_ONNX)}'''

_WITH_TORCH = """\
image = read(path)
pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
probabilities = model(pixels.view(1, image.height, image.width, 3))[0].tolist()"""

TORCH_SNIPPET = f'''\
"""Classify photos: python classify_torch.py PHOTO [PHOTO ...]. Needs torch and pillow."""

import json
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image, ImageCms, ImageOps


{READ}

files = {{"metadata.json": ""}}
model = torch.export.load(Path(__file__).with_name("model.pt2"), extra_files=files).module()
metadata = json.loads(files["metadata.json"])
classes, enough = metadata["classes"], metadata["preprocessing"]["enough"]
{_loop(_WITH_TORCH)}'''

MODEL_SNIPPET = f'''\
"""Classify photos: python load_model.py PHOTO [PHOTO ...]. Needs aral."""

import sys
from pathlib import Path

from aral.annotation import Classifier, classify_file

model = Classifier.load(Path(__file__).with_name("model"))
{_loop("classes, probabilities = zip(*classify_file(model, Path(path)), strict=True)")}'''
