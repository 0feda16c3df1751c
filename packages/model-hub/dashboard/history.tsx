import type { ActivationRecord } from "../src/client/index.js";
import { formatInstant } from "../src/dashboard/format.js";

const WORDS: Readonly<Record<ActivationRecord["kind"], string>> = {
  activate: "activated",
  rollback: "rolled back to",
  deactivate: "deactivated",
};

/** Who put what into production and when. */
export function History({ records }: { records: readonly ActivationRecord[] }) {
  if (records.length === 0) return null;
  return (
    <details class="card fold">
      <summary>
        <h2>History of activations</h2>
      </summary>
      <ol class="rows">
        {records.map(({ seq, kind, version, previous, actor, at, reason }) => (
          <li key={seq}>
            <span class="muted when">{formatInstant(at)}</span>
            <span class="grow">
              {actor ?? "somebody"} {WORDS[kind]} <span class="mono">{version ?? previous ?? ""}</span>
              {reason !== null && reason !== "" && <span class="muted">: {reason}</span>}
            </span>
          </li>
        ))}
      </ol>
    </details>
  );
}
