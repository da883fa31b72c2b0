"""Data: a source of labelled images, cut into train, calibration, validation and test.

`load_data` is the door. A source is named in one string:

    fashion-mnist-mini      10,000 train and 2,000 test images that ship with the package (the default)
    fashion-mnist           the complete set: from `EDGESTILL_DATA`, the system, the cache, or a checked download
    image-folder:PATH       a folder per class; or PATH/train and PATH/test with a folder per class in each
    parquet:PATH            train.parquet and test.parquet with images or sounds, as data hubs hand them out
    module:function         a function of your own that returns an `ImageSource`

The test split is given by the source and only read at the very end of a run; train, calibration and validation are
cut from the source's train split with a seed, class by class.
"""

from .augmentation import Augmentation
from .sources import Data, Images, ImageSource, Split, load_data, open_source
from .views import Views

__all__ = ["Augmentation", "Data", "ImageSource", "Images", "Split", "Views", "load_data", "open_source"]
