import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { open as openFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import { listFiles } from "../cache/cache-folder.js";
import { HubError } from "../errors.js";
import { ModelRegistry } from "../registry/model-registry.js";
import { objectBlobs } from "../registry/object-blobs.js";
import { problemOf } from "../server/problem.js";
import { openDatabase } from "../sql/open-database.js";
import { FileObjectStore } from "../stores/file-object-store.js";
import { HubEvents } from "../webhooks/hub-events.js";
import { certainStorageError, storageError } from "./storage-error.js";

const directory = temporaryDirectory();
const makeRoot = () => mkdtempSync(join(directory.path, "root-"));
const failure = (code: string, path?: string) => Object.assign(new Error(`${code}: refused`), { code, path });

/** Root may write to folders of any mode, so the calls themselves refuse: to open a file, or the second write into it. */
const REFUSALS = [
  ["EROFS", "INTERNAL", "the disk is read-only"],
  ["EACCES", "INTERNAL", "this user may not write there"],
  ["ENOSPC", "NO_SPACE", "the disk is full"],
] as const;
const openers = (code: string) => ({
  "to open": async (path: string): Promise<never> => Promise.reject(failure(code, path)),
  "the second write": async (path: string, flags: string | number) => {
    const file = await openFile(path, flags);
    const write = file.write.bind(file) as (bytes: Uint8Array) => Promise<unknown>;
    let count = 0;
    const limited = async (bytes: Uint8Array) => (count++ === 0 ? write(bytes) : Promise.reject(failure(code)));
    return Object.assign(file, { write: limited as never });
  },
});
const cases = REFUSALS.flatMap(([errno, code, words]) =>
  (["to open", "the second write"] as const).map((when) => ({ errno, code, words, when })),
);
async function* twoPieces() {
  yield Buffer.from("one");
  yield Buffer.from("two");
}

describe("a folder that cannot be written", () => {
  test.each(cases)("an object store says $errno at $when, and holds nothing", async ({ errno, code, words, when }) => {
    const root = makeRoot();
    const store = new FileObjectStore({ root, open: openers(errno)[when] });
    await expect(store.put("a/b", twoPieces())).rejects.toMatchObject({
      code,
      message: expect.stringMatching(
        new RegExp(`^${root}.* cannot be written: ${words} \\(${errno}\\)\\. .*SEG_HUB_STORE`),
      ),
      details: { reason: errno, directory: root },
    });
    expect(await listFiles(root)).toEqual([]);
    expect(await store.head("a/b")).toBeNull();
  });

  test.each(cases)("a registry registers nothing at $errno at $when", async ({ errno, code, when }) => {
    const root = makeRoot();
    const sql = await openDatabase(join(root, "registry.sqlite"));
    const store = objectBlobs(new FileObjectStore({ root: join(root, "objects"), open: openers(errno)[when] }));
    const registry = new ModelRegistry({ sql, store, root, events: new HubEvents() });
    const source = join(makeRoot(), "model.onnx");
    // Over two pieces of what a file is read in.
    writeFileSync(source, Buffer.alloc((1 << 20) + 1));
    await expect(registry.register({ files: [{ path: "model.onnx", source }], metrics: {} })).rejects.toMatchObject({
      code,
      details: { reason: errno },
    });
    expect((await registry.list()).versions).toEqual([]);
    expect((await listFiles(root)).filter((path) => !path.includes("registry.sqlite"))).toEqual([]);
    await sql.close();
  });

  test("a database below a file, or in the place of a folder", async () => {
    const root = makeRoot();
    writeFileSync(join(root, "file"), "");
    mkdirSync(join(root, "folder"));
    await expect(openDatabase(join(root, "file", "registry.sqlite"))).rejects.toMatchObject({
      code: "INTERNAL",
      message: expect.stringMatching(/file cannot be written: .*(ENOTDIR|EEXIST).*SEG_HUB_DATABASE/),
    });
    await expect(openDatabase(join(root, "folder"))).rejects.toMatchObject({
      code: "INTERNAL",
      message: expect.stringMatching(/folder cannot be written: .*SQLITE_CANTOPEN.*SEG_HUB_DATABASE/),
    });
  });
});

describe("storageError", () => {
  test("leaves alone what is of another path, known or no refusal", () => {
    const elsewhere = failure("EACCES", "/home/ana/weights.onnx");
    const known = new HubError({ code: "CONFLICT", message: "there" });
    for (const error of [elsewhere, known, failure("ENOENT", "/hub/x"), new Error("x"), null]) {
      expect(storageError(error, "/hub")).toBe(error);
    }
  });

  test("a folder is refused by what it lies in", () => {
    expect(storageError(failure("EROFS", "/mnt"), "/mnt/hub/objects")).toMatchObject({ code: "INTERNAL" });
  });

  test("where nobody knows what was done, only what no reader meets", () => {
    expect(certainStorageError(failure("ENOSPC", "/hub/x"))).toMatchObject({ code: "NO_SPACE" });
    expect(certainStorageError(failure("EACCES", "/hub/x"))).not.toBeInstanceOf(HubError);
    expect(problemOf(failure("ENOSPC", "/hub/datasets/x"))).toMatchObject({
      status: 507,
      code: "NO_SPACE",
      detail: expect.stringMatching(/^\(path\) cannot be written: the disk is full/),
    });
  });
});
