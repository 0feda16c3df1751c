import { existsSync, readdirSync, readFileSync } from "node:fs";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, describe, expect, test } from "vitest";
import { createPlayground, failure } from "./playground.js";
import { runSeg } from "./run-seg.js";
import { HEIGHT, WIDTH } from "./tiny-dataset.js";

const { root, fresh, dataset, refuses, remove } = await createPlayground();
const good = await dataset();
afterAll(remove);

const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), "utf8"));
const SPLIT = ["--split", "train:0.5,val:0.5"];

/** The small dataset as one VOC file per image, beside the images. */
async function vocFolder(): Promise<string> {
  const { document, images } = await dataset();
  const names = new Map(document.categories.map(({ id, name }) => [id, name]));
  for (const image of document.images) {
    const objects = document.annotations
      .filter((a) => a["image_id"] === image.id)
      .map((a) => {
        const [x, y, w, h] = a["bbox"] as [number, number, number, number];
        return `<object><name>${names.get(a["category_id"] as number)}</name><bndbox><xmin>${x}</xmin><ymin>${y}</ymin><xmax>${x + w}</xmax><ymax>${y + h}</ymax></bndbox></object>`;
      });
    await writeFile(
      join(images, image.file_name.replace(".jpg", ".xml")),
      `<annotation><filename>${image.file_name}</filename><size><width>${WIDTH}</width><height>${HEIGHT}</height></size>${objects.join("")}</annotation>`,
    );
  }
  return images;
}

describe("seg validate on other formats", () => {
  test("Pascal VOC becomes a COCO file that finds its images", async () => {
    const folder = await vocFolder();
    const plain = await runSeg("validate", "--data", folder);
    expect({ code: plain.code, stderr: plain.stderr }).toEqual({ code: 0, stderr: "" });
    expect(plain.stdout).toContain("format      Pascal VOC XML, read as COCO");
    expect(plain.stdout).toContain("12 area from bbox");
    expect(plain.stdout).toContain("written     nothing: give --output FOLDER to keep the data as COCO");

    const output = fresh();
    expect((await runSeg("validate", "--data", folder, "--output", output)).code).toBe(0);
    const document = json(output, "annotations.json");
    expect(document.categories.map(({ name }: { name: string }) => name)).toEqual(["bar", "square"]);
    expect(document.annotations).toHaveLength(12);
    expect(existsSync(join(output, document.seg_images_dir, document.images[0].file_name))).toBe(true);
    expect(json(output, "validation.json")).toMatchObject({ ok: true, source: { format: "voc" } });
    const again = await runSeg("validate", "--data", join(output, "annotations.json"));
    expect(again.stdout).toContain("dataset     6 images, 12 annotations, 2 classes");
  });

  test("COCO -> YOLO -> COCO keeps splits, ids, boxes and every mask, and says so", async () => {
    const output = fresh();
    const first = await runSeg(
      "validate",
      "--data",
      good.annotations,
      "--output",
      output,
      ...SPLIT,
      "--convert",
      "yolo",
    );
    expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: "" });
    expect(first.stdout).toContain(
      "converted   to yolo: 12 objects in 6 images; all 12 masks read back equal in every pixel",
    );
    const back = fresh();
    const second = await runSeg(
      "validate",
      "--data",
      join(output, "yolo"),
      "--output",
      back,
      "--preview",
      "0",
      "--json",
    );
    const lines = second.stdout.trimEnd().split("\n");
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ type: "result", format: "yolo", ok: true });
    // The splits are those that the data declares: there is no lock, because nothing was drawn.
    expect(readdirSync(back)).toEqual(expect.arrayContaining(["train.json", "val.json", "validation.json"]));
    expect(readdirSync(back)).not.toContain("split.lock.json");
    const key = (document: { images: { id: number; file_name: string }[]; annotations: Record<string, unknown>[] }) => {
      const names = new Map(document.images.map(({ id, file_name }) => [id, file_name.split("/").at(-1)]));
      return document.annotations
        .map((a) =>
          JSON.stringify([names.get(a["image_id"] as number), a["category_id"], a["bbox"], a["segmentation"]]),
        )
        .sort();
    };
    for (const name of ["train.json", "val.json"]) expect(key(json(back, name))).toEqual(key(json(output, name)));
  });

  test("CVAT and LabelMe by content; what has no area is named", async () => {
    const folder = fresh();
    await mkdir(folder);
    const image = await sharp({ create: { width: 20, height: 10, channels: 3, background: "#888" } })
      .png()
      .toBuffer();
    await writeFile(join(folder, "a.png"), image);
    await writeFile(
      join(folder, "export.xml"),
      '<annotations><meta/><image name="a.png" width="20" height="10"><polygon label="ear" points="1,1;9,1;9,9"/><points label="ear" points="3,3"/></image></annotations>',
    );
    const cvat = await runSeg("validate", "--data", folder);
    expect(cvat.stdout).toContain("format      CVAT XML, read as COCO");
    expect(cvat.stdout).toContain("shape_without_area (1): Elements of type <points> are no boxes or masks");
    await writeFile(
      join(folder, "a.json"),
      JSON.stringify({
        imagePath: "a.png",
        imageWidth: 20,
        imageHeight: 10,
        shapes: [
          {
            label: "ear",
            points: [
              [1, 1],
              [9, 1],
              [9, 9],
            ],
          },
        ],
      }),
    );
    expect(await refuses(["validate", "--data", folder])).toMatch(
      /holds data of several formats: .* Give the file or folder/,
    );
    expect((await runSeg("validate", "--data", join(folder, "a.json"))).stdout).toContain("format      LabelMe JSON");
  });
});

