"""The forms in which a project is exported, by name."""

from __future__ import annotations

from typing import Literal, get_args

Form = Literal["csv", "jsonl", "label-studio", "imagefolder", "model", "torch-export", "onnx"]
FORMS: tuple[Form, ...] = get_args(Form)
USUAL: tuple[Form, ...] = ("csv", "jsonl", "label-studio", "model", "torch-export")
"""Without copies of the images, and without what needs further packages."""

Placing = Literal["copy", "link"]
