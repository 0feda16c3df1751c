import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import { HubError } from "../errors.js";
import { openDatabase } from "../sql/open-database.js";
import { HubEvents } from "../webhooks/hub-events.js";
import { collectGarbage } from "./collect-garbage.js";
import { ModelRegistry } from "./model-registry.js";
import { type ObjectsLike, objectBlobs } from "./object-blobs.js";

const directory = temporaryDirectory();

/** Objects in memory, with the conflicts of a real store. */
function memoryObjects(): ObjectsLike & { readonly content: Map<string, Buffer> } {
  const content = new Map<string, Buffer>();
  return {
    content,
    async put(key, stream, { sha256, ifAbsent } = {}) {
      const parts: Uint8Array[] = [];
      for await (const part of stream) parts.push(part);
      const bytes = Buffer.concat(parts);
      if (sha256 !== undefined) expect(createHash("sha256").update(bytes).digest("hex")).toBe(sha256);
      if (ifAbsent === true && content.has(key)) throw new HubError({ code: "CONFLICT", message: key });
      content.set(key, bytes);
    },
    get: async (key) => ({
      body: (async function* () {
        yield content.get(key)!;
      })(),
    }),
    head: async (key) => (content.has(key) ? { bytes: content.get(key)!.length } : null),
    async *list(prefix) {
      for (const [key, { length }] of content) {
        if (key.startsWith(prefix)) yield { key, bytes: length, modifiedAt: "2020-01-01T00:00:00.000Z" };
      }
    },
    delete: async (key) => void content.delete(key),
  };
}

test("objectBlobs lets a registry keep its blobs in any object store, the same content once", async () => {
  const root = mkdtempSync(join(directory.path, "root-"));
  const sql = await openDatabase(join(root, "registry.sqlite"));
  const objects = memoryObjects();
  const store = objectBlobs(objects);
  const registry = new ModelRegistry({ sql, store, root, events: new HubEvents() });
  const files = [{ path: "m", content: Buffer.from("weights") }];
  const versions = await Promise.all([1, 2, 3].map(() => registry.register({ files })));
  expect([...objects.content.keys()].filter((key) => key.startsWith("blobs/")).length).toBe(1);
  expect((await registry.activate(versions[0]!.version)).state).toBe("ready");
  for (const { version } of versions.slice(1)) await registry.delete(version);
  expect((await collectGarbage({ sql, store })).removed).toEqual([]);
  await registry.deactivate();
  await registry.delete(versions[0]!.version);
  expect((await collectGarbage({ sql, store })).removed.length).toBe(1);
  await sql.close();
});

test("objectBlobs passes other refusals on", async () => {
  const store = objectBlobs({
    ...memoryObjects(),
    put: async () => {
      throw new HubError({ code: "INTEGRITY", message: "damaged" });
    },
  });
  const one = (async function* () {
    yield Buffer.from("x");
  })();
  await expect(store.put("k", one, { ifAbsent: true })).rejects.toMatchObject({ code: "INTEGRITY" });
});
