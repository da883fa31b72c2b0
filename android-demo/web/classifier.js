// A bundle's .tflite in LiteRT.js: pixels → classes, as in the app and in the Python runtime.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

import { countOf, tableOf } from "./processor.js";

/** Opens what `proof/web.py` put beside this page; the engine sees the model only after its hash was compared. */
export async function openClassifier(folder) {
  const facts = await (await fetched(`${folder}/site.json`)).json();
  const content = new Uint8Array(await (await fetched(`${folder}/${facts.model.file}`)).arrayBuffer());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== facts.model.sha256) throw new Error(`${facts.model.file} is not what site.json says it is; load the page again`);
  await loadLiteRt(new URL("litert/wasm/", document.baseURI).href, { threads: false });
  return new Classifier(facts, await loadAndCompile(content, { accelerator: "wasm" }));
}

async function fetched(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} cannot be loaded (${answer.status})`);
  return answer;
}

class Classifier {
  constructor(facts, model) {
    this.facts = facts;
    this.model = model;
    this.table = tableOf(facts.processor);
  }

  get channels() {
    return this.table.length;
  }

  /** float32 in the model's layout, of pixels (Uint8Array, height × width × channels). */
  tensor(pixels) {
    const { height, width } = this.facts.processor;
    const { channels, table } = this;
    if (pixels.length !== countOf(this.facts.processor)) throw new Error(`a picture has ${height} × ${width} × ${channels} values, not ${pixels.length}`);
    const values = new Float32Array(pixels.length);
    const first = this.facts.model.layout === "NCHW";
    for (let at = 0; at < pixels.length; at++) {
      const channel = at % channels;
      values[first ? channel * height * width + (at - channel) / channels : at] = table[channel][pixels[at]];
    }
    return values;
  }

  /** Logits (Float32Array) of what `tensor` gave. */
  async run(values) {
    const input = new Tensor(values, this.facts.model.shape);
    const outputs = await this.model.run(input);
    try {
      return await outputs[0].data();
    } finally {
      input.delete();
      for (const one of outputs) one.delete();
    }
  }

  async logits(pixels) {
    return this.run(this.tensor(pixels));
  }

  /** The best classes: [{ label, share }], share 0–1, without names their numbers; of equal logits the first. */
  best(logits, count = 5) {
    const odd = logits.filter((one) => !Number.isFinite(one)).length;
    if (odd) throw new Error(`The model answered with ${odd} of ${logits.length} values that are not finite (NaN or infinity).`);
    const shares = this.facts.scores === "probabilities" ? Array.from(logits) : softmax(logits);
    const order = shares.map((_, at) => at).sort((one, other) => logits[other] - logits[one] || one - other);
    return order.slice(0, count).map((at) => ({ label: this.facts.labels[at] ?? String(at), share: shares[at] }));
  }
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (one) => Math.exp(Math.fround(one - largest)));
  const sum = powers.reduce((one, other) => one + other);
  return powers.map((one) => Math.fround(one / sum));
}

/** The value below which a share (0–100) of the numbers lies, linear between neighbours, as numpy computes it. */
export function percentile(values, share) {
  const sorted = Float64Array.from(values).sort();
  const place = (share / 100) * (sorted.length - 1);
  const below = sorted[Math.floor(place)];
  return below + (sorted[Math.ceil(place)] - below) * (place - Math.floor(place));
}

/**
 * Times, milliseconds, of so many runs. A browser's clock is coarse, so each is the mean of as many calls as take at
 * least twenty of its ticks: { times, calls, tick }.
 */
export async function measure(call, runs, onProgress, goOn) {
  for (let warm = 0; warm < 20; warm++) await call();
  const tick = clockTick();
  let calls = 1;
  while ((await timed(call, calls)) * calls < 20 * tick) calls *= 2;
  const times = [];
  while (times.length < runs && (times.length === 0 || goOn())) {
    times.push(await timed(call, calls));
    if (times.length % 10 === 0) {
      onProgress(times.length / runs);
      await new Promise((resume) => setTimeout(resume));
    }
  }
  return { times, calls, tick };
}

async function timed(call, calls) {
  const started = performance.now();
  for (let number = 0; number < calls; number++) await call();
  return (performance.now() - started) / calls;
}

function clockTick() {
  const steps = [];
  let last = performance.now();
  while (steps.length < 20) {
    const now = performance.now();
    if (now > last) steps.push(now - last);
    last = now;
  }
  return Math.min(...steps);
}
