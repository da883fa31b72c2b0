// Images: turned as EXIF says, 16 bits → the upper 8, what is transparent laid over `ground`, to the model's colours,
// resized. The order of the steps is part of the arithmetic.

import { resized } from "./resizing.js";

/**
 * Pixels of the model's size and colours.
 *
 * `picture`: { height, width, channels, values, orientation }, as stored. values: Uint8Array, Uint8ClampedArray or
 * Uint16Array of height × width × channels: grey (1), grey and alpha (2), RGB (3), RGBA (4), alpha not multiplied in.
 * orientation: 1–8, as EXIF counts them.
 */
export function imagePixels(processor, picture) {
  const upright = turned(picture);
  const channels = processor.mean.length;
  const row = new Int32Array(upright.width * picture.channels);
  const source = {
    height: upright.height,
    width: upright.width,
    channels,
    read(number, into) {
      upright.read(number, row);
      colours(processor, row, picture.channels, upright.width, into);
    },
  };
  const { height, width, filter } = processor;
  const whole = [0, 0, source.width, source.height];
  if (processor.resize === "stretch") return resized(source, height, width, whole, filter);
  if (processor.resize === "crop") return resized(source, height, width, middle(processor, source), filter);
  return letterboxed(processor, source, whole);
}

/** The rows of a picture as it is meant to be seen. */
function turned({ height, width, channels, values, orientation = 1 }) {
  const deep = values instanceof Uint16Array ? 8 : 0;
  const upsideDown = [3, 4, 6, 7].includes(orientation);
  const mirrored = [2, 3, 7, 8].includes(orientation);
  const columns = orientation >= 5;
  const [length, step] = columns ? [height, width * channels] : [width, channels];
  const backwards = columns ? upsideDown : mirrored;
  return {
    height: columns ? width : height,
    width: length,
    read(number, into) {
      const last = (columns ? width : height) - 1;
      const line = (columns ? mirrored : upsideDown) ? last - number : number;
      let from = line * (columns ? channels : width * channels) + (backwards ? (length - 1) * step : 0);
      for (let pixel = 0, at = 0; pixel < length; pixel++, from += backwards ? -step : step) {
        for (let channel = 0; channel < channels; channel++) into[at++] = values[from + channel] >> deep;
      }
    },
  };
}

/** A row, laid over `ground` and in the model's colours. */
function colours({ mean, ground }, row, given, width, into) {
  const alpha = given === 2 || given === 4;
  const plain = alpha ? given - 1 : given;
  for (let pixel = 0, at = 0; pixel < width; pixel++, at += given) {
    if (alpha) {
      const share = row[at + plain];
      for (let one = at; one < at + plain; one++) row[one] = Math.floor((row[one] * share + ground * (255 - share) + 127) / 255);
    }
    if (mean.length === 1) into[pixel] = plain === 1 ? row[at] : grey(row[at], row[at + 1], row[at + 2]);
    else for (let channel = 0; channel < 3; channel++) into[3 * pixel + channel] = row[at + (plain === 1 ? 0 : channel)];
  }
}

/** ITU-R 601-2 in whole numbers, rounded as Pillow's `convert("L")` rounds. */
const grey = (red, green, blue) => (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16;

/** The longer side is the model's, the other one rounded to the nearest, half upwards: whole numbers throughout. */
function letterboxed({ height, width, mean, filter, fill }, source, whole) {
  const flat = source.width * height >= source.height * width;
  const high = flat ? Math.max(1, Math.floor((2 * source.height * width + source.width) / (2 * source.width))) : height;
  const wide = flat ? width : Math.max(1, Math.floor((2 * source.width * height + source.height) / (2 * source.height)));
  const inner = resized(source, high, wide, whole, filter);
  const result = new Uint8Array(height * width * mean.length).fill(fill);
  const [top, left] = [(height - high) >> 1, (width - wide) >> 1];
  const line = wide * mean.length;
  for (let row = 0; row < high; row++) {
    result.set(inner.subarray(row * line, (row + 1) * line), ((top + row) * width + left) * mean.length);
  }
  return result;
}

function middle({ height, width, crop_share: share }, source) {
  const ratio = source.width / source.height;
  const target = width / height;
  let [across, down] = [source.width, source.height];
  if (ratio > target) across = target * source.height;
  else if (ratio < target) down = source.width / target;
  across *= share;
  down *= share;
  const [left, top] = [(source.width - across) * 0.5, (source.height - down) * 0.5];
  return [left, top, left + across, top + down];
}
