import { mkdtempSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeDatabases, temporaryDirectory } from "../../test/databases.js";
import { manualClock, openRegistry } from "../../test/open-registry.js";
import { type Action, ReferenceRegistry } from "../../test/reference-registry.js";
import { HubError } from "../errors.js";
import type { SqlDriver } from "../sql/driver.js";
import type { ModelRegistry } from "./model-registry.js";

const START = Date.UTC(2025, 10, 11, 15, 30, 45);
const version = fc.nat({ max: 5 });
const alias = fc.option(fc.constantFrom("best", "edge"));
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("register" as const),
      alias: fc.option(fc.constantFrom("best", "edge"), { freq: 1 }),
      parent: fc.option(version),
      complete: fc.constant(true),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("register" as const),
      alias: fc.constant(null),
      parent: fc.constant(null),
      complete: fc.constant(false),
    }),
  },
  { weight: 5, arbitrary: fc.record({ type: fc.constant("activate" as const), version }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constantFrom("delete" as const, "force-delete" as const, "rollback-to" as const, "fail" as const),
      version,
    }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constantFrom("rollback" as const, "deactivate" as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("patch" as const), version, alias, stale: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("wait" as const), ms: fc.integer({ min: -3000, max: 3000 }) }),
  },
);

/** Names that the registry never gave. */
const UNKNOWN = "v19990101_000000";

async function perform(registry: ModelRegistry, model: string, names: string[], action: Action): Promise<void> {
  const name = "version" in action ? (names[action.version] ?? UNKNOWN) : UNKNOWN;
  switch (action.type) {
    case "register": {
      const parent = action.parent === null ? null : (names[action.parent] ?? null);
      const { version } = await registry.register({
        model,
        aliases: action.alias === null ? [] : [action.alias],
        parents: { base: parent },
        // A blob that is nowhere leaves the version pending.
        files: action.complete ? [] : [{ path: "m", sha256: "ab".repeat(32), md5: "cd".repeat(16), bytes: 1 }],
      });
      names.push(version);
      return;
    }
    case "activate":
      await registry.activate(name, { model });
      return;
    case "deactivate":
      await registry.deactivate({ model });
      return;
    case "rollback":
      await registry.rollback({ model });
      return;
    case "rollback-to":
      await registry.rollback({ model, to: name });
      return;
    case "delete":
    case "force-delete":
      await registry.delete(name, { model, force: action.type === "force-delete" });
      return;
    case "fail":
      await registry.fail(name, { model, failure: "because" });
      return;
    case "patch": {
      const { row_version } = await registry.get(name, { model });
      await registry.update(
        name,
        { aliases: action.alias === null ? [] : [action.alias] },
        { model, ifMatch: row_version - (action.stale ? 1 : 0) },
      );
      return;
    }
    case "wait":
      return;
  }
}

describeDatabases("ModelRegistry against the reference machine", (database) => {
  const directory = temporaryDirectory();
  let sql: SqlDriver;
  beforeAll(async () => {
    sql = await database.open();
  });
  afterAll(() => sql.close());

  test("any history has the same outcomes, versions, pointer, history and files", { timeout: 120_000 }, async () => {
    const root = mkdtempSync(join(directory.path, "root-"));
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 40, size: "max" }), async (actions) => {
        const model = `m${run++}`;
        const clock = manualClock(START);
        const { registry, derivedErrors } = openRegistry({ sql, root, clock });
        const reference = new ReferenceRegistry(clock.now);
        const names: string[] = [];
        const outcomes: [Action, string][] = [];
        const expected: [Action, string][] = [];
        for (const action of actions) {
          if (action.type === "wait") clock.advance(action.ms);
          expected.push([action, reference.apply(action)]);
          const outcome = await perform(registry, model, names, action).then(
            () => "ok",
            (error) => {
              if (HubError.isInstance(error)) return error.code;
              throw error;
            },
          );
          outcomes.push([action, outcome]);
        }
        expect(outcomes).toEqual(expected);

        const { versions } = await registry.list({
          model,
          limit: 1000,
          states: ["pending", "ready", "failed", "deleted"],
        });
        expect(versions.map(({ version, state, aliases }) => ({ version, state, aliases })).reverse()).toEqual(
          reference.versions.map(({ name, state, alias }) => ({
            version: name,
            state,
            aliases: alias === null ? [] : [alias],
          })),
        );
        expect(new Set(versions.map(({ version }) => version)).size).toBe(versions.length);
        const active = versions.filter(({ is_active }) => is_active).map(({ version }) => version);
        expect(active).toEqual(reference.active === null ? [] : [reference.active]);
        expect((await registry.active({ model }))?.version ?? null).toBe(reference.active);
        const { history } = await registry.history({ model, limit: 1000 });
        expect(history.map(({ kind, version, previous }) => ({ kind, version, previous })).reverse()).toEqual(
          reference.history,
        );

        expect(derivedErrors).toEqual([]);
        const folder = join(root, "models", model);
        const ready = reference.versions.filter(({ state }) => state === "ready").map(({ name }) => name);
        expect((await readdir(join(folder, "versions")).catch(() => [])).sort()).toEqual(ready.sort());
        const pointer = await readFile(join(folder, "active_model.json"), "utf8").catch(() => null);
        expect(pointer === null ? null : JSON.parse(pointer).version).toBe(reference.active);
      }),
      { numRuns: 15 },
    );
  });
});
