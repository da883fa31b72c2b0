// Preprocessing: a photo or a recording → the input tensor of a model, with the arithmetic of edgestill_runtime.processing,
// equal to the last bit. `proof/browser.py` holds it to what Python made.

import { audioPixels } from "./audio.js";
import { imagePixels } from "./image.js";

/** Values of one image of a processor, as `Processor.to_json` wrote it. */
export const countOf = ({ height, width, mean }) => height * width * mean.length;

/**
 * Pixels (Uint8Array, height × width × channels) of a picture ({ height, width, channels, values, orientation }: see
 * image.js) or of a recording ({ samples, rate }: see waves.js), whichever the processor takes.
 */
export function pixelsOf(processor, input) {
  if (processor.kind === "audio") return audioPixels(processor, input);
  if (processor.kind === "image") return imagePixels(processor, input);
  throw new Error(`this page does not know inputs of the kind ${processor.kind}; make it again with a newer edgestill`);
}

/** Tensor value of each pixel value, for each channel: [Float32Array(256), …]. */
export const tableOf = ({ mean, std }) =>
  mean.map((one, channel) => Float32Array.from({ length: 256 }, (_, pixel) => (pixel / 255 - one) / std[channel]));
