import { mkdtempSync } from "node:fs";
import { utimes } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import { openRegistry } from "../../test/open-registry.js";
import { openDatabase } from "../sql/open-database.js";
import { blobKey } from "./blob-store.js";
import { collectGarbage } from "./collect-garbage.js";
import { folderBlobs } from "./object-blobs.js";

const directory = temporaryDirectory();
const DAY_MS = 24 * 3600_000;

async function openCollected() {
  const root = mkdtempSync(join(directory.path, "root-"));
  const sql = await openDatabase(join(root, "registry.sqlite"));
  const { registry } = openRegistry({ sql, root });
  const objects = join(root, "objects");
  const store = folderBlobs(root);
  const age = async (key: string, days: number) =>
    utimes(join(objects, key), new Date(), new Date(Date.now() - days * DAY_MS));
  return { sql, registry, store, age };
}

test("collectGarbage removes old blobs of deleted versions and keeps shared, young and layer blobs", async () => {
  const { sql, registry, store, age } = await openCollected();
  const register = (...contents: string[]) =>
    registry.register({ files: contents.map((text, i) => ({ path: `f${i}`, content: Buffer.from(text) })) });
  const kept = await register("shared");
  const gone = await register("shared", "lonely");
  const young = await register("young");
  await registry.delete(gone.version);
  await registry.delete(young.version);
  const layer = "ab".repeat(32);
  await store.put(blobKey(layer), one("layer"));
  await store.put("layers/layer-1/restormer/index.json", one(JSON.stringify({ files: [{ sha256: layer }] })));
  for (const { sha256 } of [...gone.files, { sha256: layer }]) await age(blobKey(sha256), 8);
  const lonely = blobKey(gone.files[1]!.sha256);

  const dry = await collectGarbage({ sql, store, dryRun: true });
  expect(dry).toEqual({ removed: [lonely], bytes: 6, kept: 3 });
  expect(await store.head(lonely)).not.toBeNull();
  expect(await collectGarbage({ sql, store })).toEqual(dry);
  expect(await store.head(lonely)).toBeNull();
  expect(await registry.activate(kept.version)).toMatchObject({ state: "ready" });
  expect((await collectGarbage({ sql, store })).removed).toEqual([]);
  await sql.close();
});

test("collectGarbage never removes a blob that a version needs, whatever was registered and deleted", async () => {
  const step = fc.record({
    files: fc.array(fc.nat({ max: 5 }), { maxLength: 3 }),
    deletes: fc.option(fc.nat({ max: 9 })),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
      const { sql, registry, store, age } = await openCollected();
      const versions: string[] = [];
      for (const { files, deletes } of steps) {
        const { version } = await registry.register({
          files: files.map((content, i) => ({ path: `f${i}`, content: Buffer.from(`blob ${content}`) })),
        });
        versions.push(version);
        if (deletes !== null && versions[deletes] !== undefined)
          await registry.delete(versions[deletes]).catch(() => undefined);
      }
      for await (const { key } of store.list("blobs/")) await age(key, 30);
      await collectGarbage({ sql, store });
      const { versions: left } = await registry.list({ limit: 1000 });
      const needed = new Set<string>();
      for (const { version } of left) {
        for (const { sha256 } of (await registry.activate(version)).files) needed.add(blobKey(sha256));
      }
      const found: string[] = [];
      for await (const { key } of store.list("blobs/")) found.push(key);
      expect(new Set(found)).toEqual(needed);
      await sql.close();
    }),
    { numRuns: 8 },
  );
});

async function* one(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content);
}
