// Changing the size of an image, antialiased: edgestill_runtime/processing/resizing.py, operation by operation. Weights are
// computed in double precision and rounded to multiples of 2^-22; the horizontal pass is first, and rounded to 8 bits.

const HALF_WIDTHS = { bilinear: 1, bicubic: 2 }; // of the filters, in input pixels, where nothing gets smaller
const PRECISION = 22;

/**
 * The part `box` ([left, top, right, bottom]; may lie between pixels) of an image in another size: Uint8Array.
 *
 * `image`: { height, width, channels, read(number, into) }, which reads the values 0–255 of a row.
 */
export function resized(image, height, width, box, filter) {
  // Pillow hands the edges on in single precision.
  const [left, top, right, bottom] = box.map(Math.fround);
  const across = left === 0 && right === image.width && width === image.width ? null : weights(image.width, left, right, width, filter);
  const down = top === 0 && bottom === image.height && height === image.height ? null : weights(image.height, top, bottom, height, filter);
  // Rows that no output looks at are not read.
  const start = down ? down.reduce((least, { first }) => Math.min(least, first), image.height) : 0;
  const end = down ? down.reduce((most, { first, values }) => Math.max(most, first + values.length), 0) : image.height;
  const line = width * image.channels;
  const narrow = new Uint8Array((end - start) * line);
  const row = new Int32Array(image.width * image.channels);
  for (let number = start; number < end; number++) {
    image.read(number, row);
    const into = narrow.subarray((number - start) * line, (number - start + 1) * line);
    if (across) horizontal(row, image.channels, across, into);
    else into.set(row);
  }
  return down ? vertical(narrow, start, line, down) : narrow;
}

/** Of each output pixel: the first input pixel, and the weights of it and the next. */
function weights(size, start, end, count, filter) {
  const scale = Math.fround(end - start) / count;
  const stretch = Math.max(scale, 1);
  const support = HALF_WIDTHS[filter] * stretch;
  const inverse = 1 / stretch;
  const taps = Math.ceil(support) * 2 + 1;
  return Array.from({ length: count }, (_, number) => {
    const centre = start + (number + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const length = Math.max(0, Math.min(Math.trunc(centre + support + 0.5), size) - first);
    const raw = Float64Array.from({ length: Math.min(length, taps) }, (_, tap) => weight((tap + first - centre + 0.5) * inverse, filter));
    let total = 0;
    for (const value of raw) total += value; // one after the other: the order is part of the arithmetic
    const values = Int32Array.from(raw, (value) => {
      const steps = (total === 0 ? value : value / total) * 2 ** PRECISION;
      return Math.trunc(steps < 0 ? steps - 0.5 : steps + 0.5);
    });
    return { first, values };
  });
}

function weight(distance, filter) {
  const x = Math.abs(distance);
  if (filter === "bilinear") return x < 1 ? 1 - x : 0;
  const a = -0.5; // Keys 1981, "Cubic convolution interpolation for digital image processing"
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

const eightBits = (total) => Math.min(Math.max(total >> PRECISION, 0), 255);

function horizontal(row, channels, across, into) {
  let at = 0;
  for (const { first, values } of across) {
    for (let channel = 0; channel < channels; channel++) {
      let total = 1 << (PRECISION - 1);
      for (let tap = 0, from = first * channels + channel; tap < values.length; tap++, from += channels) total += row[from] * values[tap];
      into[at++] = eightBits(total);
    }
  }
}

/** `image` begins with row `start` of the original; a row has `line` values. */
function vertical(image, start, line, down) {
  const result = new Uint8Array(down.length * line);
  const total = new Int32Array(line);
  down.forEach(({ first, values }, number) => {
    total.fill(1 << (PRECISION - 1));
    values.forEach((value, tap) => {
      const from = (first - start + tap) * line;
      for (let at = 0; at < line; at++) total[at] += image[from + at] * value;
    });
    for (let at = 0; at < line; at++) result[number * line + at] = eightBits(total[at]);
  });
  return result;
}
