import type { SafeHtml } from "./html.js";

/** `var(--name, fallback)` -> the fallback: a file has no style sheet, and not every renderer knows custom properties. */
const CUSTOM_PROPERTY = /var\(--[\w-]+,\s*([^()]+)\)/g;

/**
 * A chart as an SVG file of its own: fixed colours on white paper.
 * @param scale - pixels per chart unit @defaultValue 2
 */
export function svgFile(chart: SafeHtml, { scale = 2 }: { scale?: number } = {}): string {
  const text = chart.text.replace(CUSTOM_PROPERTY, "$1");
  const box = /^<svg [^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(text);
  if (!box) throw new RangeError("svgFile needs a chart; there was nothing to draw.");
  const [width, height] = [Number(box[1]), Number(box[2])];
  const sized = text.replace("<svg ", `<svg width="${width * scale}" height="${height * scale}" `);
  return sized.replace(/(<svg [^>]*>)/, `$1<rect width="${width}" height="${height}" fill="#fff"/>`);
}
