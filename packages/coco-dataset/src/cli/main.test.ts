import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { grayImage, makeFolder, removeFolders } from "../../test/make-folder.js";
import { COMMANDS } from "./commands.js";
import { EXIT, main } from "./main.js";

afterAll(removeFolders);

/** Ten pictures of two classes; `spoil` makes one box reach over the border. */
const document = ({ spoil = false } = {}) => ({
  images: Array.from({ length: 10 }, (_, i) => ({ id: i + 1, file_name: `${i}.png`, width: 40, height: 30 })),
  categories: [
    { id: 1, name: "ear" },
    { id: 7, name: "label" },
  ],
  annotations: Array.from({ length: 20 }, (_, i) => ({
    id: i + 1,
    image_id: (i % 10) + 1,
    category_id: i % 2 === 0 ? 1 : 7,
    bbox: [2 + i / 2, 3, 10, spoil && i === 4 ? 60 : 9],
    area: 90,
    iscrowd: 0,
  })),
});

async function folderWith(data: object): Promise<string> {
  const picture = await grayImage(40, 30);
  const pictures = Array.from({ length: 10 }, (_, i) => [`images/${i}.png`, picture] as const);
  return makeFolder({ "a.json": JSON.stringify(data), ...Object.fromEntries(pictures) });
}

async function run(...argv: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await main(argv, { out: (text) => out.push(text), err: (text) => err.push(text) });
  return { code, out: out.join("\n"), err: err.join("\n") };
}
const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

