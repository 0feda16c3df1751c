import type { Box, RgbImage } from "@seg/coco-dataset";
import { prepareGroundingDino } from "@seg/preprocess";
import { type CompiledFunction, compile, freeze } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { BatchPredictor, type ClassScore } from "./batch-predictor.js";
import type { GroundingDino } from "./grounding-dino.js";
import { loadGroundingDino } from "./load.js";
import { type GroundingDinoProcessor, loadGroundingDinoProcessor } from "./processor.js";

/** One object that the text names. */
export interface TextDetection {
  /** Position in the list of classes. */
  readonly classId: number;
  /** Pixels of the image. */
  readonly box: Box;
  /** Score of the class, in [0, 1]. */
  readonly score: number;
  /** Logit of every class; classes of other captions than the detection's are -Infinity. */
  readonly classLogits: Float32Array;
}

/** What every query says about every class, before any threshold. */
export interface TextLogits {
  /** [queries, classes]. Where the classes need several captions the queries of each follow one another; other captions' classes are -Infinity. */
  readonly logits: Float32Array;
  /** Pixels of the image, one per query. */
  readonly boxes: readonly Box[];
  readonly classes: number;
}

/** One map of the backbone, channels last, normalised. */
export interface BackboneMap {
  readonly data: Float32Array;
  /** [height, width, channels] */
  readonly shape: readonly [number, number, number];
}

/** Scores are kept off 0 and 1 by this, so that logits stay finite. */
const EDGE = 1e-7;

function logit(score: number): number {
  const p = Math.min(Math.max(score, EDGE), 1 - EDGE);
  return Math.log(p) - Math.log1p(-p);
}

/**
 * Grounding DINO with the tokenizer and picture size of its folder: images and class names in, boxes out. One graph is compiled per picture size
 * and list of classes.
 *
 * @example
 * const teacher = GroundingDinoTeacher.fromPretrained("models/grounding-dino-tiny");
 * const found = await teacher.predict(image, { classes: ["cat", "remote control"] });
 * found[0]; // { classId, box: [x1, y1, x2, y2], score, classLogits }
 */
export class GroundingDinoTeacher {
  readonly model: GroundingDino;
  readonly processor: GroundingDinoProcessor;
  readonly #predictors = new Map<string, BatchPredictor>();
  readonly #maps: CompiledFunction<[tf.Tensor], tf.Tensor[]>;

  constructor({ model, processor }: { readonly model: GroundingDino; readonly processor: GroundingDinoProcessor }) {
    this.model = model;
    this.processor = processor;
    this.#maps = compile(
      (planes: tf.Tensor) =>
        tf.tidy(() => this.model.imageMaps(tf.transpose(planes, [0, 2, 3, 1]) as tf.Tensor4D) as tf.Tensor[]),
      { name: "the backbone" },
    );
  }

  /** @throws as {@link loadGroundingDino} and {@link loadGroundingDinoProcessor} */
  static fromPretrained(directory: string): GroundingDinoTeacher {
    const processor = loadGroundingDinoProcessor(directory);
    return new GroundingDinoTeacher({ model: loadGroundingDino(directory), processor });
  }

  /**
   * Declares that the weights do not change any more: the engine builds them into its graphs after three runs. Each graph then holds its own copy,
   * so use it where few picture sizes occur.
   */
  freeze(): void {
    freeze([...this.model.namedParameters().values()].map(({ variable }) => variable));
  }

  /**
   * Objects of the named classes, best first; each query reports its best class.
   *
   * @param classes - names; lower-cased, `_`, `.`, `?` read as spaces. More than one caption holds are split over several
   * @param boxThreshold - lowest score. @defaultValue 0.35
   * @param maxDetections - @defaultValue 300
   * @param classScore - of a class from its tokens. @defaultValue "max"
   * @throws ClassNameError, PromptTooLongError
   */
  async predict(
    image: RgbImage,
    {
      classes,
      boxThreshold = 0.35,
      maxDetections = 300,
      classScore = "max",
    }: {
      readonly classes: readonly string[];
      readonly boxThreshold?: number;
      readonly maxDetections?: number;
      readonly classScore?: ClassScore;
    },
  ): Promise<TextDetection[]> {
    const { logits, boxes } = await this.logits(image, { classes, classScore });
    const count = classes.length;
    const found: TextDetection[] = [];
    for (const [query, box] of boxes.entries()) {
      const classLogits = logits.slice(query * count, (query + 1) * count);
      let classId = 0;
      for (let c = 1; c < count; c++) if (classLogits[c]! > classLogits[classId]!) classId = c;
      const score = 1 / (1 + Math.exp(-classLogits[classId]!));
      if (score > boxThreshold) found.push({ classId, box, score, classLogits });
    }
    return found.sort((a, b) => b.score - a.score).slice(0, maxDetections);
  }

  /** Class logits and box of every query. @throws ClassNameError, PromptTooLongError */
  async logits(
    image: RgbImage,
    { classes, classScore = "max" }: { readonly classes: readonly string[]; readonly classScore?: ClassScore },
  ): Promise<TextLogits> {
    const [answer] = await this.#predictor(classes, classScore).predict([image]);
    const { scores, boxes, groups } = answer!;
    const count = classes.length;
    const queries = boxes.reduce((sum, group) => sum + group.length, 0);
    const logits = new Float32Array(queries * count).fill(Number.NEGATIVE_INFINITY);
    const starts = boxes.map((_, g) => boxes.slice(0, g).reduce((sum, group) => sum + group.length, 0));
    for (const [c, row] of scores.entries()) {
      for (const [q, score] of row.entries()) logits[(starts[groups[c]!]! + q) * count + c] = logit(score);
    }
    return { logits, boxes: boxes.flat(), classes: count };
  }

  /** Backbone maps of one image, fine to coarse. They do not depend on any text. */
  async features(image: RgbImage): Promise<BackboneMap[]> {
    const { data, geometry } = prepareGroundingDino(image, this.processor.size);
    const planes = tf.tensor4d(data, [1, 3, geometry.netH, geometry.netW]);
    const maps = this.#maps(planes);
    const features: BackboneMap[] = [];
    for (const map of maps) {
      const [, height = 0, width = 0, channels = 0] = map.shape;
      features.push({ data: Float32Array.from(await map.data()), shape: [height, width, channels] });
    }
    tf.dispose([planes, ...maps]);
    return features;
  }

  /** Frees graphs and weights. */
  dispose(): void {
    for (const predictor of this.#predictors.values()) predictor.dispose();
    this.#predictors.clear();
    this.#maps.dispose();
    this.model.dispose();
  }

  #predictor(classes: readonly string[], classScore: ClassScore): BatchPredictor {
    const phrases = this.processor.phrases(classes);
    const key = `${classScore}\n${phrases.join("\n")}`;
    const known = this.#predictors.get(key);
    if (known) return known;
    const { encode, size } = this.processor;
    const predictor = new BatchPredictor({ model: this.model, phrases, encode, size, classScore });
    this.#predictors.set(key, predictor);
    return predictor;
  }
}
