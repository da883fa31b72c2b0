"""Data: a source of labelled images or recordings, cut into train, validation and test.

`load_data` is the door. A source is named in one string:

    fashion-mnist-mini      10,000 train and 2,000 test images that ship with the package (the default)
    fashion-mnist           the complete set: from `EDGESTILL_DATA`, the system, the cache, or a checked download
    image-folder:PATH       a folder per class; or PATH/train and PATH/test with a folder per class in each; for tasks
                            other than image classification photos with a table of targets beside them
    audio-folder:PATH       the same with recordings
    parquet:PATH            train.parquet and test.parquet with images or sounds, as data hubs hand them out
    module:function         a function of your own that returns an `ImageSource`

The test split is given by the source and only read at the very end of a run; validation is cut from the source's train
split with a seed, class by class, where the source has none of its own; calibration draws from train. `edgestill data`
prints what is in a source before anything is trained (`inspection.py`).
"""

from .augmentation import Augmentation, augmentation_for, default_augmentation
from .options import DataOptions
from .reading import Reading
from .sources import load_data, open_source
from .types import Calibration, Data, Images, ImageSource, Split
from .views import Views

__all__ = [
    "Augmentation",
    "Calibration",
    "Data",
    "DataOptions",
    "ImageSource",
    "Images",
    "Reading",
    "Split",
    "Views",
    "augmentation_for",
    "default_augmentation",
    "load_data",
    "open_source",
]
