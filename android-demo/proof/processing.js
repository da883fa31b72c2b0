// Run in the page by proof/browser.py: what the JavaScript twin makes of Python's photos and recordings, against Python's
// pixels. Gives { photos, recordings, wrong: ["what differs", …], decoded: { name: largest difference, … } }.

import { readPicture } from "../pictures.js";
import { pixelsOf } from "../processor.js";
import { readWav } from "../waves.js";

const fetched = async (path) => (await fetch(`vectors/${path}`)).arrayBuffer();

/** The largest difference of any value from what Python made with the processors that a case was tried with. */
function difference(one, processors, input, expected) {
  let [most, at] = [0, 0];
  for (const number of one.processors) {
    for (const value of pixelsOf(processors[number], input)) most = Math.max(most, Math.abs(value - expected[at++]));
  }
  return at === expected.length ? most : Infinity;
}

export async function compare() {
  const all = JSON.parse(new TextDecoder().decode(await fetched("processing.json")));
  const [wrong, decoded] = [[], {}];
  for (const [number, photo] of all.photos.entries()) {
    const stored = await fetched(`photos/${number}.bin`);
    const expected = new Uint8Array(await fetched(`photos/${number}.pixels`));
    const values = photo.bits === 16 ? new Uint16Array(stored) : new Uint8Array(stored);
    const found = difference(photo, all.image, { ...photo, values }, expected);
    if (found) wrong.push(`${photo.name} by ${found}`);
    if (!photo.file) continue;
    try {
      decoded[photo.name] = difference(photo, all.image, await readPicture(new Blob([await fetched(photo.file)])), expected);
    } catch (error) {
      decoded[photo.name] = error.message;
    }
  }
  for (const [number, recording] of all.recordings.entries()) {
    const read = readWav(await fetched(`recordings/${number}.wav`));
    const found = difference(recording, all.audio, read, new Uint8Array(await fetched(`recordings/${number}.pixels`)));
    if (found) wrong.push(`${recording.name} by ${found}`);
  }
  return { photos: all.photos.length, recordings: all.recordings.length, wrong, decoded };
}
