"""The page of android-demo/web: put together as a static site, and tried in headless Chromium.

python android-demo/proof/web.py BUNDLE SITE     # a site of any bundle that takes images, to be served by anything
"""

import argparse
import functools
import hashlib
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from npm import fetch_package

from edgestill.android import pictures
from edgestill_converters.ends import with_float_ends
from edgestill_runtime import Bundle, EdgestillError, load, open_bundle
from edgestill_runtime.files import refuse_existing

PAGE = Path(__file__).parents[1] / "web"
CORE = ("@litertjs/core@2.5.3", "a97660833e9e7e1063c95e12016718881240b14f7438728a2f62785e912d30fd")
UTILS = ("@litertjs/wasm-utils@2.5.3", "ce2a1f8379c067be49e59752e5a7f40db6be09f6e497f0f11e59f17b515366a7")
# Of LiteRT.js's four builds: the plain one, and the one for browsers that lack relaxed SIMD.
BUILDS = ("litert_wasm_internal", "litert_wasm_compat_internal")
SAMPLES = 12
# Has every control a name for a screen reader?
NAMED = """[...document.querySelectorAll("button, input, summary, canvas")].every((one) =>
    one.textContent.trim() || one.ariaLabel || one.labels?.length || one.querySelector("img[alt]"))"""
# Resolved when the service worker has kept all files.
KEPT = """navigator.serviceWorker.ready.then((one) => one.active.state === "activated" ||
    new Promise((done) => one.active.addEventListener("statechange", done)))"""


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
    model = site / "model"
    model.mkdir()
    drawn = pictures(bundle, SAMPLES)
    for name, content in drawn.items():
        (model / name).write_bytes(content)
    (model / "site.json").write_text(json.dumps(_model(bundle, model) | {"samples": list(drawn)}, ensure_ascii=False))
    files = sorted(
        path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file() and path.name != "sw.js"
    )
    version = hashlib.sha256(b"".join((site / name).read_bytes() for name in files)).hexdigest()[:16]
    worker = (site / "sw.js").read_text()
    listed = ", ".join(json.dumps(name) for name in ["./", *files])
    (site / "sw.js").write_text(worker.replace("@VERSION@", version).replace("/*@FILES@*/", listed))


def _model(bundle: Bundle, folder: Path) -> dict[str, Any]:
    manifest = bundle.manifest
    name, entry = next(
        (name, one) for name, one in manifest.models.items() if one.engine == "litert" and one.precision != "fp32"
    )
    content = with_float_ends(bundle.read(name))
    (folder / name).write_bytes(content)
    assert manifest.processor is not None
    accuracy = {who: f"{100 * share:.2f} %" for who, share in manifest.accuracy.items()}
    facts = [
        ("Teacher", accuracy.get("teacher")),
        ("Student alone", accuracy.get("student_alone")),
        ("Student, distilled", accuracy.get("student_distilled")),
        (f"{name}, int8", None if entry.accuracy is None else f"{100 * entry.accuracy:.2f} %"),
        ("Parameters", f"{manifest.parameters:,}"),
        ("Size", f"{len(content) / 1000:.1f} kB"),
        ("Bundle", bundle.digest()),
    ]
    return {
        "name": manifest.name,
        "labels": manifest.labels,
        "processor": manifest.processor.to_json(),
        "model": {
            "file": name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "layout": entry.inputs[0].layout,
            "shape": entry.inputs[0].shape,
        },
        "facts": [(key, value) for key, value in facts if value is not None],
    }


@contextmanager
def served(site: Path) -> Iterator[str]:
    """The site on loopback; its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


def try_site(site: Path, bundle: Bundle, images: np.ndarray, screenshots: Path) -> int:
    """Open the page in Chromium and use it; the number of images that were answered as in Python, to the last bit."""
    from playwright.sync_api import sync_playwright

    with load(bundle, engine="litert") as model:
        expected = model.logits(images)
        labels = [[one.label for one in model.predict(image, 5)] for image in images]
    screenshots.mkdir(parents=True, exist_ok=True)
    with served(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 411, "height": 914}, device_scale_factor=2)
        page = context.new_page()
        troubles: list[str] = []
        page.on("console", lambda one: troubles.append(one.text) if _is_trouble(one) else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda one: None if one.url.startswith((address, "data:", "blob:")) else troubles.append(f"asks {one.url}"),
        )
        page.goto(address)
        page.wait_for_selector("#predictions li", timeout=60_000)
        answers = page.evaluate(
            """async (images) => {
                const { classifier } = window.edgestill, found = [];
                for (const pixels of images) {
                    const logits = await classifier.logits(Uint8Array.from(pixels));
                    found.push([Array.from(logits), classifier.best(logits).map((one) => one.label)]);
                }
                return found;
            }""",
            images.reshape(len(images), -1).tolist(),
        )
        found = np.array([logits for logits, _ in answers], np.float32)
        must(np.array_equal(found, expected), f"logits differ by up to {np.abs(found - expected).max()}")
        must([best for _, best in answers] == labels, "the best five are others than in Python")
        # As a person would: another sample, a measurement, what is known of the model.
        page.click("#samples button >> nth=3")
        page.wait_for_selector("#samples button[aria-pressed=true] >> nth=0")
        page.click("#measure")
        page.wait_for_function("document.getElementById('p50').textContent.endsWith('ms')", timeout=60_000)
        page.set_input_files("#gallery", site / "model/05.png")
        page.wait_for_function("!document.querySelector('#samples [aria-pressed=true]')")
        page.click("#samples button >> nth=3")
        must(page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than a phone")
        page.screenshot(path=screenshots / "web-light.png")
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 1280, "height": 800})
        page.screenshot(path=screenshots / "web-dark.png")
        must(page.evaluate(NAMED), "a control has no name")
        # Without a network, once it was loaded.
        page.evaluate(KEPT)
        before = page.inner_text("#predictions")
        context.set_offline(True)
        page.reload()
        page.wait_for_selector("#predictions li", timeout=60_000)
        page.click("#samples button >> nth=3")
        page.wait_for_function("(before) => document.getElementById('predictions').innerText === before", arg=before)
        must(not troubles, f"the console says {troubles}")
        browser.close()
        _damaged(playwright, site)
    return len(images)


def _is_trouble(message: Any) -> bool:
    """Whether the console shows an error; LiteRT's own log comes as errors, whatever it says."""
    return message.type == "error" and not message.text.startswith(("INFO: ", "WARNING: "))


def _damaged(playwright: Any, site: Path) -> None:
    """A model that is not what site.json says shows a message, and reaches no engine."""
    with TemporaryDirectory() as scratch:
        broken = Path(shutil.copytree(site, Path(scratch) / "site"))
        file = json.loads((broken / "model/site.json").read_text())["model"]["file"]
        content = bytearray((broken / "model" / file).read_bytes())
        content[len(content) // 2] ^= 1
        (broken / "model" / file).write_bytes(content)
        with served(broken) as address:
            browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(address)
            page.wait_for_selector("#error:not([hidden])", timeout=60_000)
            must("is not what site.json says it is" in page.inner_text("#error"), "a damaged model is not refused")
            browser.close()


def must(holds: bool, otherwise: str) -> None:
    """End the proof where something is not as it must be."""
    if not holds:
        raise SystemExit(f"the page is not as it must be: {otherwise}")


def _chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise SystemExit("no Chromium here; install Debian's chromium")
    return found


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
