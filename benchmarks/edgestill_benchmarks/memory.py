"""Memory of this process, as the kernel counts it."""

from pathlib import Path


def peak_bytes() -> int | None:
    """Largest resident set of this process so far; None where the system does not provide it.

    `VmHWM` of `/proc/self/status`: unlike `getrusage`, it does not carry over what the parent used before `exec`.
    """
    return _status("VmHWM")


def resident_bytes() -> int | None:
    """Resident set of this process now; None where the system does not provide it."""
    return _status("VmRSS")


def _status(name: str) -> int | None:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None
