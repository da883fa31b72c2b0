"""The page of android-demo/web, which web.py put together, tried in headless Chromium as a person would."""

import functools
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
import web
from manifests import BUNDLES

from edgestill_runtime import Bundle, load, open_bundle

# Formats that no browser decodes, or not all of them.
FOREIGN = (".tif", ".ppm")
# Has every control a name for a screen reader?
NAMED = """[...document.querySelectorAll("button, input, summary, canvas")].every((one) =>
    one.textContent.trim() || one.ariaLabel || one.labels?.length || one.querySelector("img[alt]"))"""
# Resolved when the service worker has kept all files.
KEPT = """navigator.serviceWorker.ready.then((one) => one.active.state === "activated" ||
    new Promise((done) => one.active.addEventListener("statechange", done)))"""


@contextmanager
def served(site: Path, vectors: Path | None = None) -> Iterator[str]:
    """The site on loopback; its address. Beside it, under `proof/` and `vectors/`, what it is compared with."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

        def translate_path(self, path: str) -> str:
            beside = {"proof": Path(__file__).parent, "vectors": vectors}
            _, first, *rest = path.split("/")
            folder = beside.get(first)
            return str(folder.joinpath(*rest)) if folder is not None else super().translate_path(path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


def try_site(site: Path, bundle: Bundle, images: np.ndarray, vectors: Path, screenshots: Path) -> str:
    """Open the page in Chromium and use it.

    Args:
        images: answered as in Python, to the last bit. vectors: the folder of `write_vectors`, likewise.

    Returns:
        How many photos, recordings and answers there were.
    """
    from playwright.sync_api import sync_playwright

    with load(bundle, engine="litert") as model:
        expected = model.logits(images)
        labels = [[one.label for one in model.predict(image, 5)] for image in images]
    screenshots.mkdir(parents=True, exist_ok=True)
    with served(site, vectors) as address, sync_playwright() as playwright:
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
        page.wait_for_selector("#answer li", timeout=60_000)
        answers = page.evaluate(
            """async (images) => {
                const { model } = window.edgestill, found = [];
                for (const pixels of images) {
                    const outputs = await model.outputs(Uint8Array.from(pixels));
                    const answer = model.answer(outputs, { top: 5 });
                    found.push([Array.from(outputs[0].values), answer.predictions.map((one) => one.label)]);
                }
                return found;
            }""",
            images.reshape(len(images), -1).tolist(),
        )
        found = np.array([outputs for outputs, _ in answers], np.float32)
        must(np.array_equal(found, expected), f"outputs differ by up to {np.abs(found - expected).max()}")
        must([best for _, best in answers] == labels, "the best five are others than in Python")
        processed, tasks = _processed(page), _tasks(page)
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
        before = page.inner_text("#answer")
        context.set_offline(True)
        page.reload()
        page.wait_for_selector("#answer li", timeout=60_000)
        page.click("#samples button >> nth=3")
        page.wait_for_function("(before) => document.getElementById('answer').innerText === before", arg=before)
        must(not troubles, f"the console says {troubles}")
        browser.close()
        _damaged(playwright, site)
        _hearing(playwright, site, vectors)
        for name in BUNDLES:
            _other_task(playwright, site, vectors, name, images, screenshots)
    return f"its processor: {processed}; its tasks: {tasks}"


def _processed(page: Any) -> str:
    found = page.evaluate("async () => (await import('./proof/processing.js')).compare()")
    must(not found["wrong"], f"its pixels are not Python's: {', '.join(found['wrong'])}")
    decoded = {name: difference for name, difference in found["decoded"].items() if not name.endswith(FOREIGN)}
    differ = {name: difference for name, difference in decoded.items() if difference}
    must(
        len(decoded) > 20 and not differ, f"files that the browser decodes become other pixels than Python's: {differ}"
    )
    return f"{found['photos']} photos, {found['recordings']} recordings: difference 0"


def _tasks(page: Any) -> str:
    found = page.evaluate("async () => (await import('./proof/tasks.js')).compare()")
    must(found["answers"] > 3000, f"only {found['answers']} answers were compared")
    must(not found["wrong"], "its tasks are not Python's: " + "\n".join(found["wrong"][:20]))
    return f"{found['answers']:,} answers as in Python, to the last bit"


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
            page = browser.new_page(service_workers="block")
            page.goto(address)
            page.wait_for_selector("#error:not([hidden])", timeout=60_000)
            must("is not what site.json says it is" in page.inner_text("#error"), "a damaged model is not refused")
            browser.close()


def _hearing(playwright: Any, site: Path, vectors: Path) -> None:
    """A bundle that takes recordings: WAV files are answered as Python answers them, other files with a message."""
    words = json.loads((vectors / "words.json").read_text())
    with TemporaryDirectory() as scratch:
        other = Path(shutil.copytree(site, Path(scratch) / "site"))
        shutil.rmtree(other / "model")
        web.put_model(open_bundle(vectors / "audio.edge"), other / "model")
        with served(other) as address:
            browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
            page = browser.new_page(service_workers="block")
            page.goto(address)
            page.wait_for_selector("#answer li", timeout=60_000)
            must(page.is_hidden("#camera") and page.is_hidden("#negative"), "it offers a camera for recordings")
            for name, word in list(words.items())[:4]:
                page.set_input_files("#gallery", vectors / "recordings" / name)
                page.wait_for_selector("#samples:not(:has([aria-pressed=true]))", state="attached")
                best = "document.querySelector('#answer li span').textContent"
                page.wait_for_function(f"(word) => {best} === word", arg=word)
            page.set_input_files("#gallery", vectors / "audio.edge/manifest.json")
            page.wait_for_selector("#error:not([hidden])")
            must("no WAV file" in page.inner_text("#error"), "what is no recording is not refused")
            browser.close()


def _other_task(playwright: Any, site: Path, vectors: Path, name: str, images: np.ndarray, screenshots: Path) -> None:
    """A bundle of another task is answered as Python answers it, and its answer is shown."""
    words = json.loads((vectors / "words-of-tasks.json").read_text())[name]["words"]
    with TemporaryDirectory() as scratch:
        other = Path(shutil.copytree(site, Path(scratch) / "site"))
        shutil.rmtree(other / "model")
        web.put_model(open_bundle(vectors / f"manifests/{name}.edge"), other / "model")
        with served(other) as address:
            browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
            context = browser.new_context(viewport={"width": 411, "height": 914}, device_scale_factor=2)
            page = context.new_page()
            page.goto(address)
            page.wait_for_selector("#answer li", timeout=60_000)
            found = page.evaluate(
                """async (images) => {
                    const { model } = window.edgestill, found = [];
                    for (const pixels of images) {
                        found.push(model.answer(await model.outputs(Uint8Array.from(pixels))).describe());
                    }
                    return found;
                }""",
                images.reshape(len(images), -1).tolist(),
            )
            must(found == words, f"the page does not answer {name} as Python does")
            before = page.inner_text("#answer")
            page.click("#samples button >> nth=3")
            page.wait_for_function("(before) => document.getElementById('answer').innerText !== before", arg=before)
            page.screenshot(path=screenshots / f"web-light-{name}.png")
            if "none" in words:
                page.evaluate("() => window.edgestill.model.task.thresholds.fill(1)")
                page.click("#samples button >> nth=1")
                page.wait_for_function("document.getElementById('answer').innerText.trim() === 'None'")
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
