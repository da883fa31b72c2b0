"""Peak memory of this process, as the kernel counted it."""

from pathlib import Path


def peak_bytes() -> int | None:
    """Largest resident set of this process so far; None where the system does not tell.

    `VmHWM` of `/proc/self/status`: unlike `getrusage`, it does not carry over what the parent used before `exec`.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
