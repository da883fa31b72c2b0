"""The page of android-demo/web: put together as a static site. browser.py tries it.

python android-demo/proof/web.py BUNDLE SITE     # a site of any bundle that takes images or recordings
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from npm import fetch_package

from edgestill.android import pictures
from edgestill_converters.backends.litert.io_quantization import with_float_io
from edgestill_runtime import Bundle, EdgestillError, Measure, open_bundle
from edgestill_runtime.files import refuse_existing
from edgestill_runtime.tasks import task_of

PAGE = Path(__file__).parents[1] / "web"
CORE = ("@litertjs/core@2.5.3", "a97660833e9e7e1063c95e12016718881240b14f7438728a2f62785e912d30fd")
UTILS = ("@litertjs/wasm-utils@2.5.3", "ce2a1f8379c067be49e59752e5a7f40db6be09f6e497f0f11e59f17b515366a7")
# Of LiteRT.js's four builds: the plain one, and the one for browsers that lack relaxed SIMD.
BUILDS = ("litert_wasm_internal", "litert_wasm_compat_internal")
SAMPLES = 12


def make_site(bundle: Bundle, site: Path) -> None:
    """Write all of the page into a new folder: the page itself, LiteRT.js, the model with float ends, samples.

    Raises:
        StorageError: `site` exists.
    """
    refuse_existing(site)
    shutil.copytree(PAGE, site)
    with TemporaryDirectory() as scratch:
        core, utils = (fetch_package(*one, Path(scratch) / str(number)) for number, one in enumerate((CORE, UTILS)))
        (site / "litert/wasm").mkdir(parents=True)
        shutil.copy(core / "dist/index.js", site / "litert/core.js")
        shutil.copy(utils / "dist/index.js", site / "litert/wasm-utils.js")
        for build in BUILDS:
            for ending in (".js", ".wasm"):
                shutil.copy(core / f"wasm/{build}{ending}", site / "litert/wasm")
    put_model(bundle, site / "model")
    files = sorted(
        path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file() and path.name != "sw.js"
    )
    version = hashlib.sha256(b"".join((site / name).read_bytes() for name in files)).hexdigest()[:16]
    worker = (site / "sw.js").read_text()
    listed = ", ".join(json.dumps(name) for name in ["./", *files])
    (site / "sw.js").write_text(worker.replace("@VERSION@", version).replace("/*@FILES@*/", listed))


def put_model(bundle: Bundle, folder: Path) -> None:
    """The model, what is known of it, and samples, into a new folder of a site."""
    folder.mkdir()
    drawn = pictures(bundle, SAMPLES)
    for name, content in drawn.items():
        (folder / name).write_bytes(content)
    (folder / "site.json").write_text(json.dumps(_model(bundle, folder) | {"samples": list(drawn)}, ensure_ascii=False))


def _model(bundle: Bundle, folder: Path) -> dict[str, Any]:
    manifest = bundle.manifest
    name, entry = next(
        (name, one) for name, one in manifest.models.items() if one.engine == "litert" and one.precision != "fp32"
    )
    content = with_float_io(bundle.read(name))
    (folder / name).write_bytes(content)
    assert manifest.processor is not None
    measures = task_of(manifest.task, manifest.labels, manifest.task_settings).measures

    def shown(quality: Mapping[str, float]) -> str:
        """The measure that decides first; those that this edgestill has not as plain numbers at the end."""
        known = [one for one in measures if one.name in quality]
        others = [Measure(name, "") for name in quality if name not in {one.name for one in known}]
        return " · ".join(f"{one.name} {one.show(quality[one.name])}" for one in known + others)

    facts = [
        ("Teacher", shown(manifest.quality.get("teacher", {}))),
        ("Student alone", shown(manifest.quality.get("student_alone", {}))),
        ("Student, distilled", shown(manifest.quality.get("student_distilled", {}))),
        (f"{name}, {entry.precision}", shown(entry.quality)),
        ("Parameters", f"{manifest.parameters:,}"),
        ("Size", f"{len(content) / 1000:.1f} kB"),
        ("Bundle", bundle.digest()),
    ]
    return {
        "name": manifest.name,
        "task": manifest.task,
        "labels": manifest.labels,
        "task_settings": manifest.task_settings,
        "scores": manifest.scores,
        "processor": manifest.processor.to_json(),
        "model": {
            "file": name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "layout": entry.inputs[0].layout,
            "shape": entry.inputs[0].shape,
        },
        "facts": [(key, value) for key, value in facts if value],
    }


def main() -> None:
    """Make a site."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("site", type=Path)
    arguments = parser.parse_args()
    try:
        make_site(open_bundle(arguments.bundle), arguments.site)
    except EdgestillError as error:
        raise SystemExit(f"error: {error}") from error
    size = sum(path.stat().st_size for path in arguments.site.rglob("*") if path.is_file())
    print(f"{arguments.site}: {size / 1e6:.1f} MB; python -m http.server -d {arguments.site}")


if __name__ == "__main__":
    main()
