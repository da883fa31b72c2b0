"""`make bench-runtime`: our runtime beside the engines' own, the same files, fresh processes, in turns; prints tables.

Environments are made: a device's (numpy, both engines, this project), executorch-numpy-runtime's (Python 3.12, if
there is one), and this one for the official package with its torch; and on aarch64 what a device installs is weighed.
Machines are noisy: contenders take turns, and ratios of medians of one run are what to compare.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import median

import numpy as np

import edgestill as es
from edgestill_benchmarks.damage import OUTCOMES, jobs_here, try_bare, try_in_bundle, try_zip
from edgestill_benchmarks.machine import busy_share, describe_machine
from edgestill_runtime import load, open_bundle
from edgestill_runtime.files import write_bytes

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
UV = Path(sys.executable).parent / "uv"
MODELS = {"one": "one element", "student": "demo student, int8", "mobilenetv2": "MobileNetV2 224, int8"}
# contender → file's ending, environment
CONTENDERS = {
    "face_litert": ("tflite", "device"),
    "raw_litert": ("tflite", "device"),
    "face_executorch": ("pte", "device"),
    "binding": ("pte", "device"),
    "light": ("pte", "light"),
    "official": ("pte", "official"),
}
STARTS = 2  # of the processes that are called, for each model and number of threads
SHOWN = {
    "face_litert": "edgestill_runtime, LiteRT",
    "raw_litert": "ai-edge-litert by itself",
    "face_executorch": "edgestill_runtime, ExecuTorch",
    "binding": "edgestill-executorch by itself",
    "light": "executorch-numpy-runtime",
    "official": "executorch.runtime (torch)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="a bundle of the demo recipe")
    parser.add_argument("--work", type=Path, default=ROOT / "build/bench-runtime")
    parser.add_argument("--output", type=Path, help="write everything that was measured here, as JSON")
    parser.add_argument("--starts", type=int, default=9, help="fresh processes per contender and model (default: 9)")
    parser.add_argument(
        "--turns", type=int, default=60, help="turns of a tenth of a second, of each process (default: 60)"
    )
    parser.add_argument("--images", type=int, default=1000, help="real images to compare bit by bit (default: 1000)")
    parser.add_argument("--damaged", type=int, default=1000, help="damaged variants of each file (default: 1000)")
    arguments = parser.parse_args()
    files = make_models(arguments.work / "models", arguments.bundle)
    pythons = make_environments(arguments.work)
    found = {
        "machine": describe_machine(),
        "busy_before": busy_share(),
        "installed_bytes_aarch64": weigh(arguments.work),
        "cold": cold(pythons, files, arguments.starts),
        "warm": {str(threads): warm(pythons, files, threads, arguments.turns) for threads in (1, jobs_here())},
        "bit_identical": compare(arguments.bundle, arguments.images),
        "damaged": damaged(arguments.bundle, arguments.damaged),
    }
    if arguments.output:
        write_bytes(arguments.output, (json.dumps(found, indent=2) + "\n").encode())
    report(found)


def make_models(folder: Path, bundle: Path) -> Path:
    if not (folder / "mobilenetv2.tflite").exists():
        say("exporting the models")
        run(sys.executable, HERE / "models.py", folder, bundle)
    return folder


def make_environments(work: Path) -> dict[str, Path]:
    """Environment → its Python. The wheels are built from this tree."""
    say("making the environments")
    wheels = work / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, ROOT)
    for architecture in {platform.machine(), "aarch64"}:
        if architecture == platform.machine() or shutil.which("aarch64-linux-gnu-g++"):
            run(sys.executable, ROOT / "runtime/native/build_wheel.py", architecture, "--output", wheels)
    (wheel,) = wheels.glob("edgestill-*.whl")
    wanted = {
        "device": (sys.executable, [f"{wheel}[litert,executorch]", binding_of(wheels, platform.machine())]),
        "light": (python312(), ["executorch-numpy-runtime==1.4.0"]),
    }
    pythons = {"official": Path(sys.executable)}
    for name, (python, requirements) in wanted.items():
        shutil.rmtree(work / name, ignore_errors=True)
        made = subprocess.run(
            [UV, "venv", "--quiet", "--python", python, work / name], capture_output=True, check=False
        )
        if made.returncode:
            say(f"no Python 3.12 here: {name} is left out")
            continue
        run(UV, "pip", "install", "--quiet", "--python", work / name / "bin/python", *requirements)
        pythons[name] = work / name / "bin/python"
    return pythons


def binding_of(wheels: Path, architecture: str) -> Path:
    # By its path: by its name, an earlier build of the same version could come out of the installer's cache.
    return next(wheels.glob(f"edgestill_executorch-*{architecture}.whl"))


def python312() -> str:
    """A Python for executorch-numpy-runtime, on the PATH or as pyenv keeps them."""
    kept = [shutil.which("python3.12"), *map(str, sorted(Path.home().glob(".pyenv/versions/3.12.*/bin/python3")))]
    for candidate in filter(None, kept):
        # pyenv's own python3.12 is a script, which fails where that version is not the chosen one.
        if subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    return "3.12"


def weigh(work: Path) -> dict[str, int] | None:
    """Bytes that a Raspberry Pi (aarch64, Python 3.11) installs: folder in site-packages → size."""
    wheels, target = work / "wheels", work / "aarch64"
    if not list(wheels.glob("*aarch64.whl")):
        say("the wheel for aarch64 was not built (no aarch64-linux-gnu-g++): its size is left out")
        return None
    shutil.rmtree(target, ignore_errors=True)
    (wheel,) = wheels.glob("edgestill-*.whl")
    platform_words = (
        "--python-platform",
        "aarch64-manylinux_2_36",
        "--python-version",
        "3.11",
        "--only-binary",
        ":all:",
    )
    run(
        *(UV, "pip", "install", "--quiet", *platform_words, "--target", target),
        *(f"{wheel}[litert,executorch]", binding_of(wheels, "aarch64")),
    )
    sizes: Counter[str] = Counter()
    for path in target.rglob("*"):
        if path.is_file():
            sizes[path.relative_to(target).parts[0].partition("-")[0].partition(".")[0]] += path.stat().st_size
    return dict(sizes.most_common())


def cold(pythons: dict[str, Path], files: Path, starts: int) -> dict[str, dict[str, dict[str, float]]]:
    """Model → contender → median seconds from the first import to the first answer, and resident bytes then."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for model in MODELS:
        say(f"starting on {model}")
        results: dict[str, list[dict[str, float]]] = {name: [] for name in present(pythons)}
        for _ in range(starts):
            for name in results:
                ending, place = CONTENDERS[name]
                command = (pythons[place], HERE / "contenders.py", "cold", name, files / f"{model}.{ending}", 1)
                results[name].append(json.loads(run(*command).splitlines()[-1]))
        found[model] = {
            name: {key: median(result[key] for result in measured) for key in ("seconds", "resident_bytes")}
            for name, measured in results.items()
        }
    return found


