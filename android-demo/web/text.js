// Numbers and values in words, as Python writes them: the same message, and the same digits, on every device.

const DIGITS = 60; // more than any number of 53 bits needs where it lies between two others

/** So many significant digits, without zeros at the end: Python's format(value, ".4g"), ties to even. */
export function significant(value, digits) {
  if (!Number.isFinite(value)) return odd(value);
  const { sign, text, exponent } = rounded(value, digits);
  const short = text.replace(/0+$/, "") || "0";
  if (exponent < -4 || exponent >= digits) {
    const mantissa = short.length > 1 ? `${short[0]}.${short.slice(1)}` : short;
    return `${sign}${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  return sign + placed(short, exponent, Math.max(0, short.length - 1 - exponent));
}

/** So many decimals: Python's format(value, ".2f"), ties to even. */
export function fixed(value, decimals) {
  if (!Number.isFinite(value)) return odd(value);
  const { sign, text, exponent } = rounded(value, decimals + 1 + exponentOf(value));
  return sign + placed(text, exponent, decimals);
}

/** A value of JSON as Python's repr shows it; a whole number stands without a point, which JavaScript cannot tell from one. */
export function repr(value) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, one]) => `${repr(key)}: ${repr(one)}`).join(", ")}}`;
  const text = value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential() : String(value);
  return text.replace(/e([+-])(\d)$/, "e$10$2");
}

/** Sizes as Python shows a tuple: (3, 4), (3,). */
export const tuple = (sizes) => (sizes.length === 1 ? `(${sizes[0]},)` : `(${sizes.join(", ")})`);

function quoted(text) {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const inside = Array.from(text, (one) => {
    if (one === quote || one === "\\") return `\\${one}`;
    if (one in named) return named[one];
    return /[\u0000-\u001f\u007f-\u00a0\u00ad]/.test(one) ? `\\x${one.charCodeAt(0).toString(16).padStart(2, "0")}` : one;
  });
  return quote + inside.join("") + quote;
}

const odd = (value) => (Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf");

const exponentOf = (value) => (value === 0 ? 0 : Number(Math.abs(value).toExponential(DIGITS).split("e")[1]));

/** So many digits of a number, and the power of ten of the first of them. */
function rounded(value, count) {
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  if (value === 0) return { sign, text: "0".repeat(Math.max(count, 1)), exponent: 0 };
  const exponent = exponentOf(value);
  const all = Math.abs(value).toExponential(DIGITS).split("e")[0].replace(".", "");
  if (count < 0) return { sign, text: "0", exponent: exponent - count };
  const [kept, rest] = [all.slice(0, count), all.slice(count)];
  const half = "5".padEnd(rest.length, "0");
  const up = rest > half || (rest === half && Number(kept.at(-1) ?? "0") % 2 === 1);
  const whole = String(BigInt(kept || "0") + (up ? 1n : 0n)).padStart(count, "0");
  return whole.length > count ? { sign, text: whole, exponent: exponent + 1 } : { sign, text: whole, exponent };
}

/** Digits with their point: the first stands for 10^exponent. */
function placed(text, exponent, decimals) {
  const all = exponent < 0 ? "0".repeat(-exponent) + text : text.padEnd(exponent + 1, "0");
  const point = Math.max(exponent, 0) + 1;
  return decimals ? `${all.slice(0, point)}.${all.slice(point, point + decimals).padEnd(decimals, "0")}` : all.slice(0, point);
}
