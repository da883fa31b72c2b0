// One label for one image, or for one recording: outputs are logits or probabilities (N, classes), targets class numbers (N).

import { tuple } from "../text.js";
import { Task, bars, countOf, each, oneOutput, ranked, refuseDifferent, refuseUnknown, sum } from "./base.js";

export class ImageClassification extends Task {
  static taskName = "image-classification";
  static options = ["top"];
  static onScreen = { top: 5 }; // there may be a thousand classes

  constructor(labels, settings, scores) {
    super(labels, scores);
    refuseUnknown(settings, [], this.name);
  }

  /** predictions: [{ label, share }], best first: the softmax of logits, and the model's own where it ends in one. */
  answer(outputs, options = {}) {
    const top = countOf(options.top, "top");
    const output = oneOutput(outputs, "classes");
    if (output.columns < 2) throw new Error(`one value for a sample is no score for each of several classes: ${tuple(output.shape)}`);
    const shares = this.scores === "logits" ? softmax(output.of(0)) : output.of(0);
    const predictions = ranked(shares).slice(0, top).map((at) => ({ label: this.label(at), share: shares[at] }));
    return {
      predictions,
      describe: () => predictions[0].label,
      rows: () => bars(predictions).map((one, place) => ({ ...one, main: place === 0 })),
    };
  }

  /** Accuracy: share of samples, 0–1, whose largest logit is the label's. NaN is never right. */
  quality(outputs, targets) {
    const logits = oneOutput(outputs, "classes");
    if (targets.shape.length !== 1 || targets.shape[0] !== logits.rows) {
      throw new Error(`logits must be (N, classes) with labels (N,), not ${tuple(logits.shape)} and ${tuple(targets.shape)}`);
    }
    if (!logits.rows) throw new Error("there is no sample: an accuracy of nothing is no number");
    return { accuracy: each(logits.rows, (at) => best(logits.of(at)) === targets.values[at]).filter((one) => one).length / logits.rows };
  }

  /** Where both choose the same class. */
  same(first, second) {
    const [one, other] = [first, second].map((side) => oneOutput(side, "classes"));
    refuseDifferent(one, other, "logits");
    return each(one.rows, (at) => best(one.of(at)) !== null && best(one.of(at)) === best(other.of(at)));
  }
}

/** Probabilities (Float32Array) of logits: differences in float32, powers in float64, as the Python runtime does it. */
export function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (one) => Math.exp(Math.fround(one - largest)));
  const all = sum(powers);
  return Float32Array.from(powers, (one) => one / all);
}

/** Number of the best class; of equal logits the first; null where one is NaN. */
function best(logits) {
  if (logits.some(Number.isNaN)) return null;
  return logits.reduce((chosen, one, at) => (one > logits[chosen] ? at : chosen), 0);
}
