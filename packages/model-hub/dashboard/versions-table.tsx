import { useMemo, useState } from "preact/hooks";
import type { VersionSummary } from "../src/client/index.js";
import {
  formatBytes,
  formatCount,
  formatDecimal,
  formatDuration,
  formatInstant,
  formatPercent,
} from "../src/dashboard/format.js";
import { MAX_COMPARED } from "./metric-chart.js";
import { metricOf } from "./metrics.js";

interface Column {
  readonly key: string;
  readonly label: string;
  readonly isNumber?: boolean;
  value(version: VersionSummary): string | number | null;
  show(version: VersionSummary): string;
}

const COLUMNS: readonly Column[] = [
  { key: "created_at", label: "Created", value: (v) => v.created_at, show: (v) => formatInstant(v.created_at) },
  { key: "dataset", label: "Data set", value: (v) => v.dataset, show: (v) => v.dataset ?? "–" },
  ...(["accuracy", "precision", "recall"] as const).map((key) => ({
    key,
    label: key[0]!.toUpperCase() + key.slice(1),
    isNumber: true,
    value: (v: VersionSummary) => metricOf(v, key),
    show: (v: VersionSummary) => formatPercent(metricOf(v, key)),
  })),
  {
    key: "f1_score",
    label: "F1",
    isNumber: true,
    value: (v) => metricOf(v, "f1_score"),
    show: (v) => formatDecimal(metricOf(v, "f1_score")),
  },
  {
    key: "map50_95",
    label: "mAP 50–95",
    isNumber: true,
    value: (v) => metricOf(v, "map50_95"),
    show: (v) => formatPercent(metricOf(v, "map50_95")),
  },
  {
    key: "loss",
    label: "Loss",
    isNumber: true,
    value: (v) => metricOf(v, "loss"),
    show: (v) => formatDecimal(metricOf(v, "loss")),
  },
  {
    key: "samples",
    label: "Samples",
    isNumber: true,
    value: (v) => v.training_samples,
    show: (v) => formatCount(v.training_samples),
  },
  {
    key: "time",
    label: "Time",
    isNumber: true,
    value: (v) => v.training_time,
    show: (v) => formatDuration(v.training_time),
  },
  { key: "size", label: "Size", isNumber: true, value: (v) => v.size_bytes, show: (v) => formatBytes(v.size_bytes) },
];

const VERSION: Column = { key: "version", label: "Version", value: (v) => v.version, show: (v) => v.version };

/** Unknown values come last in either direction. */
function compare(a: string | number | null, b: string | number | null, direction: 1 | -1): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  return a === b ? 0 : direction * (a < b ? -1 : 1);
}

