"""An Android library of x86-64 → the same code, bound to glibc and `libhost.so` (host.c), not to Android's libraries.

Only the dynamic section changes: versions of symbols are no longer asked for, and of the libraries that it needs,
Android's C library becomes `libhost.so`'s short name and the others of the system are dropped: the process has them.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

LOAD, DYNAMIC = 1, 2
NULL, NEEDED, STRTAB, STRSZ, VERSYM, VERNEED, VERNEEDNUM = 0, 1, 5, 10, 0x6FFFFFF0, 0x6FFFFFFE, 0x6FFFFFFF
IGNORED = 0x60000FFF  # in the range that systems may use for their own; glibc passes over it
SYSTEM = {b"libm.so", b"libdl.so", b"liblog.so", b"libandroid.so"}
C_LIBRARY, SHIM = b"libc.so", b"libh.so"  # names of one length, so that the one can be written over the other


def rebind(library: Path, target: Path) -> None:
    """Write a bound copy of `library`."""
    content = bytearray(library.read_bytes())
    segments = list(_segments(content))
    start = next(offset for kind, offset, _, _ in segments if kind == DYNAMIC)
    entries = list(_entries(content, start))
    table = {tag: value for _, tag, value in entries}
    address = table[STRTAB]
    strings = next(
        offset + address - where for kind, offset, where, size in segments
        if kind == LOAD and where <= address < where + size
    )  # fmt: skip
    for place, tag, value in entries:
        name = bytes(content[strings + value : content.index(0, strings + value)]) if tag == NEEDED else b""
        if tag in (VERSYM, VERNEED, VERNEEDNUM) or name in SYSTEM:
            struct.pack_into("<q", content, place, IGNORED)
        if name == C_LIBRARY:
            content[strings + value : strings + value + len(SHIM)] = SHIM
    target.write_bytes(content)


def _segments(content: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Kind, offset in the file, address, size in the file."""
    (table,), (count,) = struct.unpack_from("<Q", content, 32), struct.unpack_from("<H", content, 56)
    for number in range(count):
        kind, _, offset, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", content, table + 56 * number)
        yield kind, offset, address, size


def _entries(content: bytes, start: int) -> Iterator[tuple[int, int, int]]:
    """Place, tag and value of each entry of the dynamic section."""
    for place in range(start, len(content), 16):
        tag, value = struct.unpack_from("<qQ", content, place)
        yield place, tag, value
        if tag == NULL:
            return
