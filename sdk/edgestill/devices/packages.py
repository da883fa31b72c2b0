"""What a device has to install, and the wheels that the host brings along for it."""

import hashlib
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from edgestill_runtime.engines import check_engine, get_family

from ..errors import DeviceError

PACKAGES = ("edgestill_runtime", "edgestill_benchmarks")  # what numpy and an engine are enough for
PYTHONS = ((3, 11), (3, 13))
_EXTRA = "edgestill["


@dataclass(frozen=True)
class Target:
    """What wheels have to fit.

    Args:
        architecture: as `platform.machine()` says it. python: major and minor. glibc: version, () where there is none.
    """

    architecture: str
    python: tuple[int, int]
    glibc: tuple[int, int] | tuple[()]


def check_engines(engines: Iterable[str]) -> None:
    """Refuse what is no engine that a device could get; of its packages a device gets the best one.

    Raises:
        EngineError: says which names are valid.
    """
    for engine in engines:
        check_engine(engine, packages=False)


def requirements(engines: Iterable[str]) -> list[str]:
    """What pip is asked for: this very version of edgestill with the extras of the engines, and Pillow for images; and
    the packages that bring the other engines.

    Raises:
        EngineError: an engine that is not known here.
    """
    asked = [get_family(engine).requirement for engine in engines]
    own = [one.removeprefix(_EXTRA).removesuffix("]") for one in asked if one.startswith(_EXTRA)]
    others = sorted(one for one in asked if not one.startswith(_EXTRA))
    return [f"{_EXTRA}{','.join(sorted({'image', *own}))}]=={metadata.version('edgestill')}", *others]


def pack_runtime(folder: Path) -> Path:
    """A wheel of edgestill with nothing in it but what runs on a device, made from what is installed here.

    The same packages give the same bytes, so its hash says whether a device has them already.
    """
    name = f"edgestill-{metadata.version('edgestill')}"
    described = metadata.distribution("edgestill").read_text("METADATA")
    if described is None:
        raise DeviceError("edgestill is not installed here, only found; install it (pip install edgestill)")
    contents: dict[str, bytes] = {}
    for package in PACKAGES:
        spec = util.find_spec(package)
        assert spec is not None and spec.submodule_search_locations
        root = Path(next(iter(spec.submodule_search_locations)))
        for path in sorted(root.rglob("*")):
            inside = path.relative_to(root)
            if path.is_file() and "__pycache__" not in inside.parts and inside.parts[0] != "report":
                contents[f"{package}/{inside.as_posix()}"] = path.read_bytes()
    place = f"{name}.dist-info"
    contents[f"{place}/METADATA"] = described.encode()
    contents[f"{place}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: edgestill\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{file},sha256={_record_hash(content)},{len(content)}\n" for file, content in contents.items())
    contents[f"{place}/RECORD"] = (record + f"{place}/RECORD,,\n").encode()
    target = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as wheel:
        for file, content in contents.items():
            wheel.writestr(zipfile.ZipInfo(file), content, zipfile.ZIP_DEFLATED)  # without a time
    return target


def fitting(folders: Sequence[Path], target: Target) -> list[Path]:
    """The wheels of some folders that fit a device, all but edgestill's own.

    Raises:
        DeviceError: a folder is none, or holds no wheel at all.
    """
    found = []
    for folder in folders:
        wheels = sorted(folder.glob("*.whl"))
        if not wheels:
            raise DeviceError(f"{folder} holds no wheels; `make wheels` builds those of edgestill into dist/")
        found += [wheel for wheel in wheels if _fits(wheel.name, target) and not wheel.name.startswith("edgestill-")]
    return found


def download(wanted: Sequence[str], brought: Sequence[Path], target: Target, folder: Path) -> list[Path]:
    """Fetch every wheel that a device will need, on this machine, for a device that has no internet.

    Raises:
        DeviceError: pip is not there, or a package has no wheel for the device; says what pip said.
    """
    if util.find_spec("pip") is None:
        raise DeviceError("to fetch wheels for a device, pip has to be installed here: python -m ensurepip")
    platforms = [f"manylinux_2_{minor}_{target.architecture}" for minor in range(17, (target.glibc or (2, 17))[1] + 1)]
    platforms += [f"manylinux2014_{target.architecture}", f"linux_{target.architecture}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--dest", str(folder), *wanted]
    command += ["--python-version", "{}.{}".format(*target.python)]
    for platform in platforms:
        command += ["--platform", platform]
    for place in dict.fromkeys(wheel.parent for wheel in brought):
        command += ["--find-links", str(place)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise DeviceError(
            f"wheels for {target.architecture} cannot be fetched: {' · '.join(lines) or done.stderr[-500:]}"
        )
    return sorted(folder.glob("*.whl"))


def _fits(name: str, target: Target) -> bool:
    """Whether a wheel's tags fit; the glibc is left to pip, which says it better."""
    python, abi, platforms = name.removesuffix(".whl").split("-")[-3:]
    machine = platforms == "any" or any(one.endswith(f"_{target.architecture}") for one in platforms.split("."))
    major, minor = target.python
    pythons = {f"cp{major}{minor}", f"py{major}", f"py{major}{minor}"}
    own = any(one in pythons for one in python.split("."))
    stable = abi == "abi3" and any(_not_newer(one, target.python) for one in python.split("."))
    return machine and (own or stable)


def _not_newer(tag: str, python: tuple[int, int]) -> bool:
    digits = tag.removeprefix("cp")
    return digits.isdecimal() and (int(digits[0]), int(digits[1:] or 0)) <= python


def _record_hash(content: bytes) -> str:
    return urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
