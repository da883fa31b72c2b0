// A bundle's .tflite in LiteRT.js: pixels → a prediction of its task, as in the app and in the Python runtime.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

import { countOf, tableOf } from "./processor.js";
import { taskOf } from "./task.js";

/** Opens what `proof/web.py` put beside this page; the engine sees the model only after its hash was compared. */
export async function openModel(folder) {
  const facts = await (await fetched(`${folder}/site.json`)).json();
  const content = new Uint8Array(await (await fetched(`${folder}/${facts.model.file}`)).arrayBuffer());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== facts.model.sha256) throw new Error(`${facts.model.file} is not what site.json says it is; load the page again`);
  await loadLiteRt(new URL("litert/wasm/", document.baseURI).href, { threads: false });
  return new Model(facts, await loadAndCompile(content, { accelerator: "wasm" }));
}

async function fetched(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} cannot be loaded (${response.status})`);
  return response;
}

class Model {
  constructor(facts, compiled) {
    this.facts = facts;
    this.compiled = compiled;
    this.task = taskOf(facts.task, facts.labels, facts.task_settings, facts.scores);
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

  /** Outputs, [{ shape, values: Float32Array }], of what `tensor` gave. */
  async run(values) {
    const input = new Tensor(values, this.facts.model.shape);
    const outputs = await this.compiled.run(input);
    try {
      return await Promise.all(outputs.map(async (one) => ({ shape: Array.from(one.type.layout.dimensions), values: await one.data() })));
    } finally {
      input.delete();
      for (const one of outputs) one.delete();
    }
  }

  /** Outputs for the pixels of one image. */
  async outputs(pixels) {
    return this.run(this.tensor(pixels));
  }

  /** The task's prediction from outputs; see its file. */
  answer(outputs, options = {}) {
    const unknown = Object.keys(options).sort().find((one) => !this.task.options.includes(one));
    if (unknown) throw new Error(`${this.task.name} has no option '${unknown}'; it has ${this.task.options.join(", ") || "none"}`);
    for (const { values } of outputs) {
      const odd = values.filter((one) => !Number.isFinite(one)).length;
      if (odd) throw new Error(`The model returned ${odd} of ${values.length} values that are not finite (NaN or infinity).`);
    }
    return this.task.answer(outputs, options);
  }
}
