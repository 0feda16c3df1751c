import type { BenchmarkReport } from "./benchmark.js";

const WIDTH = 640;
const HEIGHT = 400;
const MARGIN = { left: 64, right: 24, top: 24, bottom: 48 };
const COLOURS: Readonly<Record<string, string>> = {
  baseline: "#4c566a",
  optimised: "#2e7d32",
  "smaller-only": "#b26a00",
  "not-optimised": "#b26a00",
  rejected: "#b00020",
  teacher: "#5e35b1",
};

const escapeXml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** About five round numbers that cover a range. */
function ticks(low: number, high: number): number[] {
  const raw = (high - low) / 5;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * ([1, 2, 5, 10].find((factor) => factor * unit >= raw) ?? 10);
  const list: number[] = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) list.push(value);
  return list;
}

/** A range that holds the values with some room, never empty. */
function padded(values: readonly number[], least: number): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max((high - low) * 0.15, least);
  return [low - room, high + room];
}

/**
 * Accuracy (mAP50-95, up) against latency (median ms, right) of every artefact that has both, as SVG; the area of a point follows its size in bytes.
 * Null when fewer than two rows have an accuracy.
 */
export function benchmarkPlot({ rows, references }: BenchmarkReport): string | null {
  const points = [
    ...rows.map((row) => ({ ...row, name: row.artefact, ms: row.medianMs, map: row.accuracy?.map })),
    ...references.map((row) => ({ ...row, verdict: "teacher", ms: row.medianMs, map: row.accuracy?.map })),
  ].flatMap(({ name, verdict, bytes, ms, map }) =>
    map === undefined || ms === null ? [] : [{ name, verdict, bytes, ms, map }],
  );
  if (points.length < 2) return null;
  const [left, right] = padded(
    points.map(({ ms }) => ms),
    0.5,
  );
  const [bottom, top] = padded(
    points.map(({ map }) => map),
    0.005,
  );
  const x = (ms: number): number => MARGIN.left + ((ms - left) / (right - left)) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (map: number): number =>
    HEIGHT - MARGIN.bottom - ((map - bottom) / (top - bottom)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const largest = Math.max(...points.map(({ bytes }) => bytes ?? 0), 1);
  const text = (at: [number, number], content: string, extra = ""): string =>
    `<text x="${at[0].toFixed(1)}" y="${at[1].toFixed(1)}" ${extra}>${escapeXml(content)}</text>`;
  const floor = HEIGHT - MARGIN.bottom;
  const line = (x1: number, y1: number, x2: number, y2: number): string =>
    `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="#d8dee9"/>`;
  const parts = [
    ...ticks(left, right).flatMap((ms) => [
      line(x(ms), MARGIN.top, x(ms), floor),
      text([x(ms), floor + 16], String(Number(ms.toFixed(3))), 'text-anchor="middle"'),
    ]),
    ...ticks(bottom, top).flatMap((map) => [
      line(MARGIN.left, y(map), WIDTH - MARGIN.right, y(map)),
      text([MARGIN.left - 6, y(map) + 4], String(Number(map.toFixed(4))), 'text-anchor="end"'),
    ]),
    text([(MARGIN.left + WIDTH - MARGIN.right) / 2, HEIGHT - 10], "median latency, ms", 'text-anchor="middle"'),
    text([14, HEIGHT / 2], "mAP50-95", `text-anchor="middle" transform="rotate(-90 14 ${HEIGHT / 2})"`),
    ...points.flatMap(({ name, verdict, bytes, ms, map }) => {
      const radius = 4 + 8 * Math.sqrt((bytes ?? 0) / largest);
      const fill = COLOURS[verdict] ?? "#4c566a";
      return [
        `<circle cx="${x(ms).toFixed(1)}" cy="${y(map).toFixed(1)}" r="${radius.toFixed(1)}" fill="${fill}" fill-opacity="0.75"/>`,
        text([x(ms), y(map) - radius - 4], `${name} (${verdict})`, 'text-anchor="middle"'),
      ];
    }),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">\n<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>\n${parts.join("\n")}\n</svg>\n`;
}
