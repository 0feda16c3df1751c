import { existsSync, readdirSync } from "node:fs";
import { readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, describe, expect, test } from "vitest";
import { createPlayground, failure, snapshot } from "./playground.js";
import { runSeg } from "./run-seg.js";
import { HEIGHT, WIDTH } from "./tiny-dataset.js";

const { root, fresh, dataset, training, refuses, remove } = await createPlayground();
const good = await dataset();
afterAll(remove);

describe("annotation files", () => {
  test("one that is missing", async () => {
    const path = join(root, "nope.json");
    for (const argv of [["validate", "--data", path], training(path)]) {
      expect(await refuses(argv)).toContain(`${path} was not found or cannot be read. Check the path`);
    }
  });

  test("one that is no JSON: line and column", async () => {
    const path = join(root, "broken.json");
    await writeFile(path, '{"images": [\n {"id": 1,}\n]}');
    for (const argv of [["validate", "--data", path], training(path)]) {
      expect(await refuses(argv)).toMatch(/broken\.json is not JSON: .* at line 2, column 11 .* Fix it there/);
    }
  });

  test("one that is cut off", async () => {
    const { annotations } = await dataset();
    await truncate(annotations, 100);
    expect(await refuses(["validate", "--data", annotations])).toMatch(/The file is cut off: export or download it/);
  });

  test("one that is not COCO: the field", async () => {
    const path = join(root, "results.json");
    await writeFile(path, '{"images": [], "annotations": []}');
    expect(await refuses(["validate", "--data", path])).toMatch(
      /results\.json is no COCO file: \/categories is missing, expected an array\. Add/,
    );
  });

  test("an unknown category id: the annotation and its image", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations[3]!["category_id"] = 99;
    });
    for (const argv of [["validate", "--data", annotations], training(annotations)]) {
      const line = await refuses(argv);
      expect(line).toContain(`${annotations} cannot be used: category_id names no category`);
      expect(line).toContain("declare it or correct the id: annotation 4 in scene-1.jpg.");
    }
  });

  test("run lengths of the wrong length: the annotation", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations[4]!["segmentation"] = { size: [HEIGHT, WIDTH], counts: [10, 10] };
    });
    for (const argv of [["validate", "--data", annotations], training(annotations)]) {
      const line = await refuses(argv);
      expect(line).toContain("do not sum to height * width; re-encode the mask: annotation 5 in scene-2.jpg.");
    }
  });

  test("several kinds of error: the first, and how to see the rest", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations[3]!["category_id"] = 99;
      d.annotations[4]!["bbox"] = [1, 2, 3];
    });
    expect(await refuses(training(annotations))).toMatch(/1 more kinds? of error: seg validate --data \S+ lists/);
  });

  test("a split without images, for training, validation and seg validate", async () => {
    const { annotations } = await dataset((d) => {
      d.images = [];
      d.annotations = [];
    });
    const lists = `${annotations} lists no images. Add images, or split again`;
    expect(await refuses(["validate", "--data", annotations])).toContain(lists);
    expect(await refuses(training(annotations))).toContain(lists);
    expect(await refuses(training(good.annotations, "--val", annotations))).toContain(lists);
  });

  test("images without a single annotation cannot train", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations = [];
    });
    expect(await refuses(training(annotations))).toMatch(
      /annotations\.json has images but no annotations: .* Annotate/,
    );
  });

  test("shares that leave a split empty, or that cannot be read", async () => {
    const split = (shares: string) => ["validate", "--data", good.annotations, "--output", fresh(), "--split", shares];
    expect(await refuses(split("train:0.98,val:0.02"))).toContain("Split val would be empty: 6 images are too few");
    expect(await refuses(split("train:0.98,val"))).toContain('cannot read "val". Write for example');
    expect(await refuses(split("train:0.5,val:0.4"))).toContain("they sum to 0.9, expected 1.");
  });

  test("validation findings are kept beside the refusal, the source untouched", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations[3]!["category_id"] = 99;
    });
    const before = await readFile(annotations, "utf8");
    const output = fresh();
    const result = await runSeg("validate", "--data", annotations, "--output", output, "--split", "train:0.5,val:0.5");
    failure(result);
    // No split: what cannot be trained on is shown, not divided.
    expect(readdirSync(output).sort()).toEqual(["findings.png", "preview.png", "validation.html", "validation.json"]);
    expect(JSON.parse(await readFile(join(output, "validation.json"), "utf8"))).toMatchObject({
      ok: false,
      split: null,
    });
    expect(await readFile(annotations, "utf8")).toBe(before);
  });
});

