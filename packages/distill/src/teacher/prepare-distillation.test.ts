import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CocoDataset, inspectDataset } from "@seg/coco-dataset";
import { decodeImage } from "@seg/preprocess";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { boxTeacher, colourFeatures, fingerprint, type Known, oracle } from "../../test/fake-teachers.js";
import { writeSyntheticSet } from "../../test/synthetic.js";
import { annotationBox } from "../annotation-box.js";
import type { StudentData } from "../train-config.js";
import { mergeUnlabelled } from "./merge-unlabelled.js";
import { type NotedAnnotation, prepareDistillation } from "./prepare-distillation.js";

let dir: string;
let labelled: CocoDataset;
let more: CocoDataset;
const known = new Map<number, Known[]>();
/** What the teachers know of a set. */
async function learn({ images, annotations }: CocoDataset, folder: string): Promise<void> {
  for (const image of images) {
    const list = annotations.filter(({ image_id }) => image_id === image.id);
    const objects = list.map((a) => ({ box: annotationBox(a, image)!, classId: a.category_id === 4 ? 0 : 1 }));
    known.set(fingerprint(await decodeImage(join(folder, image.file_name))), objects);
  }
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "seg-prepare-"));
  labelled = await writeSyntheticSet({ dir, count: 3, side: 64, seed: 1, masks: false });
  more = await writeSyntheticSet({ dir, count: 2, side: 64, seed: 2 });
  for (const dataset of [labelled, more]) await learn(dataset, dir);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const data = () => ({ dataset: labelled, imagesDir: dir });
const teachers = () => ({ detector: oracle({ known, classes: 2 }), masks: boxTeacher() });

describe("mergeUnlabelled", () => {
  test("drops annotations, renumbers images that collide, keeps names that can be found", () => {
    const merged = mergeUnlabelled(data(), { dataset: more, imagesDir: join(dir, "..", "elsewhere") });
    expect(merged.dataset.images.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5]);
    expect([...merged.unlabelled]).toEqual([4, 5]);
    expect(merged.dataset.annotations).toHaveLength(6);
    expect(join(dir, merged.dataset.images[3]!.file_name)).toBe(
      join(dir, "..", "elsewhere", more.images[0]!.file_name),
    );
  });
  test("a set without annotations is unlabelled itself", () => {
    const bare = { dataset: { ...labelled, annotations: [] }, imagesDir: dir };
    expect([...mergeUnlabelled(bare, null).unlabelled]).toEqual([1, 2, 3]);
  });
});

