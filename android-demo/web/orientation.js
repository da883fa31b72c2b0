// The EXIF orientation of WebP files, which Chromium leaves to others; of all other formats browsers turn the picture.

const ORIENTATION = 0x0112;

/**
 * Content (Uint8Array) of an image file whose browser has nothing left to turn, and the orientation (1–8) that it had.
 *
 * A WebP file is copied with the orientation 1 in it, so that it does not matter whether a browser looks.
 */
export function withoutOrientation(content) {
  const place = placeInWebp(content);
  if (place === null) return { content, orientation: 1 };
  const copy = content.slice();
  const view = new DataView(copy.buffer);
  const orientation = view.getUint16(place.at, place.little);
  view.setUint16(place.at, 1, place.little);
  return { content: copy, orientation: orientation >= 1 && orientation <= 8 ? orientation : 1 };
}

/** Where in a WebP file the orientation's value stands: { at, little }; null where there is none. */
function placeInWebp(content) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const tag = (at) => String.fromCharCode(...content.subarray(at, at + 4));
  if (tag(0) !== "RIFF" || tag(8) !== "WEBP") return null;
  for (let at = 12; at + 8 <= content.length; ) {
    const size = view.getUint32(at + 4, true);
    if (tag(at) === "EXIF") return placeInTiff(view, at + 8 + (tag(at + 8) === "Exif" ? 6 : 0), Math.min(at + 8 + size, content.length));
    at += 8 + size + (size % 2);
  }
  return null;
}

/** The same in a TIFF directory, which is what EXIF is, from `start` to `end`. */
function placeInTiff(view, start, end) {
  if (start + 8 > end) return null;
  const little = view.getUint16(start) === 0x4949;
  const directory = start + view.getUint32(start + 4, little);
  const entries = directory + 2 <= end ? view.getUint16(directory, little) : 0;
  for (let at = directory + 2, left = entries; left > 0 && at + 12 <= end; at += 12, left--) {
    if (view.getUint16(at, little) === ORIENTATION && view.getUint16(at + 2, little) === 3) return { at: at + 8, little };
  }
  return null;
}
