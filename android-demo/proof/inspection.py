"""What is inside an APK: is it what a phone needs, and what was meant?"""

import gzip
import hashlib
import json
import re
import struct
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

from apk import ABI, MIN_SDK, PAGE, STORED, TARGET_SDK, run

# What Android itself has for every app (the NDK's stable libraries).
SYSTEM_LIBRARIES = {"libc.so", "libm.so", "libdl.so", "liblog.so", "libandroid.so"}
# In the jars, but called by no app that runs models: JavaCPP's builder and Maven plugin, ExecuTorch's training (whose
# lambdas D8 would rewrite), annotations for a compiler.
NEVER_CALLED = (
    "Lorg/bytedeco/javacpp/tools/",
    "Lorg/bytedeco/javacpp/PointerBufferPoolMXBean",
    "Lorg/bytedeco/tensorflowlite/presets/",
    "Lorg/pytorch/executorch/training/",
    "Lcom/google/errorprone/annotations/",
)
AARCH64 = 183
TYPE = re.compile(r"L[A-Za-z][\w$/-]*;")


@dataclass(frozen=True)
class Apk:
    """Facts of an inspected APK: bytes in all, and of each part as it lies in the file."""

    bytes: int
    parts: dict[str, int]
    libraries: tuple[str, ...]
    classes: int


def inspect(path: Path, bundle: Path, framework: Path, java: Path) -> Apk:
    """Look at everything; the first thing that is not as it must be ends the proof.

    Args:
        bundle: the folder whose files the APK must hold as they are.
        framework: a jar with Android's own classes. java: signatures of its Java classes, which that jar leaves out.
    """
    badging = run("aapt2", "dump", "badging", path)
    for fact in (
        f"sdkVersion:'{MIN_SDK}'",
        f"targetSdkVersion:'{TARGET_SDK}'",
        "launchable-activity: name='dev.edgestill.demo.MainActivity'",
    ):
        _must(fact in badging, f"aapt2 does not find {fact}")
    said = run("apksigner", "verify", "-v", "--min-sdk-version", MIN_SDK, path)
    for scheme in ("v2 scheme (APK Signature Scheme v2): true", "v3 scheme (APK Signature Scheme v3): true"):
        _must(scheme in said, f"the signature has no {scheme}")
    run("zipalign", "-c", "-v", "4", path)
    with zipfile.ZipFile(path) as archive:
        _models(archive, bundle)
        libraries = _libraries(archive, path)
        classes = _classes(archive, framework, java)
        parts = _parts(archive)
    return Apk(path.stat().st_size, parts, tuple(libraries), classes)


