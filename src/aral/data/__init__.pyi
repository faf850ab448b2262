from .arrays import Layout, check_labels, images_from_array
from .class_folders import folder_dataset
from .dataset import DataSet, FeaturesOf, Limits
from .feature_arrays import FeatureArrays, read_feature_arrays
from .folder import FolderImages, Reader, read_image_folder
from .image_arrays import NPZ, npz_dataset, resized
from .labelled_folder import labelled_folder_dataset
from .named import NAMES, data_root, load, shape_of
from .npz import read_npz, write_npz
from .pool_changes import PoolSettings, changed_pool, class_number
from .shards import FoundShards, Shard, ShardReading, find_shards, open_shards
from .unreadable import Reason, Unreadable

__all__ = [
    "NAMES",
    "NPZ",
    "DataSet",
    "FeatureArrays",
    "FeaturesOf",
    "FolderImages",
    "FoundShards",
    "Layout",
    "Limits",
    "PoolSettings",
    "Reader",
    "Reason",
    "Shard",
    "ShardReading",
    "Unreadable",
    "changed_pool",
    "check_labels",
    "class_number",
    "data_root",
    "find_shards",
    "folder_dataset",
    "images_from_array",
    "labelled_folder_dataset",
    "load",
    "npz_dataset",
    "open_shards",
    "read_feature_arrays",
    "read_image_folder",
    "read_npz",
    "resized",
    "shape_of",
    "write_npz",
]
