import { mkdtempSync } from "node:fs";
import { readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeDatabases, temporaryDirectory } from "../../test/databases.js";
import { manualClock, openRegistry } from "../../test/open-registry.js";
import type { SqlDriver } from "../sql/driver.js";
import { blobKey } from "./blob-store.js";
import { canonicalSha256 } from "./canonical-json.js";
import type { HubEvent } from "./types.js";

const START = Date.UTC(2025, 10, 11, 15, 30, 45);

describeDatabases("ModelRegistry", (database) => {
  const directory = temporaryDirectory();
  let sql: SqlDriver;
  let root: string;
  let clock: ReturnType<typeof manualClock>;
  let hub: ReturnType<typeof openRegistry>;
  let told: HubEvent[];
  beforeEach(async () => {
    sql = await database.open();
    root = mkdtempSync(join(directory.path, "root-"));
    clock = manualClock(START);
    hub = openRegistry({ sql, root, clock });
    told = [];
    hub.events.subscribe((event) => told.push(event));
  });
  afterEach(async () => {
    await sql.close();
    expect(hub.derivedErrors).toEqual([]);
  });
  const weights = (text: string) => [{ path: "model.onnx", content: Buffer.from(text) }];
  const register = async (n = 1) => {
    const names: string[] = [];
    for (let i = 0; i < n; i++)
      names.push((await hub.registry.register({ files: weights(`w${names.length}`) })).version);
    return names;
  };

  describe("register", () => {
    test("names versions by the second and never twice", async () => {
      expect(await register(3)).toEqual(["v20251111_153045", "v20251111_153046", "v20251111_153047"]);
      await hub.registry.delete("v20251111_153047");
      expect((await register())[0]).toBe("v20251111_153048");
      clock.advance(3600_000);
      expect((await register())[0]).toBe("v20251111_163045");
    });

    test("stores the manifest with the hash of its canonical JSON, and the blobs under theirs", async () => {
      const version = await hub.registry.register({
        files: weights("hello\n"),
        metrics: { precision: 1, recall: 0.5, training_samples: 12, training_time: 3.5 },
        dataset: { id: "bags", fingerprint: "f", split_hash: "s" },
        parents: { teacher: "sam_vit_b" },
        params: { epochs: 3, nested: { a: [1, null, "x"] } },
        created_by: "ana",
      });
      expect(version).toMatchObject({
        version: "v20251111_153045",
        seq: 1,
        state: "ready",
        is_active: false,
        training_samples: 12,
        training_time: 3.5,
        dataset: "bags",
        size_bytes: 6,
        row_version: 1,
      });
      expect(version.files).toEqual([
        {
          path: "model.onnx",
          sha256: "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
          md5: "b1946ac92492d2347c6235b4d2611184",
          bytes: 6,
        },
      ]);
      expect(version.manifest_sha256).toBe(canonicalSha256(version.manifest));
      expect(await hub.store.head(blobKey(version.files[0]!.sha256))).toEqual({ bytes: 6 });
      expect(await hub.registry.get(version.version)).toEqual(version);
      const folder = join(root, "versions", version.version);
      expect((await readdir(folder)).sort()).toEqual(["README.md", "metadata.json", "model.onnx"]);
      expect(JSON.parse(await readFile(join(folder, "metadata.json"), "utf8"))).toEqual(version.manifest);
      expect(told).toMatchObject([{ type: "version.registered", data: { version: version.version } }]);
    });

    test("refuses bad input and changes nothing", async () => {
      for (const input of [
        { metrics: { loss: Number.NaN } },
        { model: "../x" },
        { files: [{ path: "../escape", content: new Uint8Array(1) }] },
        {
          files: [
            { path: "a", content: new Uint8Array(1) },
            { path: "a", content: new Uint8Array(2) },
          ],
        },
        { aliases: ["v20251111_153045"] },
        { aliases: ["latest"] },
        { surprise: 1 },
      ]) {
        await expect(hub.registry.register(input as never)).rejects.toMatchObject({
          code: "metrics" in input ? "INVALID_METRIC" : "INVALID_REQUEST",
        });
      }
      expect((await hub.registry.list()).total).toBe(0);
      expect(await readdir(root)).toEqual([]);
    });

    test("an idempotency key answers with the same version for a day, and refuses another body", async () => {
      const input = { files: weights("a"), description: "one" };
      const first = await hub.registry.register(input, { idempotencyKey: "k" });
      clock.advance(1000);
      expect((await hub.registry.register(input, { idempotencyKey: "k" })).version).toBe(first.version);
      await expect(
        hub.registry.register({ ...input, description: "two" }, { idempotencyKey: "k" }),
      ).rejects.toMatchObject({ code: "IDEMPOTENCY_MISMATCH" });
      clock.advance(24 * 3600_000);
      expect((await hub.registry.register(input, { idempotencyKey: "k" })).version).not.toBe(first.version);
      expect((await hub.registry.list()).total).toBe(2);
    });

    test("a run registers once", async () => {
      const input = { run_id: "r1", files: weights("a") };
      const first = await hub.registry.register(input);
      expect((await hub.registry.register(input)).version).toBe(first.version);
      expect((await hub.registry.findByRun("r1"))?.version).toBe(first.version);
      await expect(hub.registry.register({ ...input, files: weights("b") })).rejects.toMatchObject({
        code: "CONFLICT",
      });
      expect((await hub.registry.register({ ...input, model: "other" })).model).toBe("other");
    });

    test("concurrent calls of one key or one run make one version", async () => {
      const input = { files: weights("a"), run_id: "r" };
      const byKey = await Promise.all(
        Array.from({ length: 8 }, () => hub.registry.register({ files: weights("k") }, { idempotencyKey: "k" })),
      );
      const byRun = await Promise.all(Array.from({ length: 8 }, () => hub.registry.register(input)));
      expect(new Set(byKey.map(({ version }) => version)).size).toBe(1);
      expect(new Set(byRun.map(({ version }) => version)).size).toBe(1);
      expect((await hub.registry.list()).total).toBe(2);
    });

    test("declared files wait as pending until their blobs are there", async () => {
      const bytes = Buffer.from("hello\n");
      const file = {
        path: "model.onnx",
        sha256: "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        md5: "b1946ac92492d2347c6235b4d2611184",
        bytes: 6,
      };
      const pending = await hub.registry.register({ files: [file] });
      expect(pending.state).toBe("pending");
      expect(told).toEqual([]);
      await expect(hub.registry.activate(pending.version)).rejects.toMatchObject({ code: "INTEGRITY" });
      await expect(hub.registry.complete(pending.version)).rejects.toMatchObject({ code: "INVALID_STATE" });
      await hub.store.put(blobKey(file.sha256), stream(bytes));
      expect((await hub.registry.complete(pending.version)).state).toBe("ready");
      expect(told).toMatchObject([{ type: "version.registered" }]);
      await expect(hub.registry.complete(pending.version)).rejects.toMatchObject({ code: "INVALID_STATE" });
      expect((await hub.registry.register({ files: [{ ...file, path: "b" }] })).state).toBe("ready");
    });

    test("wrong bytes do not complete a version, and a failed one cannot be activated", async () => {
      const sha256 = "ab".repeat(32);
      const { version } = await hub.registry.register({
        files: [{ path: "m", sha256, md5: "cd".repeat(16), bytes: 5 }],
      });
      await hub.store.put(blobKey(sha256), stream(Buffer.from("wrong")));
      await expect(hub.registry.complete(version)).rejects.toMatchObject({ code: "INTEGRITY" });
      expect(await hub.registry.fail(version, { failure: "bytes" })).toMatchObject({
        state: "failed",
        failure: "bytes",
      });
      await expect(hub.registry.activate(version)).rejects.toMatchObject({ code: "INVALID_STATE" });
    });
  });

  describe("activate, rollback, deactivate", () => {
    test("A, B, C: rollback leads to B, then A, then nowhere", async () => {
      const [a, b, c] = await register(3);
      for (const version of [a!, b!, c!]) await hub.registry.activate(version, { actor: "ana", reason: "better" });
      expect(await hub.registry.rollback()).toMatchObject({ version: b, is_active: true, changed: true });
      expect((await hub.registry.rollback()).version).toBe(a);
      await expect(hub.registry.rollback()).rejects.toMatchObject({ code: "NO_PREVIOUS_VERSION" });
      expect((await hub.registry.active())?.version).toBe(a);
      const { history } = await hub.registry.history();
      expect(history.map(({ kind, version, previous }) => [kind, version, previous])).toEqual([
        ["rollback", a, b],
        ["rollback", b, c],
        ["activate", c, b],
        ["activate", b, a],
        ["activate", a, null],
      ]);
      expect(history.at(-1)).toMatchObject({ actor: "ana", reason: "better", at: "2025-11-11T15:30:45.000Z" });
    });

    test("activating the active version writes nothing", async () => {
      const [a] = await register();
      expect((await hub.registry.activate(a!)).changed).toBe(true);
      expect((await hub.registry.activate(a!)).changed).toBe(false);
      expect((await hub.registry.history()).total).toBe(1);
    });

    test("rollback passes deactivations, deleted versions and what is active already", async () => {
      const [a, b, c] = await register(3);
      await hub.registry.activate(a!);
      await hub.registry.activate(b!);
      await hub.registry.activate(c!);
      await hub.registry.deactivate();
      expect(await hub.registry.active()).toBeNull();
      await expect(hub.registry.deactivate()).rejects.toMatchObject({ code: "NO_ACTIVE_VERSION" });
      await hub.registry.delete(c!);
      expect((await hub.registry.rollback()).version).toBe(b);
      await hub.registry.deactivate();
      await hub.registry.activate(b!);
      expect((await hub.registry.rollback()).version).toBe(a);
    });

    test("rollback to a named version pops to it, and activates one that was never active", async () => {
      const [a, b, c, d] = await register(4);
      for (const version of [a!, b!, c!]) await hub.registry.activate(version);
      expect((await hub.registry.rollback({ to: a! })).version).toBe(a);
      await expect(hub.registry.rollback()).rejects.toMatchObject({ code: "NO_PREVIOUS_VERSION" });
      await hub.registry.rollback({ to: d! });
      expect((await hub.registry.history({ limit: 1 })).history[0]).toMatchObject({ kind: "activate", version: d });
      expect((await hub.registry.rollback()).version).toBe(a);
    });

    test("needs the blobs", async () => {
      const [a] = await register();
      const { files } = await hub.registry.get(a!);
      await hub.store.delete(blobKey(files[0]!.sha256));
      await expect(hub.registry.activate(a!)).rejects.toMatchObject({ code: "INTEGRITY" });
      expect(await hub.registry.active()).toBeNull();
    });

    test("keeps active_model.json and the link", async () => {
      const [a, b] = await register(2);
      await hub.registry.activate(a!, { actor: "ana" });
      await hub.registry.activate(b!);
      const pointer = JSON.parse(await readFile(join(root, "active_model.json"), "utf8"));
      expect(pointer).toMatchObject({ model: "default", version: b, path: `versions/${b}`, activated_by: null });
      expect(await readlink(join(root, "active"))).toBe(`versions/${b}`);
      await hub.registry.deactivate();
      expect((await readdir(root)).sort()).toEqual(["objects", "versions"]);
    });

    test("models have pointers of their own", async () => {
      const [a] = await register();
      const other = await hub.registry.register({ model: "x", files: weights("x") });
      await hub.registry.activate(a!);
      await hub.registry.activate(other.version, { model: "x" });
      expect(await hub.registry.models()).toEqual([
        { model: "default", versions: 1, active: a },
        { model: "x", versions: 1, active: other.version },
      ]);
      expect(await readlink(join(root, "models", "x", "active"))).toBe(`versions/${other.version}`);
    });
  });

  describe("update", () => {
    test("changes description, tags and aliases for who has read the present row", async () => {
      const [a, b] = await register(2);
      const changed = await hub.registry.update(
        a!,
        { description: "d", tags: ["x"], aliases: ["best"] },
        { ifMatch: 1 },
      );
      expect(changed).toMatchObject({ description: "d", tags: ["x"], aliases: ["best"], row_version: 2 });
      await expect(hub.registry.update(a!, { tags: [] }, { ifMatch: 1 })).rejects.toMatchObject({ code: "STALE" });
      await expect(hub.registry.update(b!, { aliases: ["best"] }, { ifMatch: 1 })).rejects.toMatchObject({
        code: "CONFLICT",
      });
      await expect(hub.registry.update(b!, { metrics: {} } as never, { ifMatch: 1 })).rejects.toMatchObject({
        code: "INVALID_REQUEST",
      });
      expect((await hub.registry.get("best")).version).toBe(a);
      expect((await hub.registry.activate("best")).version).toBe(a);
      expect((await hub.registry.list({ tag: "x" })).versions.map(({ version }) => version)).toEqual([a]);
    });
  });

  describe("delete", () => {
    test("never the active one, force or not", async () => {
      const [a] = await register();
      await hub.registry.activate(a!);
      for (const force of [false, true]) {
        await expect(hub.registry.delete(a!, { force })).rejects.toMatchObject({ code: "VERSION_ACTIVE" });
      }
    });

    test("needs force for aliased versions and parents, and happens once", async () => {
      const [a] = await register();
      await hub.registry.update(a!, { aliases: ["best"] }, { ifMatch: 1 });
      await hub.registry.register({ model: "child", parents: { base: `default@${a}` } });
      await expect(hub.registry.delete(a!)).rejects.toMatchObject({ code: "CONFLICT", details: { aliases: ["best"] } });
      await hub.registry.update(a!, { aliases: [] }, { ifMatch: 2 });
      await expect(hub.registry.delete(a!)).rejects.toMatchObject({ code: "CONFLICT" });
      await hub.registry.delete(a!, { force: true });
      await expect(hub.registry.delete(a!, { force: true })).rejects.toMatchObject({ code: "NOT_FOUND" });
      await expect(hub.registry.get(a!)).rejects.toMatchObject({ code: "NOT_FOUND" });
      expect((await hub.registry.list({ states: ["deleted"] })).versions).toMatchObject([
        { version: a, state: "deleted" },
      ]);
      expect(await readdir(join(root, "versions"))).toEqual([]);
      expect(told.map(({ type }) => type)).toEqual(["version.registered", "version.registered", "version.deleted"]);
    });
  });

  test("list pages newest first and a cursor goes on where the page ended", async () => {
    const names = await register(7);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await hub.registry.list({ limit: 3, cursor });
      expect(page.total).toBe(7);
      seen.push(...page.versions.map(({ version }) => version));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(seen).toEqual(names.reverse());
    await expect(hub.registry.list({ cursor: "%%" })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    await expect(hub.registry.list({ limit: 1001 })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  });

  test("a manifest that was changed by hand is found on read", async () => {
    const [a] = await register(2);
    await sql.write((tx) =>
      tx.run("UPDATE version SET manifest = replace(manifest, '\"seq\":1', '\"seq\":9') WHERE version = ?", [a!]),
    );
    await expect(hub.registry.get(a!)).rejects.toMatchObject({ code: "INTEGRITY" });
    await expect(hub.registry.activate(a!)).rejects.toMatchObject({ code: "INTEGRITY" });
    const { versions } = await hub.registry.list();
    expect(versions.map(({ version, state }) => [version === a, state])).toEqual([
      [false, "ready"],
      [true, "failed"],
    ]);
    expect((await hub.registry.repair()).damaged).toMatchObject([{ version: a }]);
  });

  test("repair writes the derived files again and completes what waits", async () => {
    const [a, b] = await register(2);
    await hub.registry.activate(a!);
    await rm(join(root, "versions", a!), { recursive: true });
    await writeFile(join(root, "versions", b!, "model.onnx"), "shorter or longer");
    await rm(join(root, "active_model.json"));
    await rm(join(root, "active"));
    await writeFile(join(root, "versions", "v19990101_000000"), "stray");
    const file = {
      path: "m",
      sha256: "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
      md5: "b1946ac92492d2347c6235b4d2611184",
      bytes: 6,
    };
    const pending = await hub.registry.register({ files: [file] });
    await hub.store.put(blobKey(file.sha256), stream(Buffer.from("hello\n")));
    const report = await hub.registry.repair();
    expect(report).toEqual({
      written: [a, b],
      removed: ["v19990101_000000"],
      completed: [pending.version],
      damaged: [],
    });
    expect(await readFile(join(root, "versions", b!, "model.onnx"), "utf8")).toBe("w1");
    expect(await readlink(join(root, "active"))).toBe(`versions/${a}`);
    expect(await hub.registry.repair()).toEqual({ written: [], removed: [], completed: [], damaged: [] });
  });

  test("the policy's decision is kept with the activation", async () => {
    const a = await hub.registry.register({ metrics: { map50_95: 0.4 } });
    const b = await hub.registry.register({ metrics: { map50_95: 0.5 } });
    await hub.registry.activate(a.version);
    const decision = await hub.registry.suggest(b.version, { minDelta: 0.01 });
    expect(decision).toMatchObject({ suggest_activation: true, primary: "map50_95", against: a.version });
    await hub.registry.activate(b.version, { policyDecision: decision });
    expect((await hub.registry.history({ limit: 1 })).history[0]!.policy_decision).toEqual(decision);
    expect(await hub.registry.compare(a.version, b.version)).toMatchObject({ overall: "b", comparable: true });
  });
});

async function* stream(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
