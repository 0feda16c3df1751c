import {
  type CocoDataset,
  CocoError,
  type CocoResult,
  completeDataset,
  computeStatistics,
  confusionMatrix,
  errorBreakdown,
  evaluate,
  fixDataset,
  formatSummary,
  inspectDataset,
  loadDataset,
  lvisEvaluate,
  mask,
  resultFindings,
  splitDataset,
  ultralyticsMetrics,
  validateDataset,
} from "@seg/coco-dataset";
import type { Fuzzer, FuzzRandom, Outcome } from "./fuzzer.js";

/** Values that files hold where others are meant. */
const ODD: readonly unknown[] = [
  null,
  undefined,
  0,
  -1,
  1,
  0.5,
  1e9,
  -1e300,
  2 ** 31,
  2 ** 53,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  "",
  "7",
  "ä😀",
  true,
  [],
  [[]],
  {},
  [null],
  ["a"],
  { size: [3, 4], counts: "057" },
  { size: [4, 3], counts: [12] },
  { size: [1e9, 1e9], counts: [1] },
  { size: [3, 4], counts: [3, -3, 12] },
  [[0, 0, 3, 0, 3, 3]],
  [[1e8, 0, 3, 0, 3, 3]],
  "__proto__",
];

/** COCO reading, checking, repairing, splitting, masks and metrics. */
export const coco: Fuzzer = async (random) => {
  try {
    await random.pick([brokenText, oddDocument, oddDocument, oddMask, oddResults])(random);
    return "accepted";
  } catch (error) {
    if (CocoError.isInstance(error) && String((error as CocoError).code).startsWith("coco/"))
      return "refused" satisfies Outcome;
    throw error;
  }
};

function document(random: FuzzRandom, oddness: number): CocoDataset {
  const odd = <T>(value: T): T => (random.chance(oddness) ? (random.pick(ODD) as T) : value);
  const images = Array.from({ length: random.below(6) }, (_, i) =>
    odd({
      id: odd(i + 1),
      width: odd(4 + random.below(40)),
      height: odd(3 + random.below(40)),
      file_name: odd(`${i}.jpg`),
      video: odd(i >> 1),
    }),
  );
  const categories = Array.from({ length: random.below(4) }, (_, i) =>
    odd({ id: odd(i + random.below(2)), name: odd(`class ${i}`) }),
  );
  const number = () => odd(random.below(400) / 10 - 5);
  const annotations = Array.from({ length: random.below(9) }, (_, i) =>
    odd({
      id: odd(i + 1),
      image_id: odd(1 + random.below(5)),
      category_id: odd(random.below(4)),
      ...(random.chance(0.8) ? { bbox: odd([number(), number(), number(), number()]) } : {}),
      ...(random.chance(0.5) ? { segmentation: segmentation(random, odd) } : {}),
      ...(random.chance(0.5) ? { area: number() } : {}),
      ...(random.chance(0.5) ? { iscrowd: odd(random.below(2)) } : {}),
      ...(random.chance(0.1) ? { keypoints: odd([1, 1, 2]) } : {}),
    }),
  );
  return { images: odd(images), categories: odd(categories), annotations: odd(annotations) } as unknown as CocoDataset;
}

function segmentation(random: FuzzRandom, odd: <T>(value: T) => T): unknown {
  if (random.chance(0.3)) {
    return odd({
      size: [odd(3 + random.below(5)), odd(4)],
      counts: odd(random.chance(0.5) ? text(random) : [random.below(20), random.below(20)]),
    });
  }
  return odd(
    Array.from({ length: 1 + random.below(3) }, () =>
      odd(Array.from({ length: 2 * (2 + random.below(6)) }, () => odd(random.below(600) / 10 - 10))),
    ),
  );
}

function text(random: FuzzRandom): string {
  return String.fromCharCode(...Array.from({ length: random.below(20) }, () => 46 + random.below(68)));
}

