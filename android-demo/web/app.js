// The page: a picture, what the model says of it, and how long that takes.

import { measure, openClassifier, percentile, pixelsOf } from "./classifier.js";

const part = (id) => document.getElementById(id);
let classifier = null;
let picture = null; // ImageBitmap
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
  part("negative").addEventListener("change", classify);
  part("measure").addEventListener("click", () => (measuring ? (measuring = false) : time()));
  part("samples").firstElementChild?.click();
  window.edgestill = { classifier }; // for whoever wants to try it in the console
}

async function show(source, thumb) {
  try {
    const blob = typeof source === "string" ? await (await fetch(source)).blob() : source;
    picture = await createImageBitmap(blob);
  } catch {
    return fail(new Error("This is no picture that the browser can read."));
  }
  for (const one of part("samples").children) one.setAttribute("aria-pressed", one === thumb);
  return classify();
}

async function classify() {
  if (!picture) return;
  const { height, width } = classifier.facts.preprocessing;
  const pixels = pixelsOf(fit(picture, width, height), classifier.channels, part("negative").checked);
  draw(pixels, width, height);
  try {
    values = classifier.tensor(pixels);
    render(classifier.best(await classifier.run(values)));
    part("measure").disabled = false;
  } catch (error) {
    fail(error);
  }
}

/** RGBA of the middle of a picture in the model's size; halved until near, so that no pixel is passed over. */
function fit(bitmap, width, height) {
  const scale = Math.min(bitmap.width / width, bitmap.height / height);
  let [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  let canvas = new OffscreenCanvas(w, h);
  canvas.getContext("2d").drawImage(bitmap, (bitmap.width - w) / 2, (bitmap.height - h) / 2, w, h, 0, 0, w, h);
  while (w !== width || h !== height) {
    [w, h] = w >= 2 * width && h >= 2 * height ? [w >> 1, h >> 1] : [width, height];
    const smaller = new OffscreenCanvas(w, h);
    smaller.getContext("2d").drawImage(canvas, 0, 0, w, h);
    canvas = smaller;
  }
  return canvas.getContext("2d").getImageData(0, 0, width, height).data;
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
