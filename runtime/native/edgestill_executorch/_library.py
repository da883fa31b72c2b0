"""The C library, as src/edgestill_executorch.h describes it, and the engine's log on its way to `logging`."""

import ctypes
import logging
from pathlib import Path

from .errors import ExecuTorchError

MAX_RANK = 16
ABI_VERSION = 2
NOT_FINITE = -2
TENSOR, INT, DOUBLE, BOOL, NONE, OTHER = range(6)
LOGGER = logging.getLogger(__package__)
# Silent unless the application asks: without this, Python would print warnings to standard error.
LOGGER.addHandler(logging.NullHandler())
LEVELS = {"D": logging.DEBUG, "I": logging.INFO, "E": logging.ERROR, "F": logging.CRITICAL}


class Info(ctypes.Structure):
    """`es_info`."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("dtype", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("dynamic", ctypes.c_int32),
        ("planned", ctypes.c_int32),
        ("sizes", ctypes.c_int32 * MAX_RANK),
        ("dim_order", ctypes.c_uint8 * MAX_RANK),
        ("bytes", ctypes.c_uint64),
        ("name", ctypes.c_char * 64),
    )


class Value(ctypes.Structure):
    """`es_value`."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("capacity", ctypes.c_uint64),
        ("integer", ctypes.c_int64),
        ("real", ctypes.c_double),
        ("rank", ctypes.c_int32),
        ("sizes", ctypes.c_int32 * MAX_RANK),
    )


class Event(ctypes.Structure):
    """`es_event`."""

    _fields_ = (
        ("start_ns", ctypes.c_uint64),
        ("duration_ns", ctypes.c_uint64),
        ("delegated", ctypes.c_int32),
        ("name", ctypes.c_char * 128),
    )


_HANDLE, _CODE, _SIZE = ctypes.c_void_p, ctypes.c_int32, ctypes.c_size_t
_FUNCTIONS = {
    "es_abi_version": (_CODE, ()),
    "es_start": (None, ()),
    "es_take_log": (_CODE, (ctypes.c_char_p, _SIZE)),
    "es_get_threads": (_CODE, (ctypes.POINTER(ctypes.c_uint32),)),
    "es_set_threads": (_CODE, (ctypes.c_uint32,)),
    "es_program_open_file": (_CODE, (ctypes.c_char_p, ctypes.POINTER(_HANDLE))),
    "es_program_open_bytes": (_CODE, (ctypes.c_void_p, _SIZE, ctypes.POINTER(_HANDLE))),
    "es_program_close": (None, (_HANDLE,)),
    "es_program_method_count": (_SIZE, (_HANDLE,)),
    "es_program_method_name": (ctypes.c_char_p, (_HANDLE, _SIZE)),
    "es_method_open": (_CODE, (_HANDLE, ctypes.c_char_p, _CODE, _CODE, _CODE, ctypes.POINTER(_HANDLE))),
    "es_method_close": (None, (_HANDLE,)),
    "es_method_input_count": (_SIZE, (_HANDLE,)),
    "es_method_output_count": (_SIZE, (_HANDLE,)),
    "es_method_input": (_CODE, (_HANDLE, _SIZE, ctypes.POINTER(Info))),
    "es_method_output": (_CODE, (_HANDLE, _SIZE, ctypes.POINTER(Info))),
    "es_method_output_data": (ctypes.c_void_p, (_HANDLE, _SIZE)),
    "es_method_planned_bytes": (ctypes.c_uint64, (_HANDLE,)),
    # Arrays are passed by address: ctypes does not convert them.
    "es_method_run": (_CODE, None),
    "es_method_event_count": (_SIZE, (_HANDLE,)),
    "es_method_event": (_CODE, (_HANDLE, _SIZE, ctypes.POINTER(Event))),
}


def _load() -> ctypes.CDLL:
    """The library, with the kernels and backends that lie beside it registered."""
    folder = Path(__file__).parent / "lib"
    library = ctypes.CDLL(str(folder / "libedgestill_executorch.so"))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        if arguments is not None:
            function.argtypes = arguments
    if (found := library.es_abi_version()) != ABI_VERSION:
        raise ImportError(
            f"edgestill-executorch's library has ABI version {found}, its Python part needs {ABI_VERSION}"
        )
    library.es_start()
    # They register themselves when they are loaded, and log what goes wrong: so only now.
    _KEPT.extend(ctypes.CDLL(str(path)) for path in sorted(folder.glob("libedgestill_et_*.so")))
    return library


_KEPT: list[ctypes.CDLL] = []
LIBRARY = _load()


def check(code: int, doing: str) -> None:
    """Hand waiting log lines to `logging`; raise ExecuTorchError, with the errors among them, if `code` is one."""
    errors, line = [], ctypes.create_string_buffer(1024)
    while level := LIBRARY.es_take_log(line, len(line)):
        text, number = line.value.decode(errors="replace"), LEVELS.get(chr(level), logging.WARNING)
        LOGGER.log(number, "%s", text)
        if number >= logging.ERROR:
            errors.append(text)
    if code > 0:
        raise ExecuTorchError(doing, code, errors)
