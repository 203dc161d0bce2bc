"""A dataset builder of TensorFlow Datasets, as small as they come; it must live in a package."""
