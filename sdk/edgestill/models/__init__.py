"""Models: our students and small teachers, every timm model, and factories of your own.

    dscnn_xs  dscnn_s  dscnn_m  resnet8 …_m …_l        ours, written out in this folder
    timm:NAME                                             any model of timm's registry
    module:factory                                        a callable taking num_classes and in_channels

`create_model` builds one, `load_checkpoint` and `save_checkpoint` move its weights.
"""

from .checkpoint import load_checkpoint, read_metadata, save_checkpoint
from .registry import MODELS, create_model, create_student, multiply_accumulates, parameters

__all__ = [
    "MODELS",
    "create_model",
    "create_student",
    "load_checkpoint",
    "multiply_accumulates",
    "parameters",
    "read_metadata",
    "save_checkpoint",
]
