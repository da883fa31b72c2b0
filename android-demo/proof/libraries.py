"""ExecuTorch's Android library, for a proof without Google's and without PyTorch's own archive.

`org.pytorch:executorch-android`, which the Gradle build uses, could not be had from the repositories of the proof. The
npm package `react-native-executorch` (Software Mansion, MIT) carries a build of the same library: PyTorch's Java
classes, and `libexecutorch.so` for arm64-v8a, which goes into the proof's APK, and for x86-64, which a desktop JVM can
load through bionic/: the app's own engine then runs the real Android code.
"""

import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from bionic.rebind import SHIM, rebind
from npm import fetch_package

PACKAGE = "react-native-executorch@0.9.3"
SHA256 = "70a20a865b82f47ac46c82711d93c2038cf99eccbb9b287494219063f2217622"
CLASSES = "android/libs/classes.jar"
NATIVE = "third-party/android/libs/executorch/{abi}/libexecutorch.so"
HERE = Path(__file__).parent


def fetch(target: Path) -> None:
    """`executorch.jar`, `arm64-v8a/`, `x86_64/` in `target`, once."""
    if (target / "executorch.jar").is_file():
        return
    with TemporaryDirectory() as scratch:
        package = fetch_package(PACKAGE, SHA256, Path(scratch))
        for abi in ("arm64-v8a", "x86_64"):
            (target / abi).mkdir(parents=True, exist_ok=True)
            shutil.copy(package / NATIVE.format(abi=abi), target / abi)
        shutil.copy(package / CLASSES, target / "executorch.jar")


def unpack_fbjni(aar: Path, target: Path) -> None:
    """Its classes and libraries, beside ExecuTorch's, which needs them."""
    with zipfile.ZipFile(aar) as archive:
        (target / "fbjni.jar").write_bytes(archive.read("classes.jar"))
        for abi in ("arm64-v8a", "x86_64"):
            for name in ("libfbjni.so", "libc++_shared.so"):
                (target / abi / name).write_bytes(archive.read(f"jni/{abi}/{name}"))


def bind_to_host(target: Path) -> None:
    """`host/`: the x86-64 libraries as a desktop JVM can load them."""
    host = target / "host"
    host.mkdir(exist_ok=True)
    for library in (target / "x86_64").glob("*.so"):
        rebind(library, host / library.name)
    java = _java_home()
    short = SHIM.decode()
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-fno-builtin", f"-I{java}/include", f"-I{java}/include/linux",
         "-Wall", "-Werror",
         HERE / "bionic/host.c", "-o", host / "libhost.so", f"-Wl,-soname,{short}", "-ldl"], check=True,
    )  # fmt: skip


def _java_home() -> Path:
    words = ["java", "-XshowSettings:properties", "-version"]
    settings = subprocess.run(words, check=True, capture_output=True, text=True).stderr
    return Path(re.search(r"java\.home = (.*)", settings)[1])
