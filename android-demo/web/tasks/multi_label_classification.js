// Any number of labels for one image: outputs are a score for each class, each on its own (sigmoid), (N, classes); targets
// are 0 or 1 for each class, (N, classes).

import { significant, tuple } from "../text.js";
import { Task, bars, countOf, each, numberOf, numbersOf, oneOutput, ranked, refuseDifferent, refuseUnknown, spread, sum, table } from "./base.js";

export class MultiLabelClassification extends Task {
  static taskName = "multi-label-classification";
  static options = ["top", "threshold"];

  /** settings: thresholds, the probability, 0–1, from which on a label is predicted; default 0.5. */
  constructor(labels, settings, scores) {
    super(labels, scores);
    refuseUnknown(settings, ["thresholds"], this.name);
    this.thresholds = numbersOf(settings, "thresholds", labels.length, 0.5, 0);
    const most = Math.max(0, ...this.thresholds);
    if (most > 1) throw new Error(`thresholds are probabilities from 0 to 1, not ${significant(most, 6)}`);
  }

  /**
   * predictions: [{ label, share }], the labels whose probability reaches their threshold, best first. Options: top, at most
   * so many; threshold, for all classes, 0–1, in place of the bundle's.
   */
  answer(outputs, options = {}) {
    const top = countOf(options.top, "top");
    const given = options.threshold ?? null;
    const threshold = given === null ? null : numberOf(given, "threshold", 0, 1);
    const output = this.probabilities(outputs);
    const own = spread(this.thresholds, output.columns, "thresholds");
    const least = threshold === null ? own : own.map(() => threshold);
    const shares = output.of(0);
    const chosen = ranked(shares).filter((at) => shares[at] >= least[at]).slice(0, top);
    const predictions = chosen.map((at) => ({ label: this.label(at), share: shares[at] }));
    return { predictions, describe: () => predictions.map((one) => one.label).join(", ") || "none", rows: () => bars(predictions) };
  }

  /** mAP and macro F1: means over the classes with positive samples. NaN ranks last and predicts no label. */
  quality(outputs, targets) {
    const shares = this.probabilities(outputs);
    if (tuple(shares.shape) !== tuple(targets.shape) || !shares.rows) {
      throw new Error(`outputs (N, classes) need targets of that shape, not ${tuple(shares.shape)} and ${tuple(targets.shape)}`);
    }
    const least = spread(this.thresholds, shares.columns, "thresholds");
    const column = (values, number) => each(shares.rows, (at) => values[at * shares.columns + number]);
    const found = each(shares.columns, (number) => ({
      scores: column(shares.values, number),
      wanted: column(targets.values, number).map((one) => one > 0.5),
      least: least[number],
    })).filter(({ wanted }) => wanted.includes(true));
    if (!found.length) throw new Error("no sample has any label: there is nothing to measure");
    const mean = (of) => sum(found.map(of)) / found.length;
    return { mAP: mean(averagePrecision), "macro F1": mean(f1) };
  }

  /** Whether both predict exactly the same labels. */
  same(first, second) {
    const [one, other] = [first, second].map((side) => this.probabilities(side));
    refuseDifferent(one, other, "outputs");
    const least = spread(this.thresholds, one.columns, "thresholds");
    return each(one.rows, (at) => {
      const [here, there] = [one.of(at), other.of(at)];
      return here.every((share, number) => !Number.isNaN(share) && !Number.isNaN(there[number]) && share >= least[number] === there[number] >= least[number]);
    });
  }

  probabilities(outputs) {
    const output = oneOutput(outputs, "classes");
    return this.scores === "logits" ? table(output.shape, sigmoid(output.values)) : output;
  }
}

/** Probabilities (Float32Array) of logits, in float64 as the Python runtime does it. */
export const sigmoid = (logits) => Float32Array.from(logits, (one) => 1 / (1 + Math.exp(-one)));

/**
 * The area under the precision–recall curve of one class, as a sum of steps, Σ (R_n - R_{n-1}) · P_n, over the thresholds of
 * falling score, samples of one score together. NaN ranks last.
 */
export function averagePrecision({ scores, wanted }) {
  const values = scores.map((one) => (Number.isNaN(one) ? -Infinity : one));
  const order = ranked(values);
  const all = wanted.filter((one) => one).length;
  let [right, recall, area] = [0, 0, 0];
  order.forEach((sample, place) => {
    if (wanted[sample]) right++;
    if (values[order[place + 1]] === values[sample]) return; // of the samples that share a score, the last counts
    area += (right / all - recall) * (right / (place + 1));
    recall = right / all;
  });
  return area;
}

/** 2 · TP / (predicted + positive). */
function f1({ scores, wanted, least }) {
  const predicted = scores.map((one) => one >= least);
  const count = (flags) => flags.filter((one) => one).length;
  return (2 * count(predicted.map((one, at) => one && wanted[at]))) / Math.max(count(predicted) + count(wanted), 1);
}
