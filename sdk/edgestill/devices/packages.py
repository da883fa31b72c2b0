"""The packages that a device has to install, and the wheels that the host brings along for it."""

import hashlib
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from edgestill_runtime.engines import check_engine, get_family

from ..errors import DeviceError

PACKAGES = ("edgestill_runtime", "edgestill_benchmarks")  # those that need numpy and an engine alone
PYTHONS = ((3, 11), (3, 13))
_EXTRA = "edgestill["


@dataclass(frozen=True)
class Target:
    """The device that wheels have to fit.

    Args:
        architecture: of `platform.machine()`. python: major and minor. glibc: version, () where there is none.
    """

    architecture: str
    python: tuple[int, int]
    glibc: tuple[int, int] | tuple[()]

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> "Target":
        """The target that a device describes; see `remote_agent.look`."""
        major, minor, *_ = facts["version"]
        name, libc = facts["libc"]
        glibc = tuple(int(part) for part in libc.split(".")[:2]) if name == "glibc" else ()
        return cls(facts["architecture"], (major, minor), glibc)  # type: ignore[arg-type]


def check_engines(engines: Iterable[str]) -> None:
    """Refuse names that are no engine; an engine's package cannot be chosen, a device gets the best one.

    Raises:
        EngineError: lists the valid names.
    """
    for engine in engines:
        check_engine(engine, packages=False)


def requirements(engines: Iterable[str]) -> list[str]:
    """Requirements for pip: this version of edgestill with the extras of its engines and Pillow for images, and the
    packages of other engines.

    Raises:
        EngineError: an engine that is not known here.
    """
    packages = [get_family(engine).requirement for engine in engines]
    own = [one.removeprefix(_EXTRA).removesuffix("]") for one in packages if one.startswith(_EXTRA)]
    others = sorted(one for one in packages if not one.startswith(_EXTRA))
    return [f"{_EXTRA}{','.join(sorted({'image', *own}))}]=={metadata.version('edgestill')}", *others]


def pack_runtime(folder: Path) -> Path:
    """A wheel of edgestill with the packages alone that run on a device, made from those installed here.

    The same packages give the same bytes, so the hash identifies them.
    """
    name = f"edgestill-{metadata.version('edgestill')}"
    distribution = metadata.distribution("edgestill").read_text("METADATA")
    if distribution is None:
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
    info = f"{name}.dist-info"
    contents[f"{info}/METADATA"] = distribution.encode()
    contents[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: edgestill\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{file},sha256={_record_hash(content)},{len(content)}\n" for file, content in contents.items())
    contents[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    target = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as wheel:
        for file, content in contents.items():
            wheel.writestr(zipfile.ZipInfo(file), content, zipfile.ZIP_DEFLATED)  # ZipInfo's fixed time, not now
    return target


def fitting(folders: Sequence[Path], target: Target) -> list[Path]:
    """The wheels of some folders that fit a device, all but edgestill's own.

    Raises:
        DeviceError: a folder does not exist or holds no wheel, or a file's name is not that of a wheel.
    """
    found = []
    for folder in folders:
        wheels = sorted(folder.glob("*.whl"))
        if not wheels:
            raise DeviceError(f"{folder} holds no wheels; `make wheels` builds those of edgestill into dist/")
        found += [wheel for wheel in wheels if _fits(wheel, target)]
    return found


def download(packages: Sequence[str], brought: Sequence[Path], target: Target, folder: Path) -> list[Path]:
    """Fetch every wheel that a device needs, on this machine, for a device that has no internet.

    Args:
        packages: requirements for pip. brought: wheels here that pip may use. folder: to write the wheels to.

    Raises:
        DeviceError: pip is not installed, or a package has no wheel for the device; has pip's message.
    """
    if util.find_spec("pip") is None:
        raise DeviceError("to fetch wheels for a device, pip has to be installed here: python -m ensurepip")
    # `packaging` lists platforms of the machine that it runs on alone, and pip takes each of another machine's by name.
    platforms = [f"manylinux_2_{minor}_{target.architecture}" for minor in range(17, (target.glibc or (2, 17))[1] + 1)]
    platforms += [f"manylinux2014_{target.architecture}", f"linux_{target.architecture}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--dest", str(folder), *packages]
    command += ["--python-version", "{}.{}".format(*target.python)]
    for platform in platforms:
        command += ["--platform", platform]
    for directory in dict.fromkeys(wheel.parent for wheel in brought):
        command += ["--find-links", str(directory)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise DeviceError(
            f"wheels for {target.architecture} cannot be fetched: {' · '.join(lines) or done.stderr[-500:]}"
        )
    return sorted(folder.glob("*.whl"))


def _fits(wheel: Path, target: Target) -> bool:
    """Whether a wheel is another package's than edgestill, which is packed, and its tags fit.

    The glibc is left to pip, whose message is better.
    """
    try:
        name, _, _, tags = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise DeviceError(f"{wheel} is not named as a wheel: {error}") from error
    interpreter = "cp{}{}".format(*target.python)
    # Never empty, which would stand for the platforms of this machine.
    platforms = [tag.platform for tag in tags if tag.platform.endswith(f"_{target.architecture}")] or ["any"]
    supported = {
        *cpython_tags(target.python, abis=[interpreter], platforms=platforms),
        *compatible_tags(target.python, interpreter, platforms),
    }
    return name != "edgestill" and not supported.isdisjoint(tags)


def _record_hash(content: bytes) -> str:
    return urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
