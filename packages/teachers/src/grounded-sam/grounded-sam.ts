import { type Box, boxIou, type ClassMapping, mask as maskAlgebra, type RgbImage, type Rle } from "@seg/coco-dataset";
import { samMaskToImage } from "@seg/preprocess";
import type { BackboneMap, TextLogits } from "../grounding-dino/teacher.js";
import { embeddingSide } from "../sam/config.js";
import { encodeImageOnce, predictInstanceMasks } from "../sam/predict.js";
import type { Sam } from "../sam/sam.js";
import type { SamZoom } from "../sam/zoom.js";
import type { SamSource, TextDetector } from "./detector.js";

/** One object that was found and cut out. */
export interface GroundedInstance {
  /** Index in the class mapping. */
  readonly classId: number;
  /** xyxy in pixels of the image, inside it. */
  readonly box: Box;
  /** Probability of the class, in [0, 1]. */
  readonly score: number;
  /** Logits of all classes, [C]. */
  readonly classLogits: Float32Array;
  /** In the size of the image. */
  readonly mask: Rle;
  /** SAM's logits over its padded model image, [side, side], row-major; 256 for published networks, finer with `zoom`. */
  readonly maskLogits: Float32Array;
  /** SAM's own estimate. */
  readonly predictedIou: number;
}

/** Result of {@link GroundedSam.predict}. */
export interface GroundedPrediction {
  /** Descending score; ties in the detector's order. */
  readonly instances: readonly GroundedInstance[];
  /** Side of `maskLogits`. */
  readonly maskSide: number;
  /** Null unless asked for. */
  readonly dinoFeatures: readonly BackboneMap[] | null;
  /** Image embedding; null unless asked for, and when nothing was found: SAM does not run then. */
  readonly samFeatures: BackboneMap | null;
}

/** Settings of {@link GroundedSam.predict}. */
export interface GroundedSamOptions {
  /** Which classes, under which words. */
  readonly classMapping: ClassMapping;
  /** @defaultValue 0.35 */
  readonly boxThreshold?: number;
  /**
   * `joint`: one caption of all classes, which compete. `per_class`: one run of the detector per class, each blind to the others; a query then makes one instance per
   * class that passes the threshold. @defaultValue "joint"
   */
  readonly prompting?: "joint" | "per_class";
  /** @defaultValue 300 */
  readonly maxDetections?: number;
  /** Greedy suppression within a class above this IoU; null keeps all. @defaultValue null */
  readonly nmsIou?: number | null;
  /** Also return the features of both networks. @defaultValue false */
  readonly features?: boolean;
  readonly signal?: AbortSignal;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

interface Candidate {
  readonly classId: number;
  readonly box: Box;
  readonly score: number;
  readonly classLogits: Float32Array;
}

/** Words to boxes to masks: a text detector finds objects, SAM cuts each out of the picture. */
export class GroundedSam {
  readonly #detector: TextDetector;
  readonly #sam: SamSource;
  readonly #multimask: boolean;
  readonly #zoom: SamZoom | null;

  /**
   * @param sam - the network, or where it comes from; it is asked for only when the detector has found something, and the detector has ended by then
   * @param multimask - take the best of SAM's three masks by its own estimate. The small synthetic SAM learnt its single mask only: pass false. @defaultValue true
   * @param zoom - show SAM each object in a window of its own, as its adapter was trained. @defaultValue null
   */
  constructor({
    detector,
    sam,
    multimask = true,
    zoom = null,
  }: {
    readonly detector: TextDetector;
    readonly sam: Sam | SamSource;
    readonly multimask?: boolean;
    readonly zoom?: SamZoom | null;
  }) {
    this.#detector = detector;
    this.#sam = "use" in sam ? sam : { config: sam.config, use: (work) => work(sam) };
    this.#multimask = multimask;
    this.#zoom = zoom;
  }

