import type { ActiveVersion } from "../src/client/index.js";
import { formatBytes, formatInstant } from "../src/dashboard/format.js";
import { METRICS, metricOf } from "./metrics.js";

export function ActiveCard({
  active,
  isAdmin,
  onRollback,
  onDeactivate,
}: {
  active: ActiveVersion | null;
  isAdmin: boolean;
  onRollback(): void;
  onDeactivate(): void;
}) {
  if (active === null) {
    return (
      <section class="card active-card none" aria-labelledby="active-title">
        <h2 id="active-title">No active version</h2>
        <p class="muted">Nothing is in production. Choose a version below and activate it.</p>
      </section>
    );
  }
  const tiles = METRICS.filter(({ key }) => key !== "size_bytes" && metricOf(active, key) !== null);
  return (
    <section class="card active-card" aria-labelledby="active-title">
      <div class="card-head">
        <div>
          <p class="eyebrow">
            <span class="dot" aria-hidden="true" /> In production
          </p>
          <h2 id="active-title" class="version-title">
            {active.version}
          </h2>
          <p class="muted">
            Active since {formatInstant(active.activated_at)}
            {active.activated_by === null ? "" : `, chosen by ${active.activated_by}`}
            {active.dataset === null ? "" : ` · trained on ${active.dataset}`} · {formatBytes(active.size_bytes)}
          </p>
          {active.description !== "" && <p>{active.description}</p>}
        </div>
        {isAdmin && (
          <div class="actions">
            <button type="button" onClick={onRollback}>
              Roll back
            </button>
            <button type="button" onClick={onDeactivate}>
              Deactivate
            </button>
          </div>
        )}
      </div>
      <dl class="tiles">
        {tiles.map(({ key, label, format }) => (
          <div key={key} class="tile">
            <dt>{label}</dt>
            <dd>{format(metricOf(active, key))}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
