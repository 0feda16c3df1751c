import type { CocoDataset, CocoResult } from "../document.js";
import { EvalInputError } from "../errors.js";
import { SplitRandom } from "../split/random.js";
import { rankedHits } from "./detection-curves.js";
import { envelopeAp } from "./envelope-ap.js";
import { evaluate } from "./evaluate.js";
import { EPSILON } from "./oks.js";
import type { IouType } from "./params.js";

/** How sure a difference between two models is. */
export interface BootstrapDelta {
  /** AP of student minus teacher on all images. */
  readonly delta: number;
  readonly teacher: number;
  readonly student: number;
  /** 95 % percentile interval of the difference over the resamples. */
  readonly interval: readonly [low: number, high: number];
  /** Share of resamples in which the student is better. */
  readonly studentWins: number;
  readonly resamples: number;
  readonly seed: number | string;
}

/**
 * Difference in AP (IoU 0.5 to 0.95) of two models on the same ground truth, with the images resampled with replacement. Matches are made
 * once; a resample only weighs images, so equal scores of different images keep their order.
 *
 * @param input.resamples - @defaultValue 1000
 * @param input.seed - @defaultValue 0
 * @throws EvalInputError as `evaluate`, or when there is no ground truth
 */
export function bootstrapDelta({
  groundTruth,
  teacher,
  student,
  iouType = "bbox",
  resamples = 1000,
  seed = 0,
  signal,
}: {
  groundTruth: CocoDataset;
  teacher: readonly CocoResult[];
  student: readonly CocoResult[];
  iouType?: IouType;
  resamples?: number;
  seed?: number | string;
  signal?: AbortSignal;
}): BootstrapDelta {
  if (!(Number.isInteger(resamples) && resamples > 0)) {
    throw new EvalInputError({ subject: "params", message: `resamples is ${resamples}, expected a whole number > 0.` });
  }
  const imageIds = [...new Set(groundTruth.images.map((image) => image.id))].sort((a, b) => a - b);
  const models = [teacher, student].map((detections) => weighable(groundTruth, detections, iouType, imageIds));
  const score = (weights: Float64Array) => models.map((model) => weightedAp(model, weights)) as [number, number];
  const [all, allStudent] = score(new Float64Array(imageIds.length).fill(1));
  if (all < 0)
    throw new EvalInputError({ subject: "ground-truth", message: "There is no ground truth to compare with." });
  const random = new SplitRandom(seed);
  const deltas: number[] = [];
  let wins = 0;
  for (let i = 0; i < resamples; i++) {
    signal?.throwIfAborted();
    const weights = new Float64Array(imageIds.length);
    for (let draw = 0; draw < imageIds.length; draw++) weights[random.below(imageIds.length)]!++;
    const [a, b] = score(weights);
    // A resample without any ground truth says nothing.
    if (a < 0 || b < 0) continue;
    deltas.push(b - a);
    if (b > a) wins++;
  }
  deltas.sort((a, b) => a - b);
  const at = (share: number) => deltas[Math.min(deltas.length - 1, Math.floor(share * deltas.length))] ?? 0;
  return {
    delta: allStudent - all,
    teacher: all,
    student: allStudent,
    interval: [at(0.025), at(0.975)],
    studentWins: deltas.length === 0 ? 0 : wins / deltas.length,
    resamples: deltas.length,
    seed,
  };
}

interface Weighable {
  /** Per class: ground truths by image position, and per threshold the ranked detections. */
  readonly classes: readonly {
    readonly truths: Float64Array;
    readonly ranked: readonly { readonly image: Int32Array; readonly hit: Uint8Array }[];
  }[];
}

function weighable(
  groundTruth: CocoDataset,
  detections: readonly CocoResult[],
  iouType: IouType,
  imageIds: readonly number[],
): Weighable {
  const result = evaluate({ groundTruth, detections, iouType, matches: true });
  const position = new Map(imageIds.map((id, i) => [id, i]));
  return {
    classes: result.perClass.map(({ categoryId }) => {
      const matches = result.matches!.filter((cell) => cell.categoryId === categoryId);
      const truths = new Float64Array(imageIds.length);
      for (const cell of matches) {
        truths[position.get(cell.imageId)!] = cell.groundTruthIgnored.filter((isIgnored) => !isIgnored).length;
      }
      const ranked = result.params.iouThresholds.map((_, t) => {
        const list = rankedHits(matches, categoryId, t);
        return {
          image: Int32Array.from(list, ({ imageId }) => position.get(imageId)!),
          hit: Uint8Array.from(list, ({ isHit }) => Number(isHit)),
        };
      });
      return { truths, ranked };
    }),
  };
}

/** AP over classes and thresholds when image i counts weights[i] times; -1 without ground truth. */
function weightedAp({ classes }: Weighable, weights: Float64Array): number {
  let sum = 0;
  let count = 0;
  for (const { truths, ranked } of classes) {
    const total = truths.reduce((all, value, i) => all + value * weights[i]!, 0);
    if (total === 0) continue;
    for (const { image, hit } of ranked) {
      sum += weightedClassAp(image, hit, weights, total);
      count++;
    }
  }
  return count === 0 ? -1 : sum / count;
}

function weightedClassAp(image: Int32Array, hit: Uint8Array, weights: Float64Array, total: number): number {
  const recall: number[] = [];
  const precision: number[] = [];
  let found = 0;
  let seen = 0;
  for (let i = 0; i < image.length; i++) {
    const weight = weights[image[i]!]!;
    if (weight === 0) continue;
    seen += weight;
    if (hit[i] === 0) continue;
    found += weight;
    recall.push(found / total);
    precision.push(found / (seen + EPSILON));
  }
  return envelopeAp(recall, precision);
}
