import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadDataset, loadResults } from "./load-dataset.js";
import { streamDataset } from "./stream-dataset.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "seg-stream-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});
async function file(name: string, content: string | Uint8Array): Promise<string> {
  await writeFile(join(folder, name), content);
  return join(folder, name);
}
async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

const document = {
  annotations: [{ id: 1, image_id: 7, category_id: 3, segmentation: { size: [3, 4], counts: "0\\]" } }],
  info: { year: 2024, tags: ["a"] },
  categories: [{ id: 3, name: "Mutter ä" }],
  images: [{ id: 7, width: 4, height: 3, file_name: "a.jpg" }],
};

describe("streamDataset", () => {
  test("reads lists in any order, plain and gzip", async () => {
    const text = JSON.stringify(document, null, 1);
    for (const path of [await file("a.json", text), await file("a.json.gz", gzipSync(text))]) {
      const stream = streamDataset(path);
      expect(await stream.info()).toEqual(document.info);
      expect(await all(stream.images())).toEqual(document.images);
      expect(await all(stream.categories())).toEqual(document.categories);
      expect(await all(stream.annotations())).toEqual(document.annotations);
    }
  });

  test("errors are those of loadDataset, with line and column", async () => {
    const broken = await file("b.json.gz", gzipSync('{"images": [],\n "näme": [1, 2,, 3]}'));
    const expected = { code: "coco/parse", reason: "json", line: 2, column: 16, byteOffset: 31 };
    await expect(loadDataset(broken)).rejects.toMatchObject(expected);
    const cut = await file("c.json", '{"images": [{"id": 1');
    await expect(all(streamDataset(cut).images())).rejects.toMatchObject({ code: "coco/parse", byteOffset: 20 });
    const shape = await file("d.json", '{"images": [{"id": 1, "height": 3, "file_name": "a"}]}');
    await expect(all(streamDataset(shape).images())).rejects.toMatchObject({
      code: "coco/schema",
      path: "/images/0/width",
    });
    const id = await file("e.json", '{"images": [{"id": 9007199254740993}]}');
    await expect(all(streamDataset(id).images())).rejects.toMatchObject({ code: "coco/parse", reason: "id-unsafe" });
    await expect(all(streamDataset(join(folder, "none")).images())).rejects.toMatchObject({
      code: "coco/file-not-found",
    });
    const damaged = await file("f.json.gz", gzipSync(JSON.stringify(document)).subarray(0, 60));
    await expect(loadDataset(damaged)).rejects.toMatchObject({ code: "coco/parse", reason: "encoding" });
  });

  test("an abort ends the reading", async () => {
    const path = await file("g.json", JSON.stringify(document));
    const signal = AbortSignal.abort();
    await expect(all(streamDataset(path, { signal }).images())).rejects.toMatchObject({ name: "AbortError" });
    await expect(loadDataset(path, { signal })).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("loadDataset, loadResults", () => {
  test("gzip files give the document, keys in order, __proto__ as a key of its own", async () => {
    const text = '{"images":[],"__proto__":[1],"categories":[],"annotations":[],"x":{"y":[2]}}';
    const loaded = await loadDataset(await file("h.json.gz", gzipSync(text)));
    expect(JSON.stringify(loaded)).toBe(text);
  });

  test("lenient keeps the last of the images with one id", async () => {
    const twice = { ...document, images: [...document.images, { ...document.images[0]!, file_name: "b.jpg" }] };
    expect((await loadDataset(twice)).images.length).toBe(2);
    expect((await loadDataset(twice, { lenient: true })).images).toEqual([twice.images[1]]);
  });

  test("results are a list", async () => {
    const rows = [{ image_id: 1, category_id: 1, bbox: [0, 0, 1, 1], score: 0.5 }];
    const path = await file("r.json.gz", gzipSync(JSON.stringify(rows)));
    expect(await loadResults(path)).toEqual(rows);
    expect(await all(streamDataset(path).results())).toEqual(rows);
    expect(await loadResults(await file("s.json.gz", gzipSync("[]")))).toEqual([]);
    await expect(loadResults(document)).rejects.toMatchObject({ code: "coco/schema", path: "" });
    await expect(loadResults([1])).rejects.toMatchObject({ code: "coco/schema", path: "/0" });
    await expect(all(streamDataset(await file("t.json", "{}")).results())).resolves.toEqual([]);
  });
});
