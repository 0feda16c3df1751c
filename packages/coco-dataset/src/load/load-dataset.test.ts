import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeDataset } from "../write-dataset.js";
import { loadDataset } from "./load-dataset.js";
import { locateJsonError } from "./locate-json-error.js";

const bytes = (text: string) => new TextEncoder().encode(text);
const valid = {
  info: { year: 2024 },
  images: [{ id: 7, width: 4, height: 3, file_name: "a.jpg", site: "north" }],
  categories: [{ id: 3, name: "bolt" }],
  annotations: [{ id: 1, image_id: 7, category_id: 3, bbox: [0, 0, 2, 2] }],
  extra: [1, { nested: true }],
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "seg-coco-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe("loadDataset", () => {
  test("reads a path, gzip, bytes with BOM and an object; unknown keys stay", async () => {
    const text = JSON.stringify(valid);
    await writeFile(join(folder, "a.json"), text);
    await writeFile(join(folder, "a.json.gz"), gzipSync(text));
    expect(await loadDataset(join(folder, "a.json"))).toEqual(valid);
    expect(await loadDataset(join(folder, "a.json.gz"))).toEqual(valid);
    expect(await loadDataset(bytes(`\ufeff${text}`))).toEqual(valid);
    expect(await loadDataset(valid)).toBe(valid);
  });

  test("a missing file", async () => {
    const file = join(folder, "nowhere.json");
    await expect(loadDataset(file)).rejects.toMatchObject({ code: "coco/file-not-found", file });
  });

  test("broken JSON names byte offset, line and column, and what to do", async () => {
    const text = '{"images": [],\n "näme": [1, 2,, 3]}';
    await expect(loadDataset(bytes(text))).rejects.toMatchObject({
      code: "coco/parse",
      reason: "json",
      byteOffset: Buffer.byteLength(text.slice(0, text.indexOf(",,") + 1)),
      line: 2,
      column: 16,
      message: expect.stringContaining("export the file again"),
    });
  });

  test("a truncated file says so", async () => {
    await expect(loadDataset(bytes('{"images": [{"id": 1'))).rejects.toMatchObject({
      code: "coco/parse",
      byteOffset: 20,
      message: expect.stringContaining("cut off"),
    });
  });

  test("a lost backslash in RLE counts is named", async () => {
    await expect(loadDataset(bytes('{"counts": "a\\qb"}'))).rejects.toMatchObject({
      message: expect.stringContaining("backslash in RLE counts"),
    });
  });

  test("bytes that are not UTF-8", async () => {
    await expect(loadDataset(Uint8Array.of(0x22, 0xff, 0x22))).rejects.toMatchObject({
      code: "coco/parse",
      reason: "encoding",
    });
  });

  test.each([
    ["", []],
    ["/annotations", { ...valid, annotations: undefined }],
    ["/images/0/width", { ...valid, images: [{ id: 1, height: 2, file_name: "a" }] }],
    ["/images/0/id", { ...valid, images: [{ id: 1.5, width: 2, height: 2, file_name: "a" }] }],
    ["/categories/0/name", { ...valid, categories: [{ id: 1 }] }],
    ["/annotations/1", { ...valid, annotations: [valid.annotations[0], 4] }],
    ["/annotations/0/image_id", { ...valid, annotations: [{ id: 1, category_id: 3 }] }],
  ])("a schema error points at %s", async (path, document) => {
    await expect(loadDataset(document)).rejects.toMatchObject({ code: "coco/schema", path });
  });

  test("ids beyond 2^53 are refused", async () => {
    const text = JSON.stringify(valid).replace('"id":7', '"id":9007199254740993');
    await expect(loadDataset(bytes(text))).rejects.toMatchObject({
      code: "coco/parse",
      reason: "id-unsafe",
      path: "/images/0/id",
    });
  });

  test("string ids become ranks of their UTF-8 bytes, the table is kept", async () => {
    const dataset = await loadDataset({
      images: [
        { id: "b", width: 1, height: 1, file_name: "b" },
        { id: "a", width: 1, height: 1, coco_url: "http://x/y/a.jpg" },
      ],
      categories: [{ id: 3, name: "bolt" }],
      annotations: [
        { id: 1, image_id: "b", category_id: 3 },
        { id: 2, image_id: "zz", category_id: 3 },
      ],
    });
    expect(dataset.images.map((image) => [image.id, image.file_name])).toEqual([
      [2, "b"],
      [1, "a.jpg"],
    ]);
    expect(dataset.annotations.map((annotation) => annotation.image_id)).toEqual([2, -1]);
    expect(dataset["seg_string_ids"]).toEqual({ images: { a: 1, b: 2 } });
  });
});

describe("locateJsonError", () => {
  test("agrees with JSON.parse on documents with one character removed or replaced", () => {
    const edits = fc.record({
      value: fc.json(),
      at: fc.nat(),
      put: fc.constantFrom("", ",", '"', "]", "}", "x", "0", "\\"),
    });
    fc.assert(
      fc.property(edits, ({ value, at, put }) => {
        const index = at % (value.length + 1);
        const text = value.slice(0, index) + put + value.slice(index + 1);
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        expect(locateJsonError(text) === null).toBe(isJson);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("writeDataset", () => {
  test("restores the document, replaces the old file and leaves no temporary file", async () => {
    const path = join(folder, "out.json");
    await writeFile(path, "old");
    await writeDataset(valid, path);
    expect(JSON.parse(await readFile(path, "utf8"))).toEqual(valid);
    expect((await readdir(folder)).filter((name) => name.includes(".tmp"))).toEqual([]);
  });

  test("a value that is not JSON leaves the old file in place", async () => {
    const path = join(folder, "kept.json");
    await writeFile(path, "old");
    await expect(writeDataset({ ...valid, extra: 1n } as never, path)).rejects.toThrow(TypeError);
    expect(await readFile(path, "utf8")).toBe("old");
    expect((await readdir(folder)).filter((name) => name.includes(".tmp"))).toEqual([]);
  });
});
