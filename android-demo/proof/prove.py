"""Prove all of the app that can be proved without a phone and without Google's repository: `make test-android`.

Maven builds the very sources of the Gradle project and runs their tests on a desktop JVM, with real engines; an APK is
made and looked into. What each step proved is printed at the end, and what none of them can.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apk
import browser
import inspection
import libraries
import phone
import screenshots
import vectors
import versions
import web

import edgestill
import edgestill_benchmarks
from edgestill_runtime import open_bundle
from edgestill_runtime.tasks import task_of

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "android-demo"
OLDEST_ANDROID = "8.0.0_r4-robolectric-r1"  # API 26, the app's minSdk
BUNDLE = DEMO / "app/src/main/assets/demo.edge"

UNPROVED = (
    "that Gradle and the Android Gradle Plugin build the project: they are in Google's repository",
    "that org.pytorch:executorch-android, which Gradle takes, answers as the build of it that was run here",
    "latency, memory and heat on a phone: `edgestill bench --device adb:SERIAL` measures them",
    "the ARM64 code of the engines in a process of Android's",
    "gallery and camera apps, TalkBack's voice, and the look on real screens",
)


def main() -> None:
    """Every step, each with its time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=ROOT / "build/android")
    parser.add_argument(
        "--keep-screenshots", action="store_true", help="those of this run are the README's from now on"
    )
    arguments = parser.parse_args()
    build = arguments.build.absolute()
    build.mkdir(parents=True, exist_ok=True)
    proved: list[str] = []

    def step(what: str, act: Callable[[], str]) -> None:
        print(f"=== {what}", flush=True)
        started = time.monotonic()
        proved.append(act())
        print(f"    {time.monotonic() - started:.0f} s: {proved[-1]}", flush=True)

    started = time.monotonic()
    step("versions", lambda: versions.compare(DEMO))
    step("libraries", lambda: _libraries(build))
    step("Python's answers", lambda: _vectors(build))
    beside = ThreadPoolExecutor()  # for a second core: the page needs neither Maven nor an APK
    page = beside.submit(_web, build)
    step("resources", lambda: _resources(build))
    step("compile and test", lambda: _maven(build))
    package = beside.submit(_apk, build)
    step("measurement", lambda: _measurement(build))
    step("edgestill bench", lambda: _bench(build))
    step("APK, made beside them", package.result)
    step("web page, tried beside them", page.result)
    if arguments.keep_screenshots:
        screenshots.keep(build / "screenshots", DEMO / "screenshots")
    step("screenshots", lambda: screenshots.compare(build / "screenshots", DEMO / "screenshots"))
    print(f"\nproved in {time.monotonic() - started:.0f} s:")
    print("\n".join(f"  ✓ {line}" for line in proved))
    print("not proved:")
    print("\n".join(f"  – {line}" for line in UNPROVED))


def _libraries(build: Path) -> str:
    if not (build / "artifacts/fbjni.aar").is_file():
        _mvn(build, DEMO / "proof/pom.xml", "generate-sources")
    libraries.fetch(build / "libraries")
    libraries.unpack_fbjni(build / "artifacts/fbjni.aar", build / "libraries")
    libraries.bind_to_host(build / "libraries")
    return f"ExecuTorch's Android library ({libraries.PACKAGE}, by its hash) can be loaded by a desktop JVM"


def _vectors(build: Path) -> str:
    data = edgestill.load_data("fashion-mnist-mini")
    vectors.write_vectors(BUNDLE, data.test.images, data.test.targets, build / "vectors")
    broken = vectors.broken_count(build / "vectors")
    return f"the Python runtime answered {vectors.IMAGES} test images and refused {broken} damaged bundles"


def _resources(build: Path) -> str:
    apk.link_resources(DEMO / "app", build)
    return "aapt2 takes manifest, layouts, strings in two languages, assets"


def _maven(build: Path) -> str:
    # The oldest Android first: what it has not does not compile.
    _mvn(build, DEMO / "pom.xml", "compile", f"-Dandroid-all.version={OLDEST_ANDROID}")
    _mvn(build, DEMO / "pom.xml", "install")
    counts = []
    for module in ("core", "app"):
        texts = [path.read_text() for path in (DEMO / module / "target/surefire-reports").glob("*.txt")]
        run = sum(int(text.split("Tests run: ")[1].split(",")[0]) for text in texts)
        skipped = sum(int(text.split("Skipped: ")[1].split(",")[0]) for text in texts)
        if not run or skipped:
            raise SystemExit(f"{module}: {run} tests, {skipped} of them skipped")
        counts.append(f"{run} tests of {module}")
    compared = ", ".join((build / f"vectors/kotlin-{what}.txt").read_text() for what in ("photos", "recordings"))
    answers = (build / "vectors/kotlin-answers.txt").read_text()
    return (
        "all sources compile without a warning against Android 8.0 and Android 15, Java's classes included; "
        f"{' and '.join(counts)}: as in Python to the last bit, in both engines; {compared}: difference 0; "
        f"{answers} with their quality and agreement; screens by Android's own graphics"
    )


