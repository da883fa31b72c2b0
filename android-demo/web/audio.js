// Recordings → log-mel pictures. Computed in double precision and rounded once, at the end, so that they are Python's to
// the last bit.

import { powerSpectrum } from "./fourier.js";
import { excerpt } from "./waves.js";

/** Pixels (Uint8Array, bands × windows, low bands first) of a recording ({ samples, rate }) of any length and rate. */
export function audioPixels(processor, recording) {
  const { height, width, rate, decibels } = processor;
  const [length, size, step] = [processor.seconds, processor.window, processor.step].map((one) => roundedToEven(one * rate));
  const waveform = excerpt(recording, rate, length);
  const hann = Float64Array.from({ length: size }, (_, at) => 0.5 + 0.5 * Math.cos((Math.PI * (2 * at - size)) / size));
  const power = powerSpectrum(size);
  const bands = triangles(processor, size);
  const levels = new Float64Array(height * width);
  for (let column = 0; column < width; column++) {
    const spectrum = power(hann.map((one, at) => one * waveform[column * step + at]));
    bands.forEach(({ first, weights }, band) => {
      let total = 0;
      for (let at = 0; at < weights.length; at++) total += weights[at] * spectrum[first + at];
      levels[band * width + column] = 10 * Math.log10(Math.max(total, 1e-12));
    });
  }
  const loudest = levels.reduce((most, one) => Math.max(most, one), decibels - 120); // silence is 0
  return Uint8Array.from(levels, (one) => roundedToEven(255 * Math.min(Math.max((one - loudest + decibels) / decibels, 0), 1)));
}

/** Half to even, as Python rounds. */
function roundedToEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}

/** Of each mel band the first frequency that it hears, and the weights of it and the next. */
function triangles({ height, rate, lowest }, size) {
  const [start, end] = [lowest, rate / 2].map((frequency) => 2595 * Math.log10(1 + frequency / 700));
  const edges = Array.from({ length: height + 2 }, (_, at) => 700 * (10 ** ((start + at * ((end - start) / (height + 1))) / 2595) - 1));
  return Array.from({ length: height }, (_, band) => {
    const [low, centre, high] = edges.slice(band, band + 3);
    const all = Float64Array.from({ length: (size >> 1) + 1 }, (_, at) => {
      const frequency = (at * rate) / size;
      return Math.max(0, Math.min((frequency - low) / (centre - low), (high - frequency) / (high - centre)));
    });
    const first = Math.max(0, all.findIndex((one) => one > 0));
    return { first, weights: all.subarray(first, all.findLastIndex((one) => one > 0) + 1) };
  });
}
