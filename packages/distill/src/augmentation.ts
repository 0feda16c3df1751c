import {
  CounterRandom,
  donorsFrom,
  getAugmentationRegistry,
  type HsvRange,
  hsvJitter,
  type Pipeline,
  type PipelineResult,
  type PipelineSample,
  type PipelineSpec,
  pipelineFromConfig,
  type SampleSource,
} from "@seg/augment";
import { ConfigError } from "./errors.js";

/** Level of what no picture covers, as in deployment's letterbox. */
const FILL = 114;

/** The usual augmentation of students: mixing, one affine map, flips, colour gains. */
export interface StudentAugmentation {
  /** Probability. @defaultValue 0.5 */
  readonly mosaic?: number;
  /** Probability. @defaultValue 0.1 */
  readonly mixup?: number;
  /** Probability; needs masks. @defaultValue 0.15 */
  readonly copyPaste?: number;
  /** Gain is uniform in [1 - scale, 1 + scale]. @defaultValue 0.5 */
  readonly scale?: number;
  /** Shift is uniform in [-translate, translate] of the side. @defaultValue 0.1 */
  readonly translate?: number;
  /** Probability. @defaultValue 0.5 */
  readonly fliplr?: number;
  /** Probability. @defaultValue 0 */
  readonly flipud?: number;
  /** Ranges of the colour gains; false leaves colours alone. @defaultValue 0.015, 0.7, 0.4 */
  readonly hsv?: HsvRange | false;
}

/** What changes training pictures: the usual settings, or words about the objects for the registry of @seg/augment. */
export type Augmentation =
  | StudentAugmentation
  | Pick<PipelineSpec, "characteristics" | "environment" | "intensity" | "facts" | "overrides" | "distillation">;

const isSpec = (value: Augmentation): value is Extract<Augmentation, { characteristics: unknown }> =>
  "characteristics" in value;

/** Augments by index; the same index, epoch and seed give the same bytes. */
export interface Augmenter {
  /**
   * @param epoch - key of the draws, from 0
   * @param isOpen - whether pictures may be mixed; off in the last epochs, so that training ends on real scenes
   */
  run(index: number, options: { epoch: number; isOpen: boolean }): PipelineResult;
  /** Resolved plan of the open epochs, YAML. */
  readonly yaml: string;
}

function pipelines(augmentation: Augmentation, { size, seed }: { size: number; seed: number }): [Pipeline, Pipeline] {
  const shared = {
    seed,
    fill: FILL,
    canvas: { width: size, height: size },
    instances: { bboxFormat: "xyxy" as const },
    // A set of one image has no donors.
    strict: false,
  };
  if (isSpec(augmentation)) {
    const { distillation = true, ...words } = augmentation;
    const registry = getAugmentationRegistry();
    const of = (mixing: typeof distillation) =>
      registry.getPipeline({ ...words, ...shared, stage: "distill", distillation: mixing });
    return [of(distillation), of(false)];
  }
  const {
    mosaic = 0.5,
    mixup = 0.1,
    copyPaste = 0.15,
    scale = 0.5,
    translate = 0.1,
    fliplr = 0.5,
    flipud = 0,
  } = augmentation;
  for (const [name, p] of Object.entries({ mosaic, mixup, copyPaste, fliplr, flipud, translate })) {
    if (!(p >= 0 && p <= 1))
      throw new ConfigError({ field: `augment.${name}`, expected: "a number in [0, 1]", actual: p });
  }
  if (!(scale >= 0 && scale < 1))
    throw new ConfigError({ field: "augment.scale", expected: "a number in [0, 1)", actual: scale });
  const of = (distillation: false | object) =>
    pipelineFromConfig({
      ...shared,
      schemaVersion: 1,
      transforms: [
        {
          type: "Affine",
          p: 1,
          scale: [1 - scale, 1 + scale],
          translateFrac: [-translate, translate],
          keepRatio: true,
          balancedScale: false,
        },
        { type: "HorizontalFlip", p: fliplr },
        { type: "VerticalFlip", p: flipud },
      ],
      distillation,
    });
  // Without a number of epochs the plan never closes by itself: its own rule knows nothing of a longer end.
  const mixing = mosaic + mixup + copyPaste > 0 ? { mosaic, mixup, copy_paste: copyPaste } : false;
  return [of(mixing), of(false)];
}

/**
 * The augmentation of a training set through the pipelines of @seg/augment, which name every source picture and its map to the result.
 *
 * @param source - pictures of about `size` px
 * @throws ConfigError, and the errors of the pipelines
 */
export function createAugmenter(
  augmentation: Augmentation,
  { source, size, seed }: { source: SampleSource; size: number; seed: number },
): Augmenter {
  const [open, closed] = pipelines(augmentation, { size, seed });
  const hsv = isSpec(augmentation) ? false : (augmentation.hsv ?? {});
  const numbered = (index: number): PipelineSample => ({ ...(source.load(index) as PipelineSample), source: index });
  return {
    yaml: open.toYAML(),
    run(index, { epoch, isOpen }) {
      const key = { epoch, index, donors: donorsFrom(source, index) };
      const result = (isOpen ? open : closed).applySync(numbered(index), key);
      if (hsv === false) return result;
      // Gains, as the students' recipe has them; the registry's colour transforms add.
      const random = new CounterRandom({ seed, path: "HsvGains#0", epoch, index });
      const { width, height, data } = result.image;
      return {
        ...result,
        image: { ...result.image, data: hsvJitter({ width, height, data }, { ...hsv, random }).data },
      };
    },
  };
}