def _measurement(build: Path) -> str:
    """What the app measured in the tests is what `edgestill bench` reads."""
    import jsonschema
    import numpy as np
    from referencing import Registry, Resource

    folder = Path(edgestill_benchmarks.__file__).parent
    schemas = {path.name: json.loads(path.read_text()) for path in folder.glob("*.schema.json")}
    registry = Registry().with_resources([(name, Resource.from_contents(one)) for name, one in schemas.items()])
    found = json.loads((build / "vectors/found.json").read_text())
    with np.load(build / "vectors/answers.npz") as arrays:
        answers = {name: arrays[name] for name in arrays.files}
    bundle = open_bundle(BUNDLE)
    manifest = bundle.manifest
    task = task_of(manifest.task, manifest.labels, manifest.task_settings, manifest.scores)
    count = vectors.IMAGES
    compared = {}
    for name in manifest.models:
        here, there = np.fromfile(build / f"vectors/{name}.outputs", np.float32).reshape(count, -1), answers[name]
        difference = float(np.abs(here - there).max())
        compared[name] = {"agreement": task.agreement([here], [there]), "difference": difference, "differ": []}
    found |= {"device": "proof", "emulated": False}
    found["samples"] |= {"count": count, "of": count}
    found["answers"] = compared
    jsonschema.Draft202012Validator(schemas["measurement.schema.json"], registry=registry).validate(found)
    if found["bundle"]["digest"] != bundle.digest():
        raise SystemExit("the app names another bundle than the one it measured")
    differ = [name for name, one in compared.items() if one["agreement"] < 1 or one["difference"] > 1e-4]
    if differ:
        raise SystemExit(f"answers.npz differs from this machine's: {compared}")
    return f"the app's measurement keeps measurement.schema.json, and its {count} answers are this machine's"


def _bench(build: Path) -> str:
    found = phone.try_bench(build, BUNDLE, vectors.IMAGES)
    rows = [row for file in found["files"] for row in file["threads"]]
    return (
        f"edgestill bench --device adb:… sends a bundle and {found['samples']['count']} images, starts the app's "
        f"benchmark, and reads {len(rows)} latencies and the quality of {len(found['files'])} files (adb and `am` are "
        "stand-ins, the engines are real)"
    )


def _apk(build: Path) -> str:
    made = apk.package(DEMO / "app", build)
    found = inspection.inspect(
        made, BUNDLE, build / "artifacts/android-all.jar", build / "artifacts/gummy-bears-api-26.signature"
    )
    print(f"    {made}: {found.bytes / 1e6:.2f} MB")
    for part, size in sorted(found.parts.items(), key=lambda item: -item[1]):
        print(f"    {size / 1e6:8.2f} MB {100 * size / found.bytes:5.1f} %  {part}")
    bundle = open_bundle(BUNDLE)
    sizes = {"int8": 0, "fp32": 0}
    for name, model in bundle.manifest.models.items():
        sizes[model.precision] += bundle.size(name)
    print(f"    both int8 files {sizes['int8'] / 1000:.1f} kB, both fp32 files {sizes['fp32'] / 1000:.1f} kB")
    return (
        f"an APK, linked, dexed, aligned and signed (v2, v3): models uncompressed and the bundle's own, "
        f"{len(found.libraries)} ARM64 libraries in 16 kB pages with all that they need, {found.classes:,} classes and "
        "none missing"
    )


def _web(build: Path) -> str:
    bundle, images = open_bundle(BUNDLE), edgestill.load_data("fashion-mnist-mini").test.images[: vectors.IMAGES]
    shutil.rmtree(build / "web", ignore_errors=True)
    web.make_site(bundle, build / "web")
    found = browser.try_site(build / "web", bundle, images, build / "vectors", build / "screenshots")
    return (
        f"the web page answers {len(images)} images as Python does, to the last bit, in Chromium; "
        f"{found}; shows classes, labels and values; measures; takes WAV files where the model does; works without a "
        "network once it was loaded; asks nothing of anybody else; refuses a damaged model"
    )


def _mvn(build: Path, pom: Path, *words: str) -> None:
    # Maven's own settings would let a folder of somebody's, or colours, into the log.
    command = [
        "mvn", "--batch-mode", "--no-transfer-progress", "--quiet", "-f", str(pom), f"-Dedgestill.build={build}",
        "-Dkotlin.compiler.daemon=false", *words,
    ]  # fmt: skip
    if subprocess.run(command, env={**os.environ, "MAVEN_OPTS": "-Xmx1g"}, check=False).returncode != 0:
        raise SystemExit(f"failed: {' '.join(command)}")


if __name__ == "__main__":
    sys.exit(main())
