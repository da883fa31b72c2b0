"""Data formats: one file for each, which lists what lies on disk.

`image_folder` and `parquet` list encoded photos and recordings (`reading.Listing`), `fashion_mnist` gives arrays, `npz`
reads samples for the conversion of a model that no data set belongs to.
"""