describe("prepareDistillation", () => {
  test("labels are confirmed, unlabelled images named, everything is cut out; a second call asks nothing", async () => {
    const input = { train: data(), unlabelled: { dataset: more, imagesDir: dir }, dir: join(dir, "cache") };
    const first = teachers();
    const result = await prepareDistillation({ ...input, teachers: { ...first, features: colourFeatures(8) } });
    expect(result.counts).toEqual({
      ...{ images: 5, unlabelled: 2, matched: 6, pseudo: 4, ignored: 0, masks: 10, featureMaps: 1 },
    });
    expect([first.detector.calls, first.masks.calls]).toEqual([5, 5]);
    const added = result.data.dataset.annotations.slice(6) as NotedAnnotation[];
    expect(added.map(({ image_id, seg_teacher }) => [image_id, seg_teacher!.use])).toEqual([
      [4, "label"],
      [4, "label"],
      [5, "label"],
      [5, "label"],
    ]);
    // Boxes and masks of the added labels are what the teachers said: the box, filled.
    const [w, h] = added[0]!.bbox!.slice(2) as [number, number];
    expect(Math.abs(added[0]!.area! - w * h) / (w * h)).toBeLessThan(0.15);
    expect(inspectDataset(result.data.dataset).counts.rle).toBe(4);
    // Six matches calibrate nothing: a raw score is no weight. The label is the detection and is not taught twice.
    expect(added[0]!.seg_teacher!.weight).toBe(1);
    expect(added[0]!.seg_teacher!.score).toBeLessThan(1);
    expect([result.detection(added[0]!.id), result.detection(1)!.classId]).toEqual([null, expect.any(Number)]);
    expect(result.mask(1)!.side).toBe(32);
    expect([result.hasMask(1), result.hasMask(999), result.mask(999), result.detection(999)]).toEqual([
      ...[true, false, null, null],
    ]);
    expect(result.features(1)[0]!.channels).toBe(3);
    expect(result.featureChannels).toEqual(new Map([[8, 3]]));
    result.close();

    const second = teachers();
    const again = await prepareDistillation({ ...input, teachers: { ...second, features: colourFeatures(8) } });
    expect([second.detector.calls, second.masks.calls, again.hash]).toEqual([0, 0, result.hash]);
    again.close();
  });

  test("complete annotations get no labels, incomplete ones what is missing", async () => {
    const half = { ...labelled, annotations: labelled.annotations.filter((_, i) => i % 2 === 0) };
    const run = (exhaustive: boolean) =>
      prepareDistillation({
        ...{ teachers: teachers(), train: { dataset: half, imagesDir: dir }, dir: join(dir, `half-${exhaustive}`) },
        exhaustive,
      });
    expect((await run(true)).counts).toMatchObject({ matched: 3, pseudo: 0, ignored: 0 });
    expect((await run(false)).counts).toMatchObject({ matched: 3, pseudo: 3, ignored: 0 });
  });

  test("doubtful detections become regions to ignore, not labels", async () => {
    const train = { dataset: { ...labelled, annotations: [] }, imagesDir: dir };
    const run = (confidence: number) => {
      const detector = oracle({ known, classes: 2, confidence });
      return prepareDistillation({ teachers: { detector }, train, dir: join(dir, `doubt${confidence}`) });
    };
    // Scores of .38 and .27 beside the .35 from which raw ones count.
    expect((await run(-0.5)).counts).toMatchObject({ pseudo: 6, ignored: 0, masks: 0 });
    const { data: result, counts } = await run(-1);
    expect(counts).toMatchObject({ pseudo: 0, ignored: 6, masks: 0 });
    expect(result.dataset.annotations.every(({ iscrowd }) => iscrowd === 1)).toBe(true);
  });

  test("thresholds are swept on the annotated images, and stay the usual ones where there are too few", async () => {
    mkdirSync(join(dir, "many"));
    const many = await writeSyntheticSet({ dir: join(dir, "many"), count: 12, side: 64, seed: 3 });
    await learn(many, join(dir, "many"));
    const run = (train: StudentData, name: string) =>
      prepareDistillation({
        ...{ teachers: { detector: oracle({ known, classes: 2 }) }, train, dir: join(dir, name) },
        unlabelled: { dataset: more, imagesDir: dir },
        pseudoScore: "sweep",
      });
    const swept = await run({ dataset: many, imagesDir: join(dir, "many") }, "sweep");
    expect(swept.thresholds!.map(({ sweptOn, f1 }) => [sweptOn === "none", f1])).toEqual([
      [false, 1],
      [false, 1],
    ]);
    expect(swept.counts).toMatchObject({ matched: 24, pseudo: 4 });
    // Calibrated scores are the weights.
    const notes = (swept.data.dataset.annotations as NotedAnnotation[]).flatMap(({ seg_teacher }) => seg_teacher ?? []);
    expect(notes.map(({ weight }) => weight)).toEqual(notes.map(({ score }) => score));
    const few = await run(data(), "sweep-few");
    expect(few.thresholds).toEqual(Array.from({ length: 2 }, () => ({ score: 0.35, f1: 0, sweptOn: "none" })));
  });

  test("without a detector there are masks of the annotations, and images without any are not asked about", async () => {
    const masks = boxTeacher();
    const [first] = labelled.images;
    const dataset = { ...labelled, annotations: labelled.annotations.filter(({ image_id }) => image_id === first!.id) };
    const train = { dataset, imagesDir: dir };
    const { counts, calibration } = await prepareDistillation({ teachers: { masks }, train, dir: join(dir, "masks") });
    expect([masks.calls, counts.masks, calibration]).toEqual([1, 2, null]);
  });

  test("a mask teacher that answers for other boxes is named", async () => {
    const masks = {
      ...boxTeacher(),
      predict: async () => ({ ...(await boxTeacher().predict({} as never, [])), iou: [1] }),
    };
    const run = prepareDistillation({ teachers: { masks }, train: data(), dir: join(dir, "wrong") });
    await expect(run).rejects.toThrow(/Teacher "boxes" returned 0 masks of side 32 for 2 boxes/);
  });
});
