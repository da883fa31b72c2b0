"""An APK without Google's build tools: aapt2 and apksigner are Debian's, the dexer is AOSP's dx, from Maven Central."""

import hashlib
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

PACKAGE = "dev.edgestill.demo"
MIN_SDK, TARGET_SDK = 26, 35
DX_SHA256 = "1e4b645628e3bdb097b5331d669e177ef235a551582a8c646dbe36865e541907"
DX_MAIN = "com.android.dx.command.Main"
ABI = "arm64-v8a"
PAGE = 1 << 14
ALIGNMENT_FIELD = 0xD935
STORED = (".pte", ".tflite", ".npz")  # as in app/build.gradle.kts


def link_resources(app: Path, build: Path) -> None:
    """Resources and assets → `resources.apk`, and R.java; and where Robolectric finds them."""
    work = build / "apk"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    # Gradle takes the package from its own file, aapt2 from the manifest.
    text = (app / "src/main/AndroidManifest.xml").read_text()
    manifest = work / "AndroidManifest.xml"
    manifest.write_text(text.replace("<manifest ", f'<manifest package="{PACKAGE}" ', 1))
    run("aapt2", "compile", "--dir", app / "src/main/res", "-o", work / "compiled.zip")
    run(
        "aapt2", "link", "-I", build / "artifacts/android-all.jar", "--manifest", manifest,
        "--min-sdk-version", MIN_SDK, "--target-sdk-version", TARGET_SDK, "--version-code", 1, "--version-name", "1.0",
        "-A", app / "src/main/assets", "--java", build / "generated", "--debug-mode",
        "-o", work / "resources.apk", work / "compiled.zip",
    )  # fmt: skip
    config = build / "robolectric/com/android/tools/test_config.properties"
    config.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "android_resource_apk": work / "resources.apk",
        "android_merged_manifest": manifest,
        "android_merged_assets": app / "src/main/assets",
        "android_custom_package": PACKAGE,
    }
    config.write_text("".join(f"{key}={value}\n" for key, value in facts.items()))


def package(app: Path, build: Path) -> Path:
    """Classes, libraries, resources → an APK that is aligned and signed with a debug key."""
    work = build / "apk"
    dexer = build / "artifacts/dalvik-dx.jar"
    found = hashlib.sha256(dexer.read_bytes()).hexdigest()
    if found != DX_SHA256:
        raise SystemExit(f"the dexer has sha256 {found}, not {DX_SHA256}")
    jars = [app / "target/app-1.jar", *sorted((work / "jars").glob("*.jar")), *(build / "libraries").glob("*.jar")]
    classes = work / "classes"
    shutil.rmtree(classes, ignore_errors=True)
    for jar in jars:
        _unpack_classes(jar, classes)
    run(
        "java",
        "-Xmx2g",
        "-cp",
        dexer,
        DX_MAIN,
        "--dex",
        "--multi-dex",
        f"--min-sdk-version={MIN_SDK}",
        f"--output={work}",
        classes,
    )
    unaligned = work / "unaligned.apk"
    shutil.copy(work / "resources.apk", unaligned)
    with zipfile.ZipFile(unaligned, "a") as archive:
        for dex in sorted(work.glob("classes*.dex")):
            archive.write(dex, dex.name, zipfile.ZIP_DEFLATED)
        for name, content in _libraries(build).items():
            # Stored: Android maps libraries from where they lie in the APK.
            archive.writestr(f"lib/{ABI}/{name}", content, zipfile.ZIP_STORED)
    aligned, signed = work / "aligned.apk", build / "edgestill-demo.apk"
    _align(unaligned, aligned)
    key = work / "debug.keystore"
    key.unlink(missing_ok=True)
    run(
        "keytool", "-genkeypair", "-keystore", key, "-storepass", "android", "-alias", "debug", "-keyalg", "RSA",
        "-keysize", 2048, "-validity", 10000, "-dname", "CN=Android Debug",
    )  # fmt: skip
    run(
        "apksigner", "sign", "--ks", key, "--ks-pass", "pass:android", "--min-sdk-version", MIN_SDK,
        "--out", signed, aligned,
    )  # fmt: skip
    return signed


def _unpack_classes(jar: Path, target: Path) -> None:
    """Classes of a jar, those for newer Javas and module descriptions left out, in the form of Java 8 (see below)."""
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if not name.endswith(".class") or name.startswith("META-INF/") or name == "module-info.class":
                continue
            content = bytearray(archive.read(name))
            # dx reads up to version 53. What 54 and 55 brought is nest mates, which `nests` looks for, and constants
            # that no compiler writes yet.
            content[6:8] = min(int.from_bytes(content[6:8], "big"), 52).to_bytes(2, "big")
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _libraries(build: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in sorted((build / "libraries" / ABI).glob("*.so"))}
    for jar in ("tensorflow-lite-android-arm64.jar", "javacpp-android-arm64.jar"):
        with zipfile.ZipFile(build / "artifacts" / jar) as archive:
            for name in archive.namelist():
                if name.startswith(f"lib/{ABI}/") and name.endswith(".so"):
                    found[Path(name).name] = archive.read(name)
    return found


def _align(source: Path, target: Path) -> None:
    """As `zipalign -P 16` of newer build tools does: libraries at multiples of 16 kB, all else that is stored at 4.

    Models are stored here: this aapt2 takes `.fp32.pte` for an ending, and would compress them.
    """
    with zipfile.ZipFile(source) as old, open(target, "wb") as raw, zipfile.ZipFile(raw, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            entry.extra = b""
            if entry.filename.endswith(STORED):
                entry.compress_type = zipfile.ZIP_STORED
            if entry.compress_type == zipfile.ZIP_STORED:
                alignment = PAGE if entry.filename.endswith(".so") else 4
                # The field by which apksigner knows what to keep: a head, the alignment, as many zeros as it takes.
                begin = raw.tell() + 30 + len(entry.filename.encode()) + 6
                padding = -begin % alignment
                entry.extra = struct.pack("<HHH", ALIGNMENT_FIELD, 2 + padding, alignment) + bytes(padding)
            new.writestr(entry, content)


def run(*words: object) -> str:
    """Run a command; what it said, or the end of the proof."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{words[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
