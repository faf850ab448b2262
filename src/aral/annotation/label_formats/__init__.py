"""The forms in which labels are read: one file for each family, all listed in :mod:`aral.annotation.label_files`."""
