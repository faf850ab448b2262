from .arrays import Layout, check_labels, images_from_array
from .class_folders import folder_dataset
from .dataset import DataSet, FeaturesOf, Limits
from .feature_arrays import FeatureArrays, read_feature_arrays
from .folder import FolderImages, Reader, read_image_folder
from .named import NAMES, data_root, load, shape_of
from .npz import read_npz, write_npz
from .unreadable import Reason, Unreadable

__all__ = [
    "NAMES",
    "DataSet",
    "FeatureArrays",
    "FeaturesOf",
    "FolderImages",
    "Layout",
    "Limits",
    "Reader",
    "Reason",
    "Unreadable",
    "check_labels",
    "data_root",
    "folder_dataset",
    "images_from_array",
    "load",
    "read_feature_arrays",
    "read_image_folder",
    "read_npz",
    "shape_of",
    "write_npz",
]
