// Run in the page by proof/browser.py: what the JavaScript tasks make of Python's cases (proof/tasks.py), against what
// Python made of them. Gives { answers: how many, wrong: ["what differs", …] }.

import { taskOf } from "../task.js";
import { fixed, significant } from "../text.js";

// numpy adds in pairs, this code from the first to the last: sums of the same doubles differ in their last bits.
const SUMS = 1e-12;

// NaN has a sign and bits that say nothing, and that processors choose.
const bitsOf = (share) => (Number.isNaN(share) ? 0x7fc00000 : new Int32Array(Float32Array.of(share).buffer)[0]);

const doubleOf = (hex) => new DataView(BigUint64Array.of(BigInt(`0x${hex}`)).buffer).getFloat64(0, true);

const outputsOf = ({ shape, bits }) => [{ shape, values: new Float32Array(Int32Array.from(bits).buffer) }];

/** One sample alone, where the output has an axis of samples. */
function sampleOf([{ shape, values }], number) {
  if (shape.length < 2) return [{ shape, values }];
  const size = values.length / shape[0];
  return [{ shape: [1, ...shape.slice(1)], values: values.slice(number * size, (number + 1) * size) }];
}

/** There is no `logits`, `infer` or `load` here. */
const here = (said) => said?.replace("give its class, load(path, task=…)", "add its class to task.js").replace(/use logits,? or infer/, "use outputs");

const made = (case_) => taskOf(case_.task, case_.labels, case_.settings, case_.scores);

export async function compare() {
  const { cases, settings, numbers } = await (await fetch("vectors/tasks.json")).json();
  const wrong = [];
  let answers = 0;

  /** Python's result, or its error with the same words. */
  function tried(case_, expected, act, same) {
    let [found, error] = [null, undefined];
    try {
      found = act();
    } catch (caught) {
      error = caught.message;
    }
    const place = `${case_.task} ${JSON.stringify(case_.settings)}`.slice(0, 200);
    if (error !== here(expected.error)) wrong.push(`${place}: ${error}, where Python says ${expected.error}`);
    else if (error === undefined && !same(expected.found, found)) wrong.push(`${place}: not ${JSON.stringify(expected.found)}`);
  }

  const alike = (name, said, found) =>
    Object.is(said, found) || (name !== "accuracy" && Math.abs(said - found) <= SUMS * Math.max(1, Math.abs(said)));
  for (const case_ of cases) {
    const [outputs, other] = [outputsOf(case_.outputs), outputsOf(case_.other)];
    for (const { options, samples } of case_.answers) {
      samples.forEach((expected, number) => {
        answers++;
        tried(case_, expected, () => made(case_).answer(sampleOf(outputs, number), options), (said, answer) =>
          said.described === answer.describe() && JSON.stringify(said.parts.map(part)) === JSON.stringify(parts(answer)));
      });
    }
    const { shape, numbers: targets } = case_.targets;
    tried(case_, case_.quality, () => made(case_).quality(outputs, { shape, values: Float64Array.from(targets, doubleOf) }), (said, found) =>
      Object.keys(said).join() === Object.keys(found).join() && Object.entries(said).every(([name, hex]) => alike(name, doubleOf(hex), found[name])));
    tried(case_, case_.same, () => made(case_).same(outputs, other), (said, found) => said.join() === found.join());
    tried(case_, case_.agreement, () => made(case_).agreement(outputs, other), (said, found) => doubleOf(said) === found);
  }
  for (const case_ of settings) tried(case_, case_, () => made(case_), () => true);
  for (const { number, share, plain } of numbers) {
    const value = doubleOf(number);
    const found = [`${fixed(100 * value, 2)} %`, `${significant(value, 4)} mm`];
    if (found.join() !== [share, plain].join()) wrong.push(`${value} is shown as ${found}, not as ${share}, ${plain}`);
  }
  return { answers, wrong };
}

/** As `parts`: JSON has no bits of doubles, and no NaN. */
const part = ([name, value, unit]) => (typeof value === "number" ? [name, value] : [name, String(doubleOf(value)), unit]);

function parts({ predictions, values }) {
  if (predictions) return predictions.map(({ label, share }) => [label, bitsOf(share)]);
  return values.map(({ name, value, unit }) => [name, String(value), unit]);
}
