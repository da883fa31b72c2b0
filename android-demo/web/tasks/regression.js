// One or several values for one image: outputs are numbers (N, values), which the task brings into units of the target;
// targets are (N, values) in these units.

import { repr, significant, tuple } from "../text.js";
import { Task, each, numbersOf, oneOutput, refuseDifferent, refuseUnknown, row, spread, sum, table } from "./base.js";

export class Regression extends Task {
  static taskName = "regression";

  /**
   * settings: mean and std of the targets, `value = mean + std · output`, 0 and 1 where nothing is said; units, a text for
   * each value; tolerance, in units of the target, how far two answers may be apart and still be the same, 0 where nothing
   * is said.
   */
  constructor(labels, settings, scores) {
    super(labels, scores);
    refuseUnknown(settings, ["mean", "std", "units", "tolerance"], this.name);
    const count = labels.length;
    this.mean = numbersOf(settings, "mean", count, 0, -1e30);
    this.std = numbersOf(settings, "std", count, 1, 1e-30);
    this.tolerance = numbersOf(settings, "tolerance", count, 0, 0);
    this.units = unitsOf(settings.units, count);
  }

  /** values: [{ name, value, unit }], in the order of the labels. */
  answer(outputs) {
    const values = Array.from(this.values(outputs).of(0), (value, at) => ({ name: this.label(at), value, unit: this.units[at] ?? "" }));
    return {
      values,
      describe: () => values.map(({ name, value, unit }) => `${name} ${significant(value, 4)} ${unit}`.trim()).join(", "),
      rows: () => values.map(({ name, value, unit }) => row(name, `${significant(value, 4)} ${unit}`.trim())),
    };
  }

  /**
   * R², the mean over values of `1 - Σ (x - y)² / Σ (y - mean(y))²`, and MAE, the mean of |x - y|. A value that never varies
   * in the targets has no R² and is left out of its mean. NaN counts as an infinite error.
   */
  quality(outputs, targets) {
    const found = this.values(outputs);
    const shape = targets.shape.length === 1 ? [...targets.shape, 1] : targets.shape;
    if (tuple(found.shape) !== tuple(shape) || !found.rows) {
      throw new Error(`outputs (N, values) need targets of that shape, not ${tuple(found.shape)} and ${tuple(shape)}`);
    }
    const errors = Array.from(found.values, (value, at) => value - targets.values[at]).map((one) => (Number.isNaN(one) ? Infinity : one));
    const column = (values, number) => each(found.rows, (at) => values[at * found.columns + number]);
    const shares = each(found.columns, (number) => share(column(errors, number), column(targets.values, number))).filter((one) => one !== null);
    if (!shares.length) throw new Error("the targets never vary: there is no R² of them");
    return { "R²": sum(shares) / shares.length, MAE: sum(errors.map(Math.abs)) / errors.length };
  }

  /** Where all values lie within the tolerance. */
  same(first, second) {
    const [one, other] = [first, second].map((side) => this.values(side));
    refuseDifferent(one, other, "outputs");
    // A millionth more: values that are exactly the tolerance apart are within it, whatever their last bit.
    const most = spread(this.tolerance, one.columns, "tolerance").map((value) => value * (1 + 1e-6));
    return each(one.rows, (at) => one.of(at).every((value, number) => Math.abs(value - other.of(at)[number]) <= most[number]));
  }

  /** In units of the target. */
  values(outputs) {
    const output = oneOutput(outputs, "values");
    const { columns } = output;
    if (this.labels.length && columns !== this.labels.length) throw new Error(`outputs ${tuple(output.shape)} are no values of ${this.labels.join(", ")}`);
    const [mean, std] = [spread(this.mean, columns, "mean"), spread(this.std, columns, "std")];
    return table(output.shape, Float64Array.from(output.values, (one, at) => mean[at % columns] + std[at % columns] * one));
  }
}

function unitsOf(value, count) {
  const nothing = !value || (typeof value === "object" && !Object.keys(value).length); // what Python takes for false
  const units = nothing ? each(count, () => "") : value;
  if (!Array.isArray(units) || units.length !== count || !units.every((one) => typeof one === "string")) {
    throw new Error(`units is a text for each of ${count} values, not ${repr(units).slice(0, 60)}`);
  }
  return units;
}

/** `1 - Σ error² / Σ (y - mean(y))²`; null where the targets never vary. */
function share(errors, wanted) {
  if (wanted.every((one) => one === wanted[0])) return null; // exactly, despite rounding of the mean
  const mean = sum(wanted) / wanted.length;
  const spreadOut = sum(wanted.map((one) => (one - mean) * (one - mean)));
  return spreadOut > 0 ? 1 - sum(errors.map((one) => one * one)) / spreadOut : null;
}
