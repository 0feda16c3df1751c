/** One line of the chart. */
export interface Series {
  readonly name: string;
  readonly colour: string;
  readonly values: readonly number[];
}

const WIDTH = 720;
const HEIGHT = 420;
const MARGIN = { left: 56, right: 16, top: 16, bottom: 44 };

/** Lines over core-minutes with a vertical axis from 0 to 1, as SVG. */
export function curveChart(minutes: readonly number[], series: readonly Series[]): string {
  const right = Math.max(...minutes, 1);
  const x = (v: number) => MARGIN.left + (v / right) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (v: number) => HEIGHT - MARGIN.bottom - v * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const text = (tx: number, ty: number, content: string, anchor = "middle", colour = "#333") =>
    `<text x="${tx}" y="${ty}" font-family="sans-serif" font-size="13" fill="${colour}" text-anchor="${anchor}">${content}</text>`;
  const parts: string[] = [`<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`];
  for (let i = 0; i <= 5; i++) {
    parts.push(
      `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y(i / 5)}" y2="${y(i / 5)}" stroke="#ddd"/>`,
    );
    parts.push(text(MARGIN.left - 8, y(i / 5) + 4, (i / 5).toFixed(1), "end"));
    parts.push(text(x((right * i) / 5), HEIGHT - MARGIN.bottom + 18, ((right * i) / 5).toFixed(0)));
  }
  parts.push(text(WIDTH / 2, HEIGHT - 8, "core-minutes"));
  for (const [i, { name, colour, values }] of series.entries()) {
    const points = values.map((value, k) => `${x(minutes[k]!).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    parts.push(`<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    parts.push(text(MARGIN.left + 10, MARGIN.top + 16 + 18 * i, name, "start", colour));
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}">${parts.join("")}</svg>`;
}
