// Waveforms, as edgestill_runtime/processing/waves.py reads and resamples them.

const [LOWEST_RATE, HIGHEST_RATE] = [1_000, 384_000];
const MOST_CHANNELS = 32;
const EXTENSIBLE = 0xfffe;
const UNKNOWN = "This is no WAV file of plain samples; other formats are not read here.";
const ZERO_CROSSINGS = 16;
const ROLLOFF = 0.95;
// Of a sample at a place, by kind (1: whole numbers, 3: floats) and bits.
const READ = {
  "1 8": (file, at) => (file.getUint8(at) - 128) / 128,
  "1 16": (file, at) => file.getInt16(at, true) / 2 ** 15,
  "1 24": (file, at) => (file.getUint16(at, true) | (file.getInt8(at + 2) << 16)) / 2 ** 23,
  "1 32": (file, at) => file.getInt32(at, true) / 2 ** 31,
  "3 32": (file, at) => file.getFloat32(at, true),
  "3 64": (file, at) => file.getFloat64(at, true),
};

/**
 * A RIFF/WAVE file (ArrayBuffer) of 8, 16, 24 or 32 bits, or of floats: { samples: Float64Array in -1…1, rate }; several
 * channels become their mean. An Error says what is wrong with it.
 */
export function readWav(content) {
  const file = new DataView(content);
  if (content.byteLength < 12 || tag(file, 0) !== "RIFF" || tag(file, 8) !== "WAVE") {
    throw new Error("This is no WAV file; other formats are not read here.");
  }
  let form = null;
  for (let place = 12; place + 8 <= content.byteLength; ) {
    const size = file.getUint32(place + 4, true);
    // A truncated or unfinished file has less data than its header states: the existing data is read.
    const there = Math.min(size, content.byteLength - place - 8);
    if (tag(file, place) === "fmt " && there >= 16) form = formOf(file, place + 8, there);
    else if (tag(file, place) === "data") {
      if (!form) throw new Error("This is a damaged WAV file: its samples come before their description.");
      return samplesOf(file, place + 8, there, form);
    }
    place += 8 + size + (size % 2);
  }
  throw new Error("This is a damaged WAV file: it has no samples.");
}

const tag = (file, at) => String.fromCharCode(...[0, 1, 2, 3].map((place) => file.getUint8(at + place)));

function formOf(file, at, size) {
  const kind = file.getUint16(at, true);
  return {
    kind: kind === EXTENSIBLE && size >= 26 ? file.getUint16(at + 24, true) : kind,
    channels: file.getUint16(at + 2, true),
    rate: file.getUint32(at + 4, true),
    frame: file.getUint16(at + 12, true), // bytes of one sample of every channel together
    bits: file.getUint16(at + 14, true),
  };
}

function samplesOf(file, at, size, { kind, channels, rate, frame, bits }) {
  const read = READ[`${kind} ${bits}`];
  if (!read) throw new Error(UNKNOWN);
  if (channels < 1 || channels > MOST_CHANNELS) throw new Error(`This is a WAV file of ${channels} channels; 1 to ${MOST_CHANNELS} are read.`);
  const width = frame / channels;
  // `arecord -f S24_LE`, as of many I2S microphones: the low three bytes of each four.
  if (width !== bits / 8 && !(bits === 24 && width === 4)) throw new Error(UNKNOWN);
  if (rate < LOWEST_RATE || rate > HIGHEST_RATE) throw new Error(`This WAV file has ${rate} samples a second; ${LOWEST_RATE} to ${HIGHEST_RATE} are read.`);
  const samples = new Float64Array(Math.floor(size / frame));
  for (let number = 0; number < samples.length; number++) {
    let total = 0;
    for (let channel = 0; channel < channels; channel++) total += read(file, at + number * frame + channel * width);
    samples[number] = total / channels;
  }
  if (!samples.length) throw new Error("This WAV file has no samples.");
  if (!samples.every(Number.isFinite)) throw new Error("This WAV file has samples that are not finite (NaN or infinity).");
  return { samples, rate };
}

/** `length` samples at `rate`: the middle of a longer recording; a shorter one with silence on both sides. */
export function excerpt(recording, rate, length) {
  const common = greatestCommonDivisor(recording.rate, rate);
  const [up, down] = [rate / common, recording.rate / common];
  const count = Math.ceil((recording.samples.length * up) / down); // samples that it has at the new rate
  const excess = count - length;
  const start = excess > 0 ? Math.floor(excess / 2) : 0;
  const waveform = resample(recording.samples, up, down, start, Math.min(count, length));
  if (excess >= 0) return waveform;
  const result = new Float64Array(length);
  result.set(waveform, Math.floor(-excess / 2));
  return result;
}

const greatestCommonDivisor = (one, other) => (other === 0 ? one : greatestCommonDivisor(other, one % other));

/** Samples from `start` on of a recording at `up / down` times its rate; beyond its ends is silence. */
function resample(samples, up, down, start, count) {
  if (up === down) return samples.subarray(start, start + count);
  const cutoff = (ROLLOFF * Math.min(up, down)) / down; // as a share of the recording's Nyquist frequency
  const half = Math.ceil(ZERO_CROSSINGS / cutoff);
  const rows = new Map(); // only the phases that occur
  return Float64Array.from({ length: count }, (_, at) => {
    const place = (start + at) * down;
    const phase = place % up;
    if (!rows.has(phase)) rows.set(phase, taps(phase / up, half, cutoff));
    const weights = rows.get(phase);
    const first = (place - phase) / up - half + 1;
    let total = 0;
    for (let tap = Math.max(0, -first); tap < Math.min(2 * half, samples.length - first); tap++) total += weights[tap] * samples[first + tap];
    return total;
  });
}

/** Weights for an output `behind` of a sample after an input: a sinc with a Hann window; their sum is 1. */
function taps(behind, half, cutoff) {
  const weights = Float64Array.from({ length: 2 * half }, (_, tap) => {
    const x = Math.min(Math.max((tap - half + 1 - behind) * cutoff, -ZERO_CROSSINGS), ZERO_CROSSINGS);
    const angle = Math.PI * x;
    return (x === 0 ? 1 : Math.sin(angle) / angle) * Math.cos(angle / ZERO_CROSSINGS / 2) ** 2;
  });
  const total = weights.reduce((sum, one) => sum + one, 0);
  return weights.map((one) => one / total);
}
