// The page: a picture or a recording, what the model says of it, and how long that takes.

import { measure, openClassifier, percentile } from "./classifier.js";
import { readPicture } from "./pictures.js";
import { countOf, pixelsOf } from "./processor.js";
import { readWav } from "./waves.js";

const part = (id) => document.getElementById(id);
let classifier = null;
let input = null; // pixels, before they are turned into a negative
let values = null; // what the model was last given
let measuring = false;

navigator.serviceWorker?.register("sw.js");

try {
  classifier = await openClassifier("model");
  start();
} catch (error) {
  fail(error);
}

function start() {
  const { facts } = classifier;
  part("name").textContent = `${facts.name} · LiteRT in this browser`;
  for (const [key, value] of facts.facts) {
    part("facts").append(element("dt", key), element("dd", value));
  }
  facts.samples.forEach((file, number) => {
    const button = document.createElement("button");
    button.innerHTML = `<img alt="Sample ${number + 1}" src="model/${file}">`;
    button.addEventListener("click", () => show(`model/${file}`, button));
    part("samples").append(button);
  });
  for (const id of ["gallery", "camera"]) {
    part(id).addEventListener("change", (event) => event.target.files[0] && show(event.target.files[0], null));
  }
  if (hears()) {
    part("gallery").accept = ".wav,audio/*";
    part("gallery").parentElement.firstChild.textContent = "Recording (WAV)";
    for (const id of ["camera", "negative"]) part(id).parentElement.hidden = true;
  }
  part("negative").addEventListener("change", classify);
  part("measure").addEventListener("click", () => (measuring ? (measuring = false) : time()));
  part("samples").firstElementChild?.click();
  window.edgestill = { classifier }; // for whoever wants to try it in the console
}

/** Whether the model takes recordings, not pictures. */
function hears() {
  return classifier.facts.processor.kind === "audio";
}

async function show(source, thumb) {
  const { processor } = classifier.facts;
  try {
    const blob = typeof source === "string" ? await (await fetch(source)).blob() : source;
    if (thumb) input = sample(processor, await readPicture(blob));
    else input = pixelsOf(processor, hears() ? readWav(await blob.arrayBuffer()) : await readPicture(blob));
  } catch (error) {
    return fail(error);
  }
  for (const one of part("samples").children) one.setAttribute("aria-pressed", one === thumb);
  return classify();
}

/** Pixels of a sample: those that have the model's size already are what it takes, as in Python. */
function sample(processor, picture) {
  if (picture.height !== processor.height || picture.width !== processor.width) return pixelsOf(processor, picture);
  const { channels } = classifier;
  return Uint8Array.from({ length: countOf(processor) }, (_, at) => picture.values[4 * Math.floor(at / channels) + (at % channels)]);
}

async function classify() {
  if (!input) return;
  const { height, width } = classifier.facts.processor;
  const pixels = part("negative").checked ? input.map((one) => 255 - one) : input;
  draw(pixels, width, height);
  try {
    values = classifier.tensor(pixels);
    render(classifier.best(await classifier.run(values)));
    part("measure").disabled = false;
  } catch (error) {
    fail(error);
  }
}

function draw(pixels, width, height) {
  const canvas = part("picture");
  [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  const { channels } = classifier;
  for (let at = 0; at < width * height; at++) {
    for (let channel = 0; channel < 3; channel++) image.data[4 * at + channel] = pixels[at * channels + (channels === 1 ? 0 : channel)];
    image.data[4 * at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", "The picture as the model sees it");
}

function render(predictions) {
  part("error").hidden = true;
  part("predictions").replaceChildren(
    ...predictions.map(({ label, share }) => {
      const row = element("li", "");
      const bar = element("div", "");
      bar.style.setProperty("--share", `${100 * share}%`);
      row.append(element("span", label), element("span", `${(100 * share).toFixed(1)} %`), bar);
      return row;
    }),
  );
}

async function time() {
  measuring = true;
  const [button, bar] = [part("measure"), part("progress")];
  button.textContent = "Stop";
  bar.classList.add("on");
  const given = values;
  const { times, calls, tick } = await measure(() => classifier.run(given), 100, (share) => (bar.value = 100 * share), () => measuring);
  measuring = false;
  for (const [id, value] of [["p50", percentile(times, 50)], ["p90", percentile(times, 90)], ["fastest", Math.min(...times)]]) {
    part(id).textContent = `${value.toFixed(value < 1 ? 3 : 2)} ms`;
  }
  part("how").textContent = `${times.length} times, each the mean of ${calls} runs: this browser's clock ticks every ${tick.toFixed(3)} ms · 1 thread`;
  button.textContent = "Measure 100 runs";
  bar.classList.remove("on");
}

function fail(error) {
  part("error").hidden = false;
  part("error").textContent = error.message;
  part("predictions").replaceChildren();
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