async function oddDocument(random: FuzzRandom): Promise<void> {
  const source = document(random, random.pick([0, 0.01, 0.05, 0.2]));
  // Validation takes any object and reports; it must refuse nothing.
  const { dataset, report } = await validateDataset(source);
  formatSummary(report);
  const loaded = await loadDataset(source);
  inspectDataset(loaded);
  completeDataset(loaded);
  fixDataset(loaded, report, { unsafe: random.chance(0.5) });
  computeStatistics(dataset);
  splitDataset(loaded, {
    seed: random.below(9),
    minPerSplit: random.below(3),
    ...(random.chance(0.3) ? { groupBy: "video" } : {}),
    ratios: random.pick(["train:0.7,val:0.15,test:0.15", "a:0.5,b:0.5", "a:1", "a:0.5", "x"]),
  });
}

async function brokenText(random: FuzzRandom): Promise<void> {
  const bytes = [...new TextEncoder().encode(JSON.stringify(document(random, 0.02)))];
  for (let edits = random.below(4); edits > 0; edits--) {
    const at = random.below(bytes.length + 1);
    const byte = random.chance(0.7) ? random.pick([...'{}[],:"\\0e-. ']).charCodeAt(0) : random.below(256);
    bytes.splice(at, random.below(3), ...(random.chance(0.6) ? [byte] : []));
  }
  await loadDataset(Uint8Array.from(bytes));
}

async function oddMask(random: FuzzRandom): Promise<void> {
  const height = random.below(9);
  const width = random.below(9);
  const read = () =>
    random.chance(0.5)
      ? mask.fromString(random.chance(0.5) ? text(random) : mask.toString(valid(random, height, width)), height, width)
      : mask.fromPolygons(
          [
            Array.from({ length: random.below(12) }, () =>
              random.chance(0.02) ? (random.pick(ODD) as number) : random.below(200) / 10 - 5,
            ),
          ],
          height,
          width,
        );
  const [a, b] = [read(), read()];
  mask.toBbox(a);
  mask.area(a);
  const pixels = mask.decode(a, { lenient: random.chance(0.2) });
  if (mask.toString(mask.encode(pixels, height, width)) === "") throw new Error("a mask without text");
  mask.iou([a], [b]);
  mask.merge([a, b], { intersect: random.chance(0.5) });
  const restored = mask.fromPolygons(mask.toPolygons(a), height, width);
  if (mask.iou([a], [restored])[0] !== (mask.area(a) === 0 ? 0 : 1)) throw new Error("toPolygons lost pixels");
}

function valid(random: FuzzRandom, height: number, width: number) {
  return mask.encode(
    Uint8Array.from({ length: height * width }, () => random.below(2)),
    height,
    width,
  );
}

async function oddResults(random: FuzzRandom): Promise<void> {
  const groundTruth = await loadDataset(document(random, 0));
  const oddness = random.pick([0, 0, 0.02, 0.2]);
  const odd = <T>(value: T): T => (random.chance(oddness) ? (random.pick(ODD) as T) : value);
  const isSegm = random.chance(0.4);
  const rows = Array.from({ length: random.below(12) }, () =>
    odd({
      image_id: odd(groundTruth.images[random.below(Math.max(1, groundTruth.images.length))]?.id ?? 1),
      category_id: odd(groundTruth.categories[random.below(Math.max(1, groundTruth.categories.length))]?.id ?? 0),
      score: odd(random.below(11) / 10),
      ...(isSegm
        ? { segmentation: segmentation(random, odd) }
        : { bbox: odd([0, 0, 10, 10].map(() => random.below(30))) }),
    }),
  ).filter((row) => typeof row === "object" && row !== null) as unknown as CocoResult[];
  resultFindings(groundTruth, rows);
  const iouType = random.pick(["bbox", "bbox", "segm", "keypoints"] as const);
  const input = { groundTruth, detections: rows };
  const { stats } = evaluate({ ...input, iouType, compat: random.pick(["pycocotools", "strict"] as const) });
  if (stats.some((value) => !(value === -1 || (value >= 0 && value <= 1))))
    throw new Error(`a statistic outside [0, 1]: ${stats}`);
  if (iouType === "keypoints") return;
  confusionMatrix({ ...input, iouType });
  errorBreakdown({ ...input, iouType });
  ultralyticsMetrics({ ...input, iouType });
  lvisEvaluate({ ...input, iouType });
}