def _models(archive: zipfile.ZipFile, bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    for name, entry in manifest["files"].items():
        stored = archive.getinfo(f"assets/{bundle.name}/{name}")
        if name.endswith(STORED):
            _must(stored.compress_type == zipfile.ZIP_STORED, f"{name} is compressed")
        digest = hashlib.sha256(archive.read(stored)).hexdigest()
        _must(digest == entry["sha256"], f"{name} is not the bundle's")
    _must(
        archive.read(f"assets/{bundle.name}/manifest.json") == (bundle / "manifest.json").read_bytes(),
        "another manifest",
    )


def _libraries(archive: zipfile.ZipFile, path: Path) -> list[str]:
    found = {Path(entry.filename).name: entry for entry in archive.infolist() if entry.filename.endswith(".so")}
    _must({"libexecutorch.so", "libjnitensorflowlite.so"} <= found.keys(), f"engines are missing: {sorted(found)}")
    with open(path, "rb") as raw:
        for name, entry in found.items():
            _must(entry.filename == f"lib/{ABI}/{name}", f"{entry.filename} is for another processor")
            _must(entry.compress_type == zipfile.ZIP_STORED, f"{name} is compressed")
            raw.seek(entry.header_offset + 26)
            begin = entry.header_offset + 30 + sum(struct.unpack("<HH", raw.read(4)))
            _must(begin % PAGE == 0, f"{name} begins at {begin}, no multiple of {PAGE}")
            content = archive.read(entry)
            (machine,) = struct.unpack_from("<H", content, 18)
            _must(machine == AARCH64, f"{name} is no ARM64 code")
            aligned = [align for kind, align in _segments(content) if kind == 1]
            _must(bool(aligned) and min(aligned) >= PAGE, f"{name} is made for pages of {min(aligned)} bytes")
            needs = _needed(content) - SYSTEM_LIBRARIES - found.keys()
            _must(not needs, f"{name} needs {sorted(needs)}, which are neither Android's nor here")
    return sorted(found)


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    (table,), (count,) = struct.unpack_from("<Q", content, 32), struct.unpack_from("<H", content, 56)
    for number in range(count):
        kind, *_, align = struct.unpack_from("<IIQQQQQQ", content, table + 56 * number)
        yield kind, align


def _needed(content: bytes) -> set[str]:
    with NamedTemporaryFile(suffix=".so") as library:
        library.write(content)
        library.flush()
        said = run("readelf", "-d", library.name)
    return {line.partition("[")[2].rstrip("]") for line in said.splitlines() if "(NEEDED)" in line}


def _classes(archive: zipfile.ZipFile, framework: Path, java: Path) -> int:
    """No class that the code names may be missing: it is here, or Android's own."""
    named: dict[str, set[str]] = {}
    with TemporaryDirectory() as scratch:
        for name in archive.namelist():
            if name.startswith("classes") and name.endswith(".dex"):
                named |= _read_dex(Path(archive.extract(name, scratch)))
    defined = named.keys()
    with zipfile.ZipFile(framework) as jar:
        android = {f"L{name.removesuffix('.class')};" for name in jar.namelist() if name.endswith(".class")}
    android |= _signatures(java)
    for must in (
        "Ldev/edgestill/demo/MainActivity;",
        "Lorg/pytorch/executorch/Module;",
        "Lorg/bytedeco/tensorflowlite/Interpreter;",
    ):
        _must(must in defined, f"{must} is not in the APK")
    missing = (
        {one for user, types in named.items() if not user.startswith(NEVER_CALLED) for one in types} - defined - android
    )
    _must(not missing, f"classes that nobody has: {', '.join(sorted(missing)[:20])}")
    return len(defined)


def _signatures(path: Path) -> set[str]:
    """Classes of a system, from the signatures that animal-sniffer reads: serialized Java, names among its strings."""
    content = gzip.decompress(path.read_bytes())
    names = set()
    for mark in re.finditer(rb"t(?=([\x00-\x02].))", content, re.DOTALL):  # a string: a mark, its length, its bytes
        begin = mark.end() + 2
        text = content[begin : begin + int.from_bytes(mark[1], "big")]
        if re.fullmatch(rb"[a-z][\w/$]*/[\w$]+", text):
            names.add(f"L{text.decode()};")
    return names


def _read_dex(path: Path) -> dict[str, set[str]]:
    """Each class that a dex file defines → all classes that it names, as Debian's dexdump lists them."""
    named: dict[str, set[str]] = {}
    used: set[str] = set()
    for line in run("dexdump", "-d", path).splitlines():
        if line.startswith("  Class descriptor"):
            used = named.setdefault(line.split("'")[1], set())
        else:
            used.update(TYPE.findall(line))
    return named


def _parts(archive: zipfile.ZipFile) -> dict[str, int]:
    """Bytes in the APK by what they are."""
    parts: dict[str, int] = defaultdict(int)
    for entry in archive.infolist():
        name = entry.filename
        if name.endswith(".so"):
            part = Path(name).name
        elif name.startswith("classes"):
            part = "code (dex)"
        elif name.startswith("assets/"):
            part = "bundle and samples"
        else:
            part = "resources and signature"
        parts[part] += entry.compress_size
    return dict(parts)


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"the APK is not as it must be: {otherwise}")
