// Times of runs in a browser, whose clock is coarse.

/** The value below which a share (0–100) of the numbers lies, linear between neighbours, as numpy computes it. */
export function percentile(values, share) {
  const sorted = Float64Array.from(values).sort();
  const place = (share / 100) * (sorted.length - 1);
  const below = sorted[Math.floor(place)];
  return below + (sorted[Math.ceil(place)] - below) * (place - Math.floor(place));
}

/**
 * Times, milliseconds, of so many runs. A browser's clock is coarse, so each is the mean of as many calls as take at
 * least twenty of its ticks: { times, calls, tick }.
 */
export async function measure(call, runs, onProgress, goOn) {
  for (let warm = 0; warm < 20; warm++) await call();
  const tick = clockTick();
  let calls = 1;
  while ((await timed(call, calls)) * calls < 20 * tick) calls *= 2;
  const times = [];
  while (times.length < runs && (times.length === 0 || goOn())) {
    times.push(await timed(call, calls));
    if (times.length % 10 === 0) {
      onProgress(times.length / runs);
      await new Promise((resume) => setTimeout(resume));
    }
  }
  return { times, calls, tick };
}

async function timed(call, calls) {
  const started = performance.now();
  for (let number = 0; number < calls; number++) await call();
  return (performance.now() - started) / calls;
}

function clockTick() {
  const steps = [];
  let last = performance.now();
  while (steps.length < 20) {
    const now = performance.now();
    if (now > last) steps.push(now - last);
    last = now;
  }
  return Math.min(...steps);
}
