import { openDatabase } from "../src/sql/open-database.js";
import { openRegistry } from "./open-registry.js";
import type { StressResult } from "./registry-child.js";
import { runRegistryChild } from "./run-child.js";

/** What the processes did together. */
export interface StressSummary {
  readonly reads: number;
  readonly registered: number;
  readonly deleted: number;
  readonly activations: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
}

/**
 * `processes` x `clients` activate, register, delete, roll back and read one registry for `seconds`; then its content is compared with what
 * they say they did: nothing lost, nothing half, the history whole.
 */
export async function stressRegistry({
  address,
  root,
  processes,
  clients,
  seconds,
}: {
  address: string;
  root: string;
  processes: number;
  clients: number;
  seconds: number;
}): Promise<StressSummary> {
  const sql = await openDatabase(address);
  try {
    const { registry } = openRegistry({ sql, root });
    const first = await registry.register({});
    await registry.activate(first.version);
    const results = await Promise.all(
      Array.from({ length: processes }, (_, seed) =>
        runRegistryChild<StressResult>({ mode: "stress", address, root, seed: seed * 7919, clients, seconds }),
      ),
    );
    const violations = results.flatMap((result) => result.violations);
    const registered = [first.version, ...results.flatMap((result) => result.registered)];
    const deleted = results.flatMap((result) => result.deleted);
    const difference = (what: string, expected: readonly string[], found: readonly string[]) => {
      const wanted = [...expected].sort().join();
      if (wanted !== [...found].sort().join())
        violations.push(`${what}: ${expected.length} expected, ${found.length} found`);
    };
    const names = async (states: ("ready" | "deleted" | "pending" | "failed")[]) => {
      const all: string[] = [];
      for (let cursor: string | null = null; ; ) {
        const page = await registry.list({ limit: 1000, cursor, states });
        all.push(...page.versions.map(({ version }) => version));
        cursor = page.next_cursor;
        if (cursor === null) return all;
      }
    };
    if (new Set(registered).size !== registered.length) violations.push("two registrations have one name");
    difference("versions", registered, await names(["ready", "deleted", "pending", "failed"]));
    difference("deleted versions", deleted, await names(["deleted"]));
    difference("half versions", [], await names(["pending", "failed"]));
    let newer: { previous: string | null; version: string | null } | null = null;
    let rows = 0;
    for (let cursor: string | null = null; ; ) {
      const page = await registry.history({ limit: 1000, cursor });
      for (const row of page.history) {
        if (newer !== null && newer.previous !== row.version) violations.push("the history has a gap");
        if (row.version === row.previous) violations.push("the history has a row that changes nothing");
        newer = row;
        rows++;
      }
      cursor = page.next_cursor;
      if (cursor === null) break;
    }
    const [newest] = (await registry.history({ limit: 1 })).history;
    if ((await registry.active())?.version !== newest?.version)
      violations.push("the pointer is not the history's last entry");
    const repaired = await registry.repair();
    if (repaired.damaged.length > 0) violations.push(`damaged: ${JSON.stringify(repaired.damaged[0])}`);
    if (repaired.written.length + repaired.removed.length > 0) {
      violations.push(`folders were wrong: ${repaired.written.length} missing, ${repaired.removed.length} stray`);
    }
    const refused: Record<string, number> = {};
    for (const result of results) {
      for (const [code, count] of Object.entries(result.refused)) refused[code] = (refused[code] ?? 0) + count;
    }
    return {
      reads: results.reduce((sum, { reads }) => sum + reads, 0),
      registered: registered.length,
      deleted: deleted.length,
      activations: rows,
      refused,
      violations: [...new Set(violations)],
    };
  } finally {
    await sql.close();
  }
}
