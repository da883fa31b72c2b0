// Files → pictures as they are stored: no colour management, alpha not multiplied in, nothing scaled.

import { withoutOrientation } from "./orientation.js";

const PLAIN = { imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none" };
const BAND = 1 << 20; // pixels that are read at a time: some browsers have no larger canvas than sixteen of these
const TILE = 2048; // pixels: every browser has textures of that size

/**
 * A picture ({ height, width, channels: 4, values, orientation }: see image.js) of a file (Blob).
 *
 * The browser decodes: 8 bits a channel. An Error says that it cannot.
 */
export async function readPicture(blob) {
  const { content, orientation } = withoutOrientation(new Uint8Array(await blob.arrayBuffer()));
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([content], { type: blob.type }), PLAIN);
  } catch {
    throw new Error("This is no picture that the browser can read.");
  }
  const { height, width } = bitmap;
  const values = inBands(bitmap);
  // A canvas premultiplies alpha, which loses precision; a texture does not.
  if (values.some((one, at) => at % 4 === 3 && one < 255)) await byTextures(bitmap, values);
  bitmap.close();
  return { height, width, channels: 4, values, orientation };
}

function inBands(bitmap) {
  const { height, width } = bitmap;
  const values = new Uint8Array(4 * height * width);
  const rows = Math.max(1, Math.min(height, Math.floor(BAND / width)));
  const context = new OffscreenCanvas(width, rows).getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < height; top += rows) {
    const here = Math.min(rows, height - top);
    context.clearRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, top, width, here, 0, 0, width, here);
    values.set(context.getImageData(0, 0, width, here).data, 4 * top * width);
  }
  return values;
}

/** Into `values`; where there is no WebGL they stay as a canvas gave them. */
async function byTextures(bitmap, values) {
  const gl = new OffscreenCanvas(1, 1).getContext("webgl");
  if (!gl) return;
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  for (let top = 0; top < bitmap.height; top += TILE) {
    for (let left = 0; left < bitmap.width; left += TILE) {
      const [high, wide] = [Math.min(TILE, bitmap.height - top), Math.min(TILE, bitmap.width - left)];
      const tile = await createImageBitmap(bitmap, left, top, wide, high, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, tile);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
      const read = new Uint8Array(4 * high * wide);
      gl.readPixels(0, 0, wide, high, gl.RGBA, gl.UNSIGNED_BYTE, read);
      for (let row = 0; row < high; row++) {
        values.set(read.subarray(4 * row * wide, 4 * (row + 1) * wide), 4 * ((top + row) * bitmap.width + left));
      }
      tile.close();
    }
  }
}
