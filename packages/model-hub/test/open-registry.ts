import type { HubClock } from "../src/internal/clock.js";
import { ModelRegistry } from "../src/registry/model-registry.js";
import { folderBlobs } from "../src/registry/object-blobs.js";
import type { SqlDriver } from "../src/sql/driver.js";
import { HubEvents } from "../src/webhooks/hub-events.js";

/** A clock that moves when told to; nobody waits. */
export function manualClock(startMs: number): HubClock & { advance(ms: number): void } {
  let now = startMs;
  return {
    now: () => now,
    advance: (ms) => {
      now += ms;
    },
    sleep: async (ms) => {
      now += ms;
    },
  };
}

/** A registry over `sql` with its folders in `root`; what goes wrong with derived files fails the test. */
export function openRegistry({ sql, root, clock }: { sql: SqlDriver; root: string; clock?: HubClock }) {
  const events = new HubEvents(clock === undefined ? {} : { now: clock.now });
  const store = folderBlobs(root);
  const derivedErrors: unknown[] = [];
  const registry = new ModelRegistry({
    sql,
    root,
    events,
    store,
    ...(clock === undefined ? {} : { clock }),
    onDerivedError: (error) => derivedErrors.push(error),
  });
  return { registry, events, store, derivedErrors };
}
