import { useEffect, useRef, useState } from "preact/hooks";
import type { VersionSummary } from "../src/client/index.js";
import { metricOf, RATES } from "./metrics.js";

const HEIGHT = 240;
const TOP = 18;
const LEFT = 44;
const BOTTOM = 34;
/** More bars than this side by side cannot be told apart. */
export const MAX_COMPARED = 4;

/** Narrower than this the labels below the bars would touch. */
const MIN_GROUP = 84;

/** The width of an element, followed as the window changes. */
function useWidth() {
  const ref = useRef<HTMLElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = ref.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  });
  return { ref, width };
}

/** Rates of up to four versions as grouped bars, and the same numbers as a table for those who do not see them. */
export function MetricChart({ versions }: { versions: readonly VersionSummary[] }) {
  const { ref, width: available } = useWidth();
  const metrics = RATES.filter(({ key }) => versions.some((version) => metricOf(version, key) !== null));
  if (versions.length === 0 || metrics.length === 0) {
    return <p class="muted empty">Select versions in the table to compare their metrics.</p>;
  }
  const values = metrics.flatMap(({ key }) => versions.map((version) => metricOf(version, key) ?? 1));
  // Bars that are all near 100 % differ in the last percent: begin the axis lower, and say so.
  const low = Math.max(0, Math.floor(10 * (Math.min(...values) - 0.05)) / 10);
  const from = low < 0.5 ? 0 : low;
  const group = Math.max(MIN_GROUP, Math.floor((available - LEFT - 8) / metrics.length));
  const width = LEFT + metrics.length * group + 8;
  const plot = HEIGHT - TOP - BOTTOM;
  const y = (value: number) => TOP + plot * (1 - (value - from) / (1 - from));
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((t) => from + t * (1 - from));
  const gap = 3;
  const bar = Math.min(30, (group - 22) / versions.length - gap);
  return (
    <figure class="chart">
      <figcaption>
        <ul class="legend" aria-label="Versions in the chart">
          {versions.map((version, i) => (
            <li key={version.version}>
              <span class={`swatch series-${i}`} aria-hidden="true" />
              {version.version}
              {version.is_active && <span class="badge active">active</span>}
            </li>
          ))}
        </ul>
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section ref={ref} class="chart-scroll" aria-label="Chart, scrolls sideways" tabIndex={0}>
        <svg
          viewBox={`0 0 ${width} ${HEIGHT}`}
          width={width}
          height={HEIGHT}
          role="img"
          aria-label={`Metrics of ${versions.map((v) => v.version).join(", ")} as bars; the table below has the numbers`}
        >
          {ticks.map((tick) => (
            <g key={tick}>
              <line class="grid" x1={LEFT} x2={width} y1={y(tick)} y2={y(tick)} />
              <text class="axis" x={LEFT - 8} y={y(tick) + 4} text-anchor="end">
                {`${Math.round(100 * tick)} %`}
              </text>
            </g>
          ))}
          {metrics.map(({ key, label, format }, m) => {
            const used = versions.length * (bar + gap) - gap;
            const start = LEFT + m * group + (group - used) / 2;
            return (
              <g key={key}>
                {versions.map((version, i) => {
                  const value = metricOf(version, key);
                  const x = start + i * (bar + gap);
                  if (value === null) {
                    return (
                      <text
                        key={version.version}
                        class="axis"
                        x={x + bar / 2}
                        y={HEIGHT - BOTTOM - 4}
                        text-anchor="middle"
                      >
                        –
                      </text>
                    );
                  }
                  const top = y(Math.max(value, from));
                  return (
                    <g key={version.version}>
                      <rect
                        class={`bar series-${i}`}
                        x={x}
                        y={top}
                        width={bar}
                        height={Math.max(1, HEIGHT - BOTTOM - top)}
                        rx={2}
                      >
                        <title>{`${version.version}: ${label} ${format(value)}`}</title>
                      </rect>
                      {versions.length <= 2 && (
                        <text class="value" x={x + bar / 2} y={top - 5} text-anchor="middle">
                          {`${(100 * value).toFixed(1)}`}
                        </text>
                      )}
                    </g>
                  );
                })}
                <text class="axis label" x={LEFT + m * group + group / 2} y={HEIGHT - 12} text-anchor="middle">
                  {label}
                </text>
              </g>
            );
          })}
        </svg>
      </section>
      {from > 0 && <p class="hint">The axis begins at {Math.round(100 * from)} %.</p>}
      <table class="visually-hidden">
        <caption>Metrics of the compared versions</caption>
        <thead>
          <tr>
            <th scope="col">Metric</th>
            {versions.map(({ version }) => (
              <th key={version} scope="col">
                {version}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {metrics.map(({ key, label, format }) => (
            <tr key={key}>
              <th scope="row">{label}</th>
              {versions.map((version) => (
                <td key={version.version}>{format(metricOf(version, key))}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  );
}