describe("data that are odd but usable", () => {
  test("a box without area is named, dropped from the splits and logged", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations[4]!["bbox"] = [10, 10, 0, 20];
      delete d.annotations[4]!["segmentation"];
    });
    const before = await readFile(annotations, "utf8");
    const output = fresh();
    const { code, stdout, stderr } = await runSeg(
      ...["validate", "--data", annotations, "--output", output, "--split", "train:0.5,val:0.5"],
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/warn {2}zero_area \(1\): .*annotation 5 in scene-2\.jpg/);
    expect(stdout).toContain("repaired    annotation 5 of scene-2.jpg: zero_area, dropped");
    const parts = await Promise.all(
      ["train", "val"].map(async (name) => JSON.parse(await readFile(join(output, `${name}.json`), "utf8"))),
    );
    const ids = parts.flatMap((part) => part.annotations.map((a: { id: number }) => a.id)).sort((a, b) => a - b);
    expect(ids).toEqual([1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]);
    const patch = (await readFile(join(output, "patch.jsonl"), "utf8")).trimEnd().split("\n");
    expect(patch.map((line) => JSON.parse(line))).toMatchObject([{ id: 5, field: null, code: "zero_area" }]);
    expect(await readFile(annotations, "utf8")).toBe(before);
  });

  test("without a split nothing is claimed to be repaired, without a folder nothing to be written", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations[4]!["bbox"] = [10, 10, 0, 20];
      delete d.annotations[4]!["segmentation"];
    });
    const before = snapshot(root);
    const plain = await runSeg("validate", "--data", annotations);
    expect(plain.stdout).toContain("repairable  annotation 5 of scene-2.jpg");
    const split = await runSeg("validate", "--data", annotations, "--split", "train:0.5,val:0.5");
    expect(split.stdout).toContain("written     nothing: give --output FOLDER to keep the splits");
    expect([plain.code, split.code]).toEqual([0, 0]);
    expect(snapshot(root)).toEqual(before);
  });

  test("a category that never occurs is a warning", async () => {
    const { annotations } = await dataset((d) => {
      d.categories.push({ id: 9, name: "ghost" });
    });
    const { code, stdout, stderr } = await runSeg("validate", "--data", annotations);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("warn  zero_instances (1): Categories that never occur cannot be learned: ghost.");
  });

  test("an image without annotations counts as a negative", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations = d.annotations.filter((a) => a["image_id"] !== 2);
    });
    const { code, stdout, stderr } = await runSeg("validate", "--data", annotations);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("negatives 1;");
    expect(stdout).toMatch(/info {2}images_without_annotations \(1\): .*count as negatives: scene-1\.jpg/);
  });

  test("a picture that EXIF turns upright is no size mismatch", async () => {
    const { annotations, images } = await dataset((d) => {
      Object.assign(d.images[1]!, { width: HEIGHT, height: WIDTH });
      for (const a of d.annotations.filter((a) => a["image_id"] === 2)) {
        a["bbox"] = [5, 5, 20, 20];
        delete a["segmentation"];
      }
    });
    const file = join(images, "scene-1.jpg");
    expect(failure(await runSeg("validate", "--data", annotations))).toContain("scene-1.jpg is 96x64, the document");
    const turned = await sharp(file).withMetadata({ orientation: 6 }).toBuffer();
    await writeFile(file, turned);
    expect((await runSeg("validate", "--data", annotations)).code).toBe(0);
  });
});

describe("image files", () => {
  const damages: [name: string, damage: (file: string) => Promise<void>, asValidated: RegExp, asTrained: RegExp][] = [
    [
      "missing",
      (file) => rm(file),
      /Image files are not in \S+images: scene-2\.jpg\. Restore the file/,
      /Image files are not in \S+images: scene-2\.jpg\. Restore the file/,
    ],
    [
      "empty",
      (file) => writeFile(file, ""),
      /cannot be decoded \(empty file\): scene-2\.jpg\. Replace the file/,
      /cannot be decoded \(empty file\): scene-2\.jpg\. Replace the file/,
    ],
    [
      "truncated",
      (file) => truncate(file, 600),
      /cannot be decoded \(damaged or cut off\): scene-2\.jpg\. Replace the file/,
      /Cannot decode \S+scene-2\.jpg: .*premature end.* Or leave it out with --on-bad-image skip\.$/,
    ],
    [
      "no image at all",
      (file) => writeFile(file, "not an image"),
      /cannot be decoded \(no image that can be read\): scene-2\.jpg\. Replace the file/,
      /Cannot decode \S+scene-2\.jpg: .* Or leave it out with --on-bad-image skip\.$/,
    ],
    [
      "of another size",
      async (file) => writeFile(file, await sharp(file).resize(100, 64, { fit: "fill" }).toBuffer()),
      /scene-2\.jpg is 100x64, the document says 96x64\): scene-2\.jpg\. Correct width and height/,
      /scene-2\.jpg decodes to 100 x 64 px, but its annotations are for 96 x 64\. Correct .* --on-bad-image skip\.$/,
    ],
  ];
  test.each(damages)("%s: refused by name", async (_name, damage, asValidated, asTrained) => {
    const { annotations, images } = await dataset();
    await damage(join(images, "scene-2.jpg"));
    expect(await refuses(["validate", "--data", annotations])).toMatch(asValidated);
    expect(await refuses(training(annotations))).toMatch(asTrained);
  });

  test("with --on-bad-image skip training leaves them out by name, and export goes on", async () => {
    const { annotations, images } = await dataset();
    await rm(join(images, "scene-1.jpg"));
    await truncate(join(images, "scene-2.jpg"), 600);
    const output = fresh();
    const trained = await runSeg(...training(annotations, "--on-bad-image", "skip", "--output", output));
    expect(trained.code).toBe(0);
    const left = trained.stdout.split("\n").filter((line) => line.startsWith("warning: Left out "));
    expect(left.map((line) => /scene-\d\.jpg/.exec(line)?.[0])).toEqual(["scene-1.jpg", "scene-2.jpg"]);
    expect(existsSync(join(output, "weights", "student.safetensors"))).toBe(true);
    const exported = await runSeg("optimize", "--model", output, "--threads", "1", "--quantize", "none");
    expect(exported.code).toBe(0);
    expect(exported.stdout.match(/warning: not used for calibration: .*scene-[12]\.jpg/g)).toHaveLength(2);
  });

  test("a folder without any of the images", async () => {
    expect(await refuses(["validate", "--data", good.annotations, "--images", join(root, "elsewhere")])).toMatch(
      /No image of \S+annotations\.json was found in \S+elsewhere .* Give the folder with --images DIR\.$/,
    );
  });
});
