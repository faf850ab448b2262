"""Images in: arrays, files, folders and named sets, all as one :class:`DataSet`."""

from typing import TYPE_CHECKING

from aral.lazy import export_lazily

if TYPE_CHECKING:
    from aral.data.arrays import Layout, check_labels, images_from_array
    from aral.data.class_folders import folder_dataset
    from aral.data.dataset import DataSet, Limits
    from aral.data.decode import Fit
    from aral.data.folder import FolderImages, read_image_folder
    from aral.data.named import NAMES, data_root, load, shape_of
    from aral.data.npz import read_npz, write_npz
    from aral.data.unreadable import Reason, Unreadable

__all__ = [
    "NAMES",
    "DataSet",
    "Fit",
    "FolderImages",
    "Layout",
    "Limits",
    "Reason",
    "Unreadable",
    "check_labels",
    "data_root",
    "folder_dataset",
    "images_from_array",
    "load",
    "read_image_folder",
    "read_npz",
    "shape_of",
    "write_npz",
]

export_lazily(__name__)