def warm(pythons: dict[str, Path], files: Path, threads: int, turns: int) -> dict[str, dict[str, dict[str, float]]]:
    """Model → contender → p50 and p90 of a call, milliseconds. Contenders of one environment share a process.

    Where memory happens to lie makes two equal contenders differ by a percent, and so does who is loaded first: so the
    processes are started afresh several times, the order turned round each time, and all calls counted together.
    """
    found = {}
    for model in MODELS:
        say(f"calling {model}, {threads} threads")
        times: dict[str, list[float]] = {name: [] for name in present(pythons)}
        for start in range(STARTS):
            workers = []
            for group in (("face_litert", "raw_litert"), ("face_executorch", "binding"), ("light",), ("official",)):
                if names := [name for name in group if name in times][:: 1 if start % 2 else -1]:
                    ending, place = CONTENDERS[names[0]]
                    file = files / f"{model}.{ending}"
                    workers.append(worker(pythons[place], HERE / "contenders.py", "warm", file, threads, *names))
            for _ in range(turns // STARTS):
                for process in workers:
                    process.stdin.write("0.1\n")
                    process.stdin.flush()
                    for name, measured in json.loads(process.stdout.readline()).items():
                        times[name] += measured
            for process in workers:
                process.stdin.close()
                process.wait()
        found[model] = {
            name: dict(zip(("p50", "p90"), map(float, np.percentile(measured, [50, 90])), strict=True))
            for name, measured in times.items()
        }
    return found


def compare(bundle: Path, count: int) -> dict[str, int]:
    """Real images whose int8 logits are the same bits in our binding and in the official runtime."""
    say(f"comparing {count} images")
    images = es.load_data("fashion-mnist-mini").test.images[:count]
    answers = []
    for engine in ("executorch/edgestill-executorch", "executorch/executorch"):
        with load(bundle, engine) as model:
            answers.append(model.logits(np.asarray(images)))
    same = (answers[0].view(np.uint32) == answers[1].view(np.uint32)).all(axis=1)
    return {"images": len(images), "identical": int(same.sum())}


def damaged(bundle: Path, count: int) -> dict[str, dict[str, dict[str, int]]]:
    """File and how it is used → kind of damage → outcome → how many of `count`."""
    opened = open_bundle(bundle)
    found: dict[str, dict[str, dict[str, int]]] = {}
    for file in ("model.tflite", "model.pte"):
        say(f"{count} damaged copies of {file}")
        found[f"{file} in a bundle"] = {"all kinds": dict(try_in_bundle(opened, file, count))}
        suffix = file.removeprefix("model")
        bare = try_bare(opened.read(file), suffix, count, jobs=jobs_here())
        found[f"bare {suffix}, isolated"] = {kind: dict(counter) for kind, counter in bare.items()}
    found["a bundle as zip"] = {"all kinds": dict(try_zip(opened, count))}
    return found


def report(found: dict) -> None:
    machine = found["machine"]
    print(f"\n{machine['cpu']}, {machine['cores']} cores, {machine['os']}, Python {machine['python']}")
    print(", ".join(f"{name} {version}" for name, version in machine["packages"].items()))
    print(f"busy before: {100 * found['busy_before']:.0f} %")
    print("\n| " + " | ".join(["import + load + first inference, s (resident MB)", *MODELS.values()]) + " |")
    print("| --- |" + " --- |" * len(MODELS))
    for name in present_in(found["cold"]):
        cells = [found["cold"][model][name] for model in MODELS]
        row = [f"{cell['seconds']:.3f} ({cell['resident_bytes'] / 1e6:.0f})" for cell in cells]
        print(f"| {SHOWN[name]} | " + " | ".join(row) + " |")
    for threads, measured in found["warm"].items():
        print(f"\n| p50 of a call, µs, {threads} thread(s) | " + " | ".join(MODELS.values()) + " |")
        print("| --- |" + " --- |" * len(MODELS))
        for name in present_in(measured):
            row = [f"{1000 * measured[model][name]['p50']:.1f}" for model in MODELS]
            print(f"| {SHOWN[name]} | " + " | ".join(row) + " |")
    one, threads = found["warm"]["1"]["one"], list(found["warm"])
    print(
        f"\nface over raw LiteRT, one element: {1000 * (one['face_litert']['p50'] - one['raw_litert']['p50']):.1f} µs"
    )
    print(
        f"face over our binding, one element: {1000 * (one['face_executorch']['p50'] - one['binding']['p50']):.1f} µs"
    )
    for other in ("official", "light"):
        if other in one:
            print(f"our binding / {SHOWN[other]}, one element: {one['binding']['p50'] / one[other]['p50']:.2f}")
    for number in threads:
        calls = found["warm"][number]["mobilenetv2"]
        for face, raw in (("face_litert", "raw_litert"), ("face_executorch", "binding")):
            ratio = calls[face]["p50"] / calls[raw]["p50"]
            print(f"MobileNetV2, {number} thread(s), {SHOWN[face]} / {SHOWN[raw]}: {ratio:.3f}")
    same = found["bit_identical"]
    print(
        f"int8 logits, our binding and the official runtime: {same['identical']} of {same['images']} images identical"
    )
    if sizes := found["installed_bytes_aarch64"]:
        parts = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes.items() if size > 1e5)
        print(f"installed on aarch64: {sum(sizes.values()) / 1e6:.1f} MB ({parts})")
    print("\n| damaged files | " + " | ".join(OUTCOMES) + " |")
    print("| --- |" + " --- |" * len(OUTCOMES))
    for what, kinds in found["damaged"].items():
        for kind, counts in kinds.items():
            row = [str(counts.get(outcome, "–")) for outcome in OUTCOMES]
            print(f"| {what}: {kind} | " + " | ".join(row) + " |")


def present(pythons: dict[str, Path]) -> list[str]:
    return [name for name, (_, place) in CONTENDERS.items() if place in pythons]


def present_in(measured: dict) -> list[str]:
    return [name for name in SHOWN if name in measured["one"]]


def worker(*command: object) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([str(word) for word in command], **pipes, text=True)


def run(*command: object) -> str:
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = [str(word) for word in command]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
