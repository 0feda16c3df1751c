import type { Comparison } from "../src/client/index.js";
import { metricView, RATES } from "./metrics.js";

/** What decides; times and sizes stand in the table of versions. */
const QUALITY: ReadonlySet<string> = new Set([...RATES.map(({ key }) => key), "loss"]);

const signed = (delta: number, text: string): string => (delta > 0 ? `+${text}` : delta < 0 ? `−${text}` : text);

/** Old, new and difference, metric by metric; better and worse are said in words, not by colour alone. */
export function ComparisonTable({
  comparison,
  names = [comparison.a, comparison.b],
}: {
  comparison: Comparison;
  names?: readonly string[];
}) {
  const rows = Object.entries(comparison.metrics).filter(
    ([key, { a, b }]) => QUALITY.has(key) && a !== null && b !== null,
  );
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section class="compare" aria-label="Comparison" tabIndex={0}>
      {!comparison.comparable && <p class="note warn">Not strictly comparable: {comparison.reasons.join("; ")}</p>}
      <table>
        <thead>
          <tr>
            <th scope="col">Metric</th>
            <th scope="col" class="number">
              {names[0]}
            </th>
            <th scope="col" class="number">
              {names[1]}
            </th>
            <th scope="col" class="number">
              Change
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([key, { a, b, delta, better }]) => {
            const { label, format } = metricView(key);
            return (
              <tr key={key}>
                <th scope="row">{label}</th>
                <td class="number">{format(a)}</td>
                <td class="number">{format(b)}</td>
                <td class={`number ${better === "b" ? "up" : better === "a" ? "down" : ""}`}>
                  {delta === null ? "–" : signed(delta, format(Math.abs(delta)))}
                  <span class="verdict"> {better === "b" ? "better" : better === "a" ? "worse" : "same"}</span>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