describe("copies of an image", () => {
  test("stay in one split; declared splits that share them are refused", async () => {
    const { annotations, images, document } = await dataset((d) => {
      d.images.push({ ...d.images[0]!, id: 70, file_name: "copy.jpg" });
      d.annotations.push({ ...d.annotations[0]!, id: 700, image_id: 70 });
    });
    await copyFile(join(images, "scene-0.jpg"), join(images, "copy.jpg"));
    const output = fresh();
    const split = await runSeg("validate", "--data", annotations, "--output", output, ...SPLIT, "--preview", "0");
    expect({ code: split.code, stderr: split.stderr }).toEqual({ code: 0, stderr: "" });
    expect(split.stdout).toContain("exact_duplicate (2)");
    const train = json(output, "train.json").images.map(({ id }: { id: number }) => id);
    expect(train.includes(1)).toBe(train.includes(70));
    expect(document.images).toHaveLength(7);

    const folder = fresh();
    for (const [name, file] of [
      ["train", "scene-0.jpg"],
      ["val", "copy.jpg"],
    ] as const) {
      await mkdir(join(folder, "images", name), { recursive: true });
      await copyFile(join(images, "scene-0.jpg"), join(folder, "images", name, file));
    }
    await writeFile(join(folder, "data.yaml"), "train: images/train\nval: images/val\nnames: [x]\n");
    const line = failure(await runSeg("validate", "--data", folder));
    expect(line).toMatch(/Splits share pictures .* Remove the copies, or let seg validate split again with --split/);
  });
});

describe("refusals", () => {
  test("a folder of nothing known, several files, an archive", async () => {
    const folder = fresh();
    await mkdir(folder);
    expect(await refuses(["validate", "--data", folder])).toContain("holds no annotations of a known format");
    await writeFile(join(folder, "x.zip"), "PK\u0003\u0004");
    expect(await refuses(["validate", "--data", join(folder, "x.zip")])).toContain("is an archive. Unpack it");
    for (const name of ["a.json", "b.json"]) await writeFile(join(folder, name), await readFile(good.annotations));
    expect(await refuses(["validate", "--data", folder])).toMatch(
      /holds 2 annotation files: a\.json, b\.json\. Give one of them/,
    );
  });

  test("bad rows with their file and line", async () => {
    const folder = fresh();
    await mkdir(join(folder, "images"), { recursive: true });
    await writeFile(
      join(folder, "images", "a.png"),
      await sharp({ create: { width: 8, height: 8, channels: 3, background: "#888" } })
        .png()
        .toBuffer(),
    );
    await writeFile(join(folder, "images", "a.txt"), "0 0.5 0.5 0.1 0.1\n5 0.5 0.5 0.1 0.1\n0 300 200 20 10\n");
    await writeFile(join(folder, "data.yaml"), "train: images\nnames: [x]\n");
    const line = await refuses(["validate", "--data", folder]);
    expect(line).toContain(
      "The YOLO data has 2 places that cannot be read. images/a.txt:2: class 5 is not one of the 1 classes",
    );
    expect(line).toContain("images/a.txt:3: 300 is outside 0 to 1");
  });

  test("a conversion that would lose masks is refused, keeps the check, and names the options", async () => {
    const { annotations } = await dataset((d) => {
      delete d.annotations[2]!["segmentation"];
    });
    const output = fresh();
    const convert = ["validate", "--data", annotations, "--output", output, "--convert", "yolo", "--preview", "0"];
    const line = failure(await runSeg(...convert));
    expect(line).toContain("--on-mixed box-polygon (rectangles) or --on-mixed boxes");
    expect(existsSync(join(output, "validation.json"))).toBe(true);
    expect(existsSync(join(output, "yolo"))).toBe(false);
    expect(failure(await runSeg(...convert, "--on-mixed", "boxes"))).toContain("accept it with --allow-loss.");
    const allowed = await runSeg(...convert, "--on-mixed", "boxes", "--allow-loss");
    expect(allowed.stdout).toContain("lost  mask_dropped (11)");
  });

  test("the file that was read is never written to", async () => {
    const { annotations } = await dataset();
    const argv = ["validate", "--data", annotations, "--output", join(annotations, ".."), "--convert", "coco"];
    const before = await readFile(annotations, "utf8");
    expect(failure(await runSeg(...argv))).toContain("is the file that was read, and inputs are never written to");
    expect(await readFile(annotations, "utf8")).toBe(before);
  });

  test("options that make no sense", async () => {
    const base = ["validate", "--data", good.annotations];
    expect(await refuses([...base, "--convert", "voc", "--output", "x"], { exit: 2 })).toContain(
      "--convert is one of yolo, coco",
    );
    expect(await refuses([...base, "--convert", "yolo"], { exit: 2 })).toContain("needs --output FOLDER");
    expect(await refuses([...base, "--on-mixed", "x"], { exit: 2 })).toContain(
      "--on-mixed is one of box-polygon, boxes",
    );
    expect(existsSync(join(root, "x"))).toBe(false);
  });
});