  /** @throws as the detector; RangeError for a mapping without classes; the abort of the signal */
  async predict(
    image: RgbImage,
    {
      classMapping,
      boxThreshold = 0.35,
      prompting = "joint",
      maxDetections = 300,
      nmsIou = null,
      features = false,
      signal,
    }: GroundedSamOptions,
  ): Promise<GroundedPrediction> {
    const names = classMapping.classes.toSorted((a, b) => a.index - b.index).map(({ name }) => name);
    if (names.length === 0) throw new RangeError("The class mapping has no classes: there is nothing to look for.");
    signal?.throwIfAborted();
    let candidates: Candidate[] = [];
    if (prompting === "joint") candidates = bestClasses(await this.#detector.logits(image, { classes: names }));
    else {
      for (const [classId, name] of names.entries()) {
        signal?.throwIfAborted();
        candidates.push(...ofClass(await this.#detector.logits(image, { classes: [name] }), classId, names.length));
      }
    }
    const kept = select(candidates, image, { boxThreshold, maxDetections, nmsIou });
    const grid = embeddingSide(this.#sam.config);
    const dinoFeatures = features ? await this.#detector.features(image) : null;
    if (kept.length === 0) return { instances: [], maskSide: 4 * grid, dinoFeatures, samFeatures: null };

    signal?.throwIfAborted();
    return this.#sam.use((sam) => this.#cutOut(sam, image, kept, { features, dinoFeatures }));
  }

  /** A mask for each box. */
  async #cutOut(
    sam: Sam,
    image: RgbImage,
    kept: readonly Candidate[],
    { features, dinoFeatures }: { features: boolean; dinoFeatures: readonly BackboneMap[] | null },
  ): Promise<GroundedPrediction> {
    // With windows the whole image may not be needed.
    const embedding = features || this.#zoom === null ? await encodeImageOnce(sam, image) : null;
    const boxes = kept.map(({ box }) => box);
    const {
      logits,
      iou,
      geometry,
      side: maskSide,
    } = await predictInstanceMasks({
      ...{ sam, image, boxes, multimask: this.#multimask, zoom: this.#zoom },
      ...(embedding && { embedding }),
    });
    const instances = kept.map((candidate, i): GroundedInstance => {
      const soft = samMaskToImage(logits[i]!, maskSide, geometry);
      const bitmap = Uint8Array.from(soft, (value) => Number(value > 0));
      const mask = maskAlgebra.encode(bitmap, image.height, image.width);
      return { ...candidate, mask, maskLogits: logits[i]!, predictedIou: iou[i]! };
    });
    const grid = embeddingSide(sam.config);
    const shape = [grid, grid, sam.config.vision.outputChannels] as const;
    const samFeatures = features ? { shape, data: embedding! } : null;
    return { instances, maskSide, dinoFeatures, samFeatures };
  }
}

/** Each box as its best class. */
function bestClasses({ boxes, logits, classes }: TextLogits): Candidate[] {
  return boxes.map((box, i) => {
    const classLogits = logits.slice(i * classes, (i + 1) * classes);
    let classId = 0;
    for (let c = 1; c < classes; c++) if (classLogits[c]! > classLogits[classId]!) classId = c;
    return { classId, box, score: sigmoid(classLogits[classId]!), classLogits };
  });
}

/** Boxes of a run about one class; of the other classes nothing is known. */
function ofClass({ boxes, logits }: TextLogits, classId: number, classes: number): Candidate[] {
  return boxes.map((box, i) => {
    const classLogits = new Float32Array(classes).fill(Number.NEGATIVE_INFINITY);
    classLogits[classId] = logits[i]!;
    return { classId, box, score: sigmoid(logits[i]!), classLogits };
  });
}

/** Above the threshold, inside the image, best first, without what overlaps a better one of its class. */
function select(
  candidates: readonly Candidate[],
  { width, height }: RgbImage,
  { boxThreshold, maxDetections, nmsIou }: { boxThreshold: number; maxDetections: number; nmsIou: number | null },
): Candidate[] {
  const clip = (value: number, most: number): number => Math.min(Math.max(value, 0), most);
  const inside = candidates
    .filter(({ score }) => score > boxThreshold)
    .map((candidate) => {
      const [x1, y1, x2, y2] = candidate.box;
      const box: Box = [clip(x1, width), clip(y1, height), clip(x2, width), clip(y2, height)];
      return { ...candidate, box };
    })
    .filter(({ box }) => box[2] > box[0] && box[3] > box[1])
    .sort((a, b) => b.score - a.score);
  const kept: Candidate[] = [];
  for (const candidate of inside) {
    if (kept.length === maxDetections) break;
    const isRepeated =
      nmsIou !== null &&
      kept.some(({ classId, box }) => classId === candidate.classId && boxIou(box, candidate.box) > nmsIou);
    if (!isRepeated) kept.push(candidate);
  }
  return kept;
}