/** Every word must occur somewhere in the row. */
function matches(version: VersionSummary, filter: string): boolean {
  const text = [
    version.version,
    version.dataset,
    version.description,
    version.state,
    ...version.tags,
    ...version.aliases,
  ]
    .concat(version.is_active ? ["active"] : [])
    .join(" ")
    .toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

export function VersionsTable({
  versions,
  total,
  isAdmin,
  selected,
  onSelect,
  onActivate,
  onDelete,
  onMore,
}: {
  versions: readonly VersionSummary[];
  total: number;
  isAdmin: boolean;
  selected: readonly string[];
  onSelect(version: string, isOn: boolean): void;
  onActivate(version: VersionSummary): void;
  onDelete(version: VersionSummary): void;
  /** Null when all are loaded. */
  onMore: (() => void) | null;
}) {
  const [sort, setSort] = useState<{ key: string; direction: 1 | -1 }>({ key: "version", direction: -1 });
  const [filter, setFilter] = useState("");
  const columns = COLUMNS.filter((column) => versions.some((version) => column.value(version) !== null));
  const rows = useMemo(() => {
    const column = [VERSION, ...COLUMNS].find(({ key }) => key === sort.key) ?? VERSION;
    return versions
      .filter((version) => matches(version, filter))
      .sort((a, b) => compare(column.value(a), column.value(b), sort.direction) || b.seq - a.seq);
  }, [versions, filter, sort]);
  const toggle = (key: string) =>
    setSort((now) => ({
      key,
      direction: now.key === key ? (now.direction === 1 ? -1 : 1) : key === "dataset" ? 1 : -1,
    }));
  const header = ({ key, label, isNumber }: Column) => (
    <th
      key={key}
      scope="col"
      class={isNumber ? "number" : undefined}
      aria-sort={sort.key === key ? (sort.direction === 1 ? "ascending" : "descending") : "none"}
    >
      <button type="button" class="sort" onClick={() => toggle(key)}>
        {label}
        <span class="arrow" aria-hidden="true">
          {sort.key === key ? (sort.direction === 1 ? "▲" : "▼") : "↕"}
        </span>
      </button>
    </th>
  );
  return (
    <section class="card" aria-labelledby="versions-title">
      <div class="card-head">
        <h2 id="versions-title">Versions</h2>
        <div class="tools">
          <label class="visually-hidden" for="filter">
            Filter versions
          </label>
          <input
            id="filter"
            type="search"
            placeholder="Filter by name, data set, tag…"
            value={filter}
            onInput={(event) => setFilter(event.currentTarget.value)}
          />
          <label class="only-phone">
            <span class="visually-hidden">Sort by</span>
            <select value={sort.key} onChange={(event) => toggle(event.currentTarget.value)}>
              {[VERSION, ...columns].map(({ key, label }) => (
                <option key={key} value={key}>
                  Sort by {label.toLowerCase()}
                </option>
              ))}
            </select>
          </label>
        </div>
      </div>
      <p class="hint" role="status">
        {rows.length === total ? "" : `${rows.length} of `}
        {total === 1 ? "1 version" : `${total} versions`}
        {selected.length > 0 && ` · ${selected.length} in the chart`}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section class="table-scroll" aria-label="Versions table, scrolls sideways" tabIndex={0}>
        <table class="versions">
          <thead>
            <tr>
              <th scope="col">
                <span class="visually-hidden">In the chart</span>
              </th>
              {header(VERSION)}
              {columns.map(header)}
              {isAdmin && (
                <th scope="col">
                  <span class="visually-hidden">Actions</span>
                </th>
              )}
            </tr>
          </thead>
          <tbody>
            {rows.map((version) => {
              const isOn = selected.includes(version.version);
              return (
                <tr key={version.version} class={version.is_active ? "is-active" : undefined}>
                  <td class="check">
                    <input
                      type="checkbox"
                      checked={isOn}
                      disabled={!isOn && selected.length >= MAX_COMPARED}
                      aria-label={`Show ${version.version} in the chart`}
                      onChange={(event) => onSelect(version.version, event.currentTarget.checked)}
                    />
                  </td>
                  <th scope="row">
                    <span class="mono">{version.version}</span>
                    {version.is_active && <span class="badge active">active</span>}
                    {version.state !== "ready" && <span class="badge">{version.state}</span>}
                    {[...version.aliases, ...version.tags].map((name) => (
                      <span key={name} class="badge">
                        {name}
                      </span>
                    ))}
                    {version.description !== "" && <span class="description">{version.description}</span>}
                  </th>
                  {columns.map((column) => (
                    <td key={column.key} class={column.isNumber ? "number" : undefined} data-label={column.label}>
                      {column.show(version)}
                    </td>
                  ))}
                  {isAdmin && (
                    <td class="row-actions">
                      <button
                        type="button"
                        disabled={version.is_active || version.state !== "ready"}
                        aria-label={`Activate ${version.version}`}
                        onClick={() => onActivate(version)}
                      >
                        Activate
                      </button>
                      <button
                        type="button"
                        class="quiet-danger"
                        disabled={version.is_active}
                        title={version.is_active ? "The active version cannot be deleted" : undefined}
                        aria-label={`Delete ${version.version}`}
                        onClick={() => onDelete(version)}
                      >
                        Delete
                      </button>
                    </td>
                  )}
                </tr>
              );
            })}
          </tbody>
        </table>
      </section>
      {rows.length === 0 && (
        <p class="muted empty">
          {versions.length === 0 ? "No version yet. Train the first one below." : "No version matches."}
        </p>
      )}
      {onMore !== null && (
        <button type="button" class="more" onClick={onMore}>
          Show more
        </button>
      )}
    </section>
  );
}