describe("seg-coco", () => {
  test("lists its commands and the options of each", async () => {
    const { code, out } = await run("--help");
    expect(code).toBe(EXIT.clean);
    for (const name of Object.keys(COMMANDS)) {
      expect(out).toContain(name);
      expect((await run(name, "--help")).out).toContain("--fail-on");
    }
    expect((await run()).code).toBe(EXIT.fault);
  });
  test("a wrong command line is code 2 and says what is possible", async () => {
    const folder = await folderWith(document());
    const data = join(folder, "a.json");
    for (const [argv, text] of [
      [["valdate", data], "Known: inspect, validate"],
      [["inspect"], "takes DATA, got 0"],
      [["inspect", data, "--colour"], "--json"],
      [["split", data], "--output is missing"],
      [["split", data, "--output", folder, "--seed", "x"], '--seed takes a number, got "x"'],
      [["validate", data, "--fail-on", "bad"], "info, warn or error"],
      [["inspect", join(folder, "no.json")], "no.json"],
      [["preview", data, "--output", join(folder, "p.png")], "--images FOLDER is needed"],
    ] as const) {
      const { code, err } = await run(...argv);
      expect({ argv, code }).toEqual({ argv, code: EXIT.fault });
      expect(err).toContain(text);
      expect(err).not.toContain("    at ");
    }
  });
  test("inspect and stats answer as text and as one line of JSON", async () => {
    const data = join(await folderWith(document()), "a.json");
    expect((await run("inspect", data)).out).toContain(
      "10 images, 20 annotations (boxes 20, masks 0, keypoints 0), 2 classes; task detection",
    );
    expect(JSON.parse((await run("inspect", data, "--json")).out)).toMatchObject({ format: "coco", hasBoxes: true });
    expect((await run("stats", data)).out.split("\n")[1]).toMatch(/^ear +5 +10$/);
    expect(JSON.parse((await run("stats", data, "--json")).out)).toHaveProperty("classes");
  });
  test("validate: the exit code follows --fail-on; health.json is written once", async () => {
    const folder = await folderWith(document({ spoil: true }));
    const data = join(folder, "a.json");
    const target = join(folder, "out/health.json");
    const first = await run("validate", data, "--images", join(folder, "images"), "--output", target);
    expect(first).toMatchObject({ code: EXIT.clean, err: "" });
    expect(first.out).toContain("bbox_oob");
    expect((await run("validate", data, "--fail-on", "warn")).code).toBe(EXIT.findings);
    expect((await run("validate", data, "--checks", "dup_image_id", "--fail-on", "info")).code).toBe(EXIT.clean);
    expect((await run("validate", data, "--output", target)).err).toContain("exists");
    expect((await run("validate", data, "--output", target, "--force")).code).toBe(EXIT.clean);
    expect((await run("validate", data, "--output", data, "--force")).err).toContain("never written to");
    expect(JSON.parse(await readFile(target, "utf8"))).toMatchObject({ version: 1, ok: true });
  });
  test("fix writes a clean copy and patch.jsonl, and leaves the input alone", async () => {
    const folder = await folderWith(document({ spoil: true }));
    const data = join(folder, "a.json");
    const before = await readFile(data, "utf8");
    const target = join(folder, "fixed/b.json");
    expect(await run("fix", data, "--output", target, "--codes", "bbox_oob")).toMatchObject({ code: EXIT.clean });
    expect(await readFile(data, "utf8")).toBe(before);
    const patch = (await readFile(join(folder, "fixed/patch.jsonl"), "utf8")).trim().split("\n");
    expect(JSON.parse(patch[0]!)).toMatchObject({ id: 5, field: "bbox", code: "bbox_oob" });
    expect((await run("validate", target, "--checks", "bbox_oob", "--fail-on", "info")).code).toBe(EXIT.clean);
  });
  test("split writes disjoint parts and the lock", async () => {
    const folder = await folderWith(document());
    const output = join(folder, "parts");
    const argv = ["split", join(folder, "a.json"), "--output", output, "--ratios", "train:0.8,val:0.2", "--seed", "3"];
    expect(await run(...argv)).toMatchObject({ code: EXIT.clean });
    const ids = async (name: string) =>
      (JSON.parse(await readFile(join(output, `${name}.json`), "utf8")) as { images: { id: number }[] }).images.map(
        ({ id }) => id,
      );
    expect([...(await ids("train")), ...(await ids("val"))].sort((a, b) => a - b)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
    ]);
    expect(JSON.parse(await readFile(join(output, "split.lock.json"), "utf8"))).toMatchObject({ seed: 3 });
    expect((await run(...argv)).code).toBe(EXIT.fault);
  });
  test("convert writes YOLO with the images, and refuses what would be replaced", async () => {
    const folder = await folderWith(document());
    const output = join(folder, "yolo");
    const argv = [
      "convert",
      join(folder, "a.json"),
      "--to",
      "yolo",
      "--images",
      join(folder, "images"),
      "--output",
      output,
    ];
    expect(await run(...argv)).toMatchObject({ code: EXIT.clean });
    expect(await exists(join(output, "data.yaml"))).toBe(true);
    expect((await run("inspect", output)).out).toContain("yolo: 10 images, 20 annotations");
    expect((await run(...argv)).err).toContain("exists");
  });
  test("eval prints COCO's table and writes eval.json", async () => {
    const folder = await folderWith(document());
    const rows = document().annotations.map(({ image_id, category_id, bbox }, i) => ({
      image_id,
      category_id,
      bbox,
      score: 1 - i / 100,
    }));
    const results = join(folder, "results.json");
    await writeFile(results, JSON.stringify(rows));
    const target = join(folder, "eval.json");
    const found = await run("eval", join(folder, "a.json"), results, "--output", target);
    expect(found.code).toBe(EXIT.clean);
    expect(found.out).toContain("Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 1.000");
    expect(JSON.parse(await readFile(target, "utf8"))).toMatchObject({ iouType: "bbox" });
    await writeFile(results, JSON.stringify([{ ...rows[0], image_id: 99 }]));
    expect((await run("eval", join(folder, "a.json"), results)).code).toBe(EXIT.fault);
  });
  test("preview draws, dedupe finds equal pictures", async () => {
    const folder = await folderWith(document());
    const images = join(folder, "images");
    const target = join(folder, "sheet.png");
    expect(
      await run("preview", join(folder, "a.json"), "--images", images, "--output", target, "--count", "2"),
    ).toMatchObject({ code: EXIT.clean });
    expect((await readFile(target)).subarray(1, 4).toString()).toBe("PNG");
    const { code, out } = await run("dedupe", join(folder, "a.json"), "--images", images, "--fail-on", "warn");
    expect(out).toContain("equal: 0.png, 1.png");
    expect(code).toBe(EXIT.findings);
  });
});
