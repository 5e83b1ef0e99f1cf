// Numbers out of two moments of the server's counters. Nothing here touches the page.

// The counts of a histogram between two moments; a version that was loaded again has begun anew.
export function between(before, after) {
  if (!before) return after.counts;
  const grown = after.counts.map((count, at) => count - before.counts[at]);
  return grown.some((count) => count < 0) ? after.counts : grown;
}

// The value below which a share of what was counted lies, straight within its bucket, as Prometheus has it.
export function quantile(share, bounds, counts) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const wanted = share * total;
  let below = 0;
  for (let at = 0; at < bounds.length; at += 1) {
    if (below + counts[at] >= wanted) {
      const from = at === 0 ? 0 : bounds[at - 1];
      return from + (bounds[at] - from) * ((wanted - below) / counts[at]);
    }
    below += counts[at];
  }
  return bounds[bounds.length - 1];
}

export function rate(before, after, key, beforeTime, afterTime) {
  if (!before || afterTime <= beforeTime || after[key] < before[key]) return 0;
  return (after[key] - before[key]) / (afterTime - beforeTime);
}

export const sum = (record) => Object.values(record || {}).reduce((total, value) => total + value, 0);

export function bytes(count) {
  if (count === undefined || count === null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = count;
  let at = 0;
  while (size >= 999.5 && at < units.length - 1) {
    size /= 1024;
    at += 1;
  }
  return `${Number(size.toPrecision(3))} ${units[at]}`;
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1) return `${Number(value.toPrecision(3))} s`;
  if (value >= 1e-3) return `${Number((value * 1e3).toPrecision(3))} ms`;
  return `${Number((value * 1e6).toPrecision(3))} µs`;
}

export const count = (value) => (value === undefined || value === null ? "–" : value.toLocaleString("en"));
export const perSecond = (value) => `${value >= 100 ? Math.round(value) : Number(value.toPrecision(2))}/s`;
