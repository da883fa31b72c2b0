// Power spectra: Cooley and Tukey's for powers of two; other lengths as a convolution of such a length (Bluestein 1970).

/** A function: `size` samples (Float64Array) → |rfft|², size / 2 + 1 values. */
export function powerSpectrum(size) {
  const plain = (size & (size - 1)) === 0;
  const length = plain ? size : 2 ** Math.ceil(Math.log2(2 * size - 1));
  const transform = transformOf(length);
  const [real, imaginary] = [new Float64Array(length), new Float64Array(length)];
  // exp(-iπn²/size); n² modulo 2 · size, for the angle to stay exact.
  const chirp = Float64Array.from({ length: size }, (_, at) => (Math.PI * ((at * at) % (2 * size))) / size);
  const [cosines, sines] = [chirp.map(Math.cos), chirp.map(Math.sin)];
  const [filterReal, filterImaginary] = [new Float64Array(length), new Float64Array(length)];
  if (!plain) {
    for (let at = 0; at < size; at++) {
      for (const place of [at, (length - at) % length]) [filterReal[place], filterImaginary[place]] = [cosines[at], sines[at]];
    }
    transform(filterReal, filterImaginary);
  }
  return (window) => {
    real.fill(0);
    imaginary.fill(0);
    if (plain) real.set(window);
    for (let at = 0; !plain && at < size; at++) [real[at], imaginary[at]] = [window[at] * cosines[at], -window[at] * sines[at]];
    transform(real, imaginary);
    if (!plain) {
      for (let at = 0; at < length; at++) { // the product, conjugated: transformed again it is the inverse transform's
        const product = real[at] * filterReal[at] - imaginary[at] * filterImaginary[at];
        imaginary[at] = -(real[at] * filterImaginary[at] + imaginary[at] * filterReal[at]) / length;
        real[at] = product / length;
      }
      transform(real, imaginary); // a factor of modulus 1 is left out: only the power is needed
    }
    return Float64Array.from({ length: (size >> 1) + 1 }, (_, at) => real[at] ** 2 + imaginary[at] ** 2);
  };
}

function transformOf(length) {
  const cosines = Float64Array.from({ length: length >> 1 || 1 }, (_, at) => Math.cos((2 * Math.PI * at) / length));
  const sines = Float64Array.from({ length: length >> 1 || 1 }, (_, at) => Math.sin((2 * Math.PI * at) / length));
  const reversed = new Uint32Array(length);
  for (let at = 1; at < length; at++) reversed[at] = (reversed[at >> 1] >> 1) | (at & 1 ? length >> 1 : 0);
  return (real, imaginary) => {
    for (let at = 0; at < length; at++) {
      const other = reversed[at];
      if (at >= other) continue;
      [real[at], real[other]] = [real[other], real[at]];
      [imaginary[at], imaginary[other]] = [imaginary[other], imaginary[at]];
    }
    for (let half = 1; half < length; half *= 2) {
      const step = length / (2 * half);
      for (let start = 0; start < length; start += 2 * half) {
        for (let at = 0; at < half; at++) {
          const [one, other, turn] = [start + at, start + at + half, at * step];
          const a = real[other] * cosines[turn] + imaginary[other] * sines[turn];
          const b = imaginary[other] * cosines[turn] - real[other] * sines[turn];
          real[other] = real[one] - a;
          imaginary[other] = imaginary[one] - b;
          real[one] += a;
          imaginary[one] += b;
        }
      }
    }
  };
}
