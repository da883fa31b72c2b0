// The page: a picture or a recording, its prediction, and the latency.

import { measure, percentile } from "./latency.js";
import { openModel } from "./model.js";
import { readPicture } from "./pictures.js";
import { countOf, pixelsOf } from "./processor.js";
import { readWav } from "./waves.js";

const part = (id) => document.getElementById(id);
let model = null;
let input = null; // pixels, before they are turned into a negative
let values = null; // the model's last input
let measuring = false;

navigator.serviceWorker?.register("sw.js");

try {
  model = await openModel("model");
  start();
} catch (error) {
  fail(error);
}

function start() {
  const { facts } = model;
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
  part("negative").addEventListener("change", answer);
  part("measure").addEventListener("click", () => (measuring ? (measuring = false) : time()));
  part("samples").firstElementChild?.click();
  window.edgestill = { model }; // for whoever wants to try it in the console
}

/** Whether the model takes recordings, not pictures. */
function hears() {
  return model.facts.processor.kind === "audio";
}

async function show(source, thumb) {
  const { processor } = model.facts;
  try {
    const blob = typeof source === "string" ? await (await fetch(source)).blob() : source;
    if (thumb) input = sample(processor, await readPicture(blob));
    else input = pixelsOf(processor, hears() ? readWav(await blob.arrayBuffer()) : await readPicture(blob));
  } catch (error) {
    return fail(error);
  }
  for (const one of part("samples").children) one.setAttribute("aria-pressed", one === thumb);
  return answer();
}

/** Pixels of a sample: those that have the model's size already are what it takes, as in Python. */
function sample(processor, picture) {
  if (picture.height !== processor.height || picture.width !== processor.width) return pixelsOf(processor, picture);
  const { channels } = model;
  return Uint8Array.from({ length: countOf(processor) }, (_, at) => picture.values[4 * Math.floor(at / channels) + (at % channels)]);
}

async function answer() {
  if (!input) return;
  const { height, width } = model.facts.processor;
  const pixels = part("negative").checked ? input.map((one) => 255 - one) : input;
  draw(pixels, width, height);
  try {
    values = model.tensor(pixels);
    render(model.answer(await model.run(values), model.task.onScreen).rows());
    part("measure").disabled = false;
  } catch (error) {
    fail(error);
  }
}

function draw(pixels, width, height) {
  const canvas = part("picture");
  [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  const { channels } = model;
  for (let at = 0; at < width * height; at++) {
    for (let channel = 0; channel < 3; channel++) image.data[4 * at + channel] = pixels[at * channels + (channels === 1 ? 0 : channel)];
    image.data[4 * at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", "The picture as the model sees it");
}

/** The rows of the prediction. */
function render(rows) {
  part("error").hidden = true;
  part("answer").replaceChildren(
    ...(rows.length ? rows : [{ name: "None", value: "", share: null }]).map(({ name, value, share, main }) => {
      const row = element("li", "");
      row.classList.toggle("main", main ?? false);
      row.append(element("span", name), element("span", value));
      if (share !== null) row.append(bar(share));
      return row;
    }),
  );
}

function bar(share) {
  const made = element("div", "");
  made.style.setProperty("--share", `${100 * share}%`);
  return made;
}

async function time() {
  measuring = true;
  const [button, bar] = [part("measure"), part("progress")];
  button.textContent = "Stop";
  bar.classList.add("on");
  const input = values;
  const { times, calls, tick } = await measure(() => model.run(input), 100, (share) => (bar.value = 100 * share), () => measuring);
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
  part("answer").replaceChildren();
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
