// The interface of a task: a prediction from outputs, quality measures, and agreement of two models.

import { fixed, repr, significant, tuple } from "../text.js";

const LARGEST = 1e30;

/**
 * What the outputs of one bundle's model mean. Outputs are [{ shape: [N, …], values: Float32Array }, …], one for each
 * output of the model; targets are { shape: [N, …], values: Float64Array }.
 *
 * A task is a class with `static taskName`, `options` of `answer`, `onScreen` (those options, as a page that shows the
 * answer has them), and:
 *
 *   answer(outputs, options)    of one sample: { describe(), rows() }, and what the task says as plain data
 *   quality(outputs, targets)   { measure: value }
 *   same(first, second)         [boolean]: per sample, whether two models have the same prediction
 */
export class Task {
  static options = [];
  static onScreen = {};

  constructor(labels, scores) {
    this.labels = labels;
    this.scores = scores;
  }

  get name() {
    return this.constructor.taskName;
  }

  get options() {
    return this.constructor.options;
  }

  get onScreen() {
    return this.constructor.onScreen;
  }

  /** Share of samples, 0–1, for which two models have the same prediction. */
  agreement(first, second) {
    const same = this.same(first, second);
    if (!same.length) throw new Error("there is no sample: an agreement of nothing is no number");
    return same.filter((one) => one).length / same.length;
  }

  /** The label of a column of the outputs; its number if there are no labels. */
  label(column) {
    return this.labels[column] ?? String(column);
  }
}

/** A row of a prediction on a page: share (0–1) is shown as a bar; main: the prediction itself, others follow it. */
export const row = (name, value, share = null, main = false) => ({ name, value, share, main });

/** A bar for each label. */
export const bars = (predictions) => predictions.map(({ label, share }) => row(label, `${fixed(100 * share, 1)} %`, share));

/** Numbers from 0 to count - 1, each through a function. */
export const each = (count, make) => Array.from({ length: count }, (_, at) => make(at));

export const sum = (values) => values.reduce((one, other) => one + other, 0);

/** The only output, (N, columns), as { shape, rows, columns, values, of(row) }. */
export function oneOutput(outputs, what) {
  if (outputs.length !== 1 || outputs[0].shape.length !== 2) {
    throw new Error(`one output (N, ${what}) is needed, not ${outputs.map((one) => tuple(one.shape)).join(", ") || "none"}`);
  }
  const { shape, values } = outputs[0];
  return table(shape, values);
}

/** Rows of numbers. */
export function table(shape, values) {
  const [rows, columns] = shape;
  return { shape, rows, columns, values, of: (row) => values.subarray(row * columns, (row + 1) * columns) };
}

/** Columns by falling score; of equal scores the first, NaN last. */
export function ranked(scores) {
  const all = each(scores.length, (at) => at);
  const known = all.filter((at) => !Number.isNaN(scores[at]));
  return [...known.sort((one, other) => scores[other] - scores[one] || one - other), ...all.filter((at) => Number.isNaN(scores[at]))];
}

/** An option that is a number of things, 1 or more, or nothing. */
export function countOf(value, name) {
  if (value === null || value === undefined) return undefined;
  if (Number.isInteger(value) && value >= 1) return value;
  throw new Error(`${name} must be at least 1, not ${repr(value).slice(0, 40)}`);
}

/** A number within limits. */
export function numberOf(value, name, least, most) {
  if (typeof value === "number" && value >= least && value <= most) return value;
  throw new Error(`${name} must be a number from ${significant(least, 6)} to ${significant(most, 6)}, not ${repr(value).slice(0, 40)}`);
}

/** A setting that is a list of numbers, one for each of so many values; one number stands for all of them. */
export function numbersOf(settings, name, count, otherwise, least) {
  const value = settings[name] ?? otherwise;
  const values = Array.isArray(value) ? value : [value];
  if (values.length !== count && values.length !== 1 && count) refuseCount(name, values.length, count);
  return values.map((one) => numberOf(one, name, least, LARGEST));
}

/** One number per column. Needed without labels, when the number of columns is not known in advance. */
export function spread(numbers, columns, name) {
  if (numbers.length !== columns && numbers.length !== 1) refuseCount(name, numbers.length, columns);
  return each(columns, (at) => numbers[numbers.length === 1 ? 0 : at]);
}

function refuseCount(name, found, needed) {
  throw new Error(`${name} has ${found} numbers for ${needed} values; give one for each, or one for all`);
}

/** Refuse settings that a task has not. */
export function refuseUnknown(settings, known, task) {
  const unknown = Object.keys(settings).sort().find((one) => !known.includes(one));
  if (unknown !== undefined) throw new Error(`${task} has no setting ${repr(unknown).slice(0, 60)}; it has ${known.join(", ") || "none"}`);
}

/** Refuse shapes of two models' outputs that differ; what: the outputs are called. */
export function refuseDifferent(first, second, what) {
  if (tuple(first.shape) !== tuple(second.shape)) throw new Error(`${what} ${tuple(first.shape)} and ${tuple(second.shape)} cannot be compared`);
}
