"""Explanations of ExecuTorch's error codes."""

from collections.abc import Iterable

# executorch/runtime/core/error.h → (its name there, what it means here)
MEANINGS = {
    0x01: ("Internal", "an internal error"),
    0x02: ("InvalidState", "the method is not in a state for this"),
    0x03: ("EndOfMethod", "the method has already ended"),
    0x04: ("AlreadyLoaded", "it is loaded already"),
    0x10: ("NotSupported", "the file needs something that this build does not support"),
    0x11: ("NotImplemented", "the file needs something that ExecuTorch has not implemented"),
    0x12: ("InvalidArgument", "an argument does not fit the method"),
    0x13: ("InvalidType", "a value has another type than the method says"),
    0x14: ("OperatorMissing", "the file uses an operator that is not in this build; export it with XNNPACK delegation"),
    0x15: ("RegistrationExceedingMaxKernels", "too many kernels are registered"),
    0x16: ("RegistrationAlreadyRegistered", "a kernel is registered twice"),
    0x20: ("NotFound", "not found: no such method, or a backend that is not in this build"),
    0x21: ("MemoryAllocationFailed", "not enough memory"),
    0x22: ("AccessFailed", "the file cannot be read"),
    0x23: ("InvalidProgram", "this is no ExecuTorch program, or it is damaged"),
    0x24: ("InvalidExternalData", "the data beside the program are damaged"),
    0x25: ("OutOfResources", "something is too large for the room that is left for it"),
    0x30: (
        "DelegateInvalidCompatibility",
        "the delegate's data come from an exporter that does not fit, or are damaged",
    ),
    0x31: ("DelegateMemoryAllocationFailed", "not enough memory for the delegate"),
    0x32: ("DelegateInvalidHandle", "the delegate was not initialized"),
}


class NotFiniteError(ValueError):
    """An input holds NaN or infinity, and the method was loaded to refuse them."""


class ExecuTorchError(RuntimeError):
    """ExecuTorch refused.

    Attributes:
        code: of `executorch::runtime::Error`. name: its name there. log: what the engine logged on the way.
    """

    def __init__(self, doing: str, code: int, log: Iterable[str] = ()) -> None:
        self.code = code
        self.name, meaning = MEANINGS.get(code, (f"0x{code:x}", "an error that this package does not know"))
        self.log = tuple(log)
        details = f" The engine said: {'; '.join(self.log)}" if self.log else ""
        super().__init__(f"{doing}: {meaning} ({self.name}).{details}")
