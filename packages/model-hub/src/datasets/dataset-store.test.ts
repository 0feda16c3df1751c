import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { appendFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeDatabases, temporaryDirectory } from "../../test/databases.js";
import { cocoDocument, diabetesSchema, pieces } from "../../test/datasets.js";
import { makeZip } from "../../test/make-zip.js";
import type { SqlDriver } from "../sql/driver.js";
import { DatasetStore } from "./dataset-store.js";
import type { DatasetUpload } from "./types.js";

const table = (rows: readonly string[], header = "file_name,class,x,y,width,height,segmentation") =>
  [header, ...rows, ""].join("\n");
const goodRow = (i: number) => `${i}.png,bag,1,2,3.5,4,`;
const DIABETES_HEADER = "HbA1c,AGE,BMI,Gender,CLASS";

describeDatabases("DatasetStore", (database) => {
  const directory = temporaryDirectory();
  let sql: SqlDriver;
  let root: string;
  let store: DatasetStore;
  beforeEach(async () => {
    sql = await database.open();
    root = mkdtempSync(join(directory.path, "datasets-"));
    store = new DatasetStore({
      sql,
      root,
      now: () => Date.UTC(2026, 0, 1),
      schemas: [diabetesSchema],
      archiveLimits: { maxEntries: 50, maxBytes: 8_000_000, maxRatio: 100 },
    });
  });
  afterEach(() => sql.close());
  const upload = (file_name: string, content: string | Uint8Array, more: Partial<DatasetUpload> = {}) =>
    store.upload({ file_name, stream: pieces(content), ...more });
  /** The upload is refused with `code`, and nothing is left of it. */
  const refuse = async (
    file_name: string,
    content: string | Uint8Array,
    expected: Record<string, unknown>,
    more: Partial<DatasetUpload> = {},
  ) => {
    await expect(upload(file_name, content, more)).rejects.toMatchObject(expected);
    expect(await readdir(root)).toEqual([]);
    expect((await store.list()).datasets).toEqual([]);
  };

  describe("COCO documents", () => {
    test("are stored under their name with counts", async () => {
      const content = cocoDocument(12);
      const report = await upload("bags.json", content, { created_by: "ana" });
      expect(report).toMatchObject({
        dataset_name: "bags",
        sha256: createHash("sha256").update(content).digest("hex"),
        records: 12,
        existing: false,
        stored: true,
      });
      expect(await store.get("bags")).toEqual(report.dataset);
      expect(report.dataset).toMatchObject({
        format: "coco-json",
        schema: "coco",
        images: 12,
        annotations: 12,
        classes: [
          { name: "bag", count: 6 },
          { name: "strap", count: 6 },
        ],
        created_by: "ana",
      });
      expect(await store.open("bags")).toMatchObject({
        annotations: join(root, "bags", "annotations.json"),
        images: null,
      });
    });
    test("that are none, or are broken, are refused with the place", async () => {
      await refuse("bad.json", '{"images": [}', { code: "SCHEMA" });
      await refuse("bad.json", "{}", { code: "SCHEMA" });
      await refuse("bad.json", cocoDocument(3).replace('"image_id":2', '"image_id":99'), { code: "SCHEMA" });
      await refuse("bad.json", cocoDocument(3, { fileName: (i) => `../${i}.png` }), { code: "SCHEMA" });
    });
    test("under ten annotated images are stored with a warning", async () => {
      const { warnings } = await upload("few.json", cocoDocument(9));
      expect(warnings).toContain("9 records; retraining needs at least 10");
    });
  });

  describe("archives", () => {
    const archive = (images = 2, more: Parameters<typeof makeZip>[0] = []) =>
      makeZip([
        { name: "set/annotations.json", content: cocoDocument(images) },
        ...Array.from({ length: images }, (_, i) => ({ name: `set/images/${i + 1}.png`, content: `image ${i}` })),
        ...more,
      ]);
    test("are unpacked beside the upload", async () => {
      const report = await upload("bags.zip", archive(2));
      expect(report).toMatchObject({ records: 2, stored: true });
      const opened = await store.open("bags");
      expect(opened.annotations).toBe(join(root, "bags", "files", "set/annotations.json"));
      expect((await readdir(opened.images!)).sort()).toEqual(["1.png", "2.png"]);
    });
    test.each([
      ["../evil.png", 0o100644],
      ["/etc/evil.png", 0o100644],
      ["a/../../evil.png", 0o100644],
      ["C:/evil.png", 0o100644],
      ["a\\..\\evil.png", 0o100644],
      ["link.png", 0o120777],
    ])("with the entry %s of mode %o are refused", async (name, mode) => {
      await refuse("evil.zip", archive(1, [{ name, content: "x", mode }]), { code: "SCHEMA" });
      expect((await readdir(directory.path)).filter((file) => file.startsWith("evil"))).toEqual([]);
    });
    test("with too many entries, bytes or too high a ratio are refused", async () => {
      await refuse("many.zip", archive(51), { code: "TOO_LARGE" });
      await refuse("bomb.zip", archive(1, [{ name: "set/images/z.png", content: Buffer.alloc(2_000_000) }]), {
        code: "TOO_LARGE",
      });
      const noise = Buffer.from(Array.from({ length: 900_000 }, (_, i) => (i * 7919) % 251));
      await refuse(
        "big.zip",
        archive(
          1,
          Array.from({ length: 9 }, (_, i) => ({ name: `set/images/n${i}.png`, content: noise })),
        ),
        { code: "TOO_LARGE" },
      );
    });
    test("whose headers lie, that name a file twice or that are damaged are refused", async () => {
      await refuse("lie.zip", archive(1, [{ name: "x.png", content: Buffer.alloc(1000, 1), claimedSize: 10 }]), {
        code: "UNSUPPORTED_TYPE",
      });
      await refuse("twice.zip", archive(1, [{ name: "set/images/1.PNG", content: "x" }]), { code: "SCHEMA" });
      await refuse("cut.zip", archive(2).subarray(0, 300), { code: "UNSUPPORTED_TYPE" });
    });
    test("without one COCO document, or without its images, are refused", async () => {
      await refuse("none.zip", makeZip([{ name: "a.png", content: "x" }]), { code: "SCHEMA" });
      await refuse(
        "two.zip",
        makeZip([
          { name: "a.json", content: "{}" },
          { name: "b.json", content: "{}" },
        ]),
        { code: "SCHEMA" },
      );
      await refuse(
        "gone.zip",
        makeZip([
          { name: "annotations.json", content: cocoDocument(3) },
          { name: "images/1.png", content: "x" },
        ]),
        { code: "SCHEMA" },
      );
    });
  });

  describe("tables", () => {
    test("of objects count images and objects per class", async () => {
      const rows = Array.from(
        { length: 20 },
        (_, i) => `${i % 5}.png,${i % 4 === 0 ? "bag" : "strap"},0,0,1,1,"[[0,0,1,0,1,1]]"`,
      );
      const { dataset } = await upload("t.csv", `\uFEFF${table(rows)}`);
      expect(dataset).toMatchObject({
        schema: "segmentation",
        records: 5,
        images: 5,
        annotations: 20,
        classes: [
          { name: "strap", count: 15 },
          { name: "bag", count: 5 },
        ],
      });
      expect(await store.open("t")).toMatchObject({ table: join(root, "t", "table.csv") });
    });
    test("of a trainer's own schema are checked against it", async () => {
      const good = table(["5.1,40,22.5,M,N", "6.8,61,31,F,Diabetes"], DIABETES_HEADER);
      expect((await upload("labs.csv", good, { schema: "diabetes" })).records).toBe(2);
      await expect(
        upload("other.csv", table(["5.1,40.5,22.5,X,Q"], DIABETES_HEADER), { schema: "diabetes" }),
      ).rejects.toMatchObject({ code: "SCHEMA", details: { errors: [{ line: 2, column: "AGE" }], bad_lines: 1 } });
    });
    test("name missing columns", async () => {
      await refuse("t.csv", table(["1.png,1"], "file_name,x"), {
        code: "SCHEMA",
        details: { missing_columns: ["class", "y", "width", "height"] },
      });
    });
    test("list the first twenty bad lines by number and count all", async () => {
      const rows = Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? goodRow(i) : `${i}.png,bag,-1,2,0,4,`));
      const error = await upload("t.csv", table(rows)).catch((thrown) => thrown);
      expect(error.details.bad_lines).toBe(50);
      expect(error.details.errors.map(({ line }: { line: number }) => line)).toEqual(
        Array.from({ length: 20 }, (_, i) => 3 + 2 * i),
      );
      expect(error.details.errors[0]).toEqual({ line: 3, column: "x", message: "x is -1, expected at least 0" });
      expect(await readdir(root)).toEqual([]);
    });
    test.each([
      ["1.png,bag,0x10,2,3,4,", "x"],
      ["1.png,bag,1,NaN,3,4,", "y"],
      ["1.png,bag,1,2,1e999,4,", "width"],
      ["1.png,bag,1,2,3,0,", "height"],
      [",bag,1,2,3,4,", "file_name"],
      ["1.png,bag,1,2,3", "height"],
      ['1.png,bag,1,2,3,4,"[[1,2,3,4]]"', "segmentation"],
      ["1.png,bag,1,2,3,4,polygon", "segmentation"],
    ])("refuse the line %s for its %s", async (row, column) => {
      await refuse("t.csv", table([goodRow(1), row]), { code: "SCHEMA", details: { errors: [{ line: 3, column }] } });
    });
    test("without lines, with broken quotes or with two columns of one name are refused", async () => {
      await refuse("t.csv", table([]), { code: "SCHEMA" });
      await refuse("t.csv", table(['1.png,"bag,1,2,3,4,']), { code: "SCHEMA" });
      await refuse("t.csv", table(["a"], "file_name,class,x,y,width,height,x"), { code: "SCHEMA" });
    });
  });

  test("the same name and bytes are there already, other bytes are a conflict", async () => {
    await upload("t.csv", table([goodRow(1)]));
    expect(await upload("t.csv", table([goodRow(1)]))).toMatchObject({ existing: true, stored: true });
    await expect(upload("t.csv", table([goodRow(2)]))).rejects.toMatchObject({ code: "CONFLICT" });
    expect((await readdir(root)).sort()).toEqual(["t"]);
    const both = await Promise.allSettled([upload("u.csv", table([goodRow(1)])), upload("u.csv", table([goodRow(2)]))]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect((await store.open("u")).record.name).toBe("u");
  });

  test("checks without storing when asked to", async () => {
    expect(await upload("t.csv", table([goodRow(1)]), { validate_only: true })).toMatchObject({
      stored: false,
      records: 1,
    });
    expect(await readdir(root)).toEqual([]);
    expect((await store.list()).datasets).toEqual([]);
  });

  test("refuses other types, names and schemas, content that is not what the name says, and more bytes than allowed", async () => {
    await refuse("model.pt", "x", { code: "UNSUPPORTED_TYPE" });
    await refuse("t.zip", "not a zip", { code: "UNSUPPORTED_TYPE" });
    await refuse("t.json", makeZip([{ name: "a", content: "x" }]), { code: "UNSUPPORTED_TYPE" });
    await refuse("t.csv", Buffer.from([0x61, 0, 0x62]), { code: "UNSUPPORTED_TYPE" });
    for (const name of ["../x", "a/b", "", ".hidden", "x".repeat(129), "ü"]) {
      await refuse("t.csv", table([goodRow(1)]), { code: "INVALID_REQUEST" }, { name });
    }
    await refuse("t.csv", table([goodRow(1)]), { code: "INVALID_REQUEST" }, { schema: "nothing" });
    await refuse("t.csv", table([goodRow(1)]), { code: "TOO_LARGE" }, { maxBytes: 20 });
    expect((await upload("..\\..\\t.csv", table([goodRow(1)]))).dataset_name).toBe("t");
  });

  test("an aborted or broken upload leaves nothing", async () => {
    const controller = new AbortController();
    const stream = (async function* () {
      yield Buffer.from("file_name,");
      controller.abort(new Error("gone"));
      yield Buffer.from("class\n");
    })();
    await expect(store.upload({ file_name: "t.csv", stream, signal: controller.signal })).rejects.toThrow();
    const broken = (async function* () {
      yield Buffer.from("file_name,");
      throw new Error("connection reset");
    })();
    await expect(store.upload({ file_name: "t.csv", stream: broken })).rejects.toThrow("connection reset");
    expect(await readdir(root)).toEqual([]);
  });

  test("notices files that were changed, and deletes", async () => {
    await upload("t.csv", table([goodRow(1)]));
    await appendFile(join(root, "t", "table.csv"), goodRow(2));
    await expect(store.open("t")).rejects.toMatchObject({ code: "INTEGRITY" });
    await store.delete("t");
    expect(await readdir(root)).toEqual([]);
    await expect(store.open("t")).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(store.delete("t")).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});
