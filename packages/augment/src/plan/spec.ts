import { z } from "zod";
import { parseConfig } from "../core/parse-config.js";
import { type FillColor, fillColor, integer, number, probability } from "../core/schemas.js";
import { AugmentConfigError } from "../errors.js";
import type { Border } from "../kernels/kernels.js";
import type { InstanceRules } from "../pipeline/types.js";
import type { Intensity } from "./profile.js";

/** Mixing with other samples, while a student is trained. */
export interface DistillConfig {
  /** Probability. @defaultValue 0.5 */
  readonly mosaic?: number;
  /** Probability. @defaultValue 0.1 */
  readonly mixup?: number;
  /** Probability. @defaultValue 0.15 */
  readonly copy_paste?: number;
  /** Length of the training; without it mosaics never stop (and a warning says so). */
  readonly epochs?: number;
  /** @defaultValue 10 */
  readonly closeMosaic?: number;
  /** Replace RandomScale by ratios of 0.5..1.5, 0.3..1.7 or 0.1..2. @defaultValue false */
  readonly largeScaleJitter?: boolean;
  /** How many instances one copy_paste tries, at most 100. @defaultValue [1, 5] */
  readonly pastes?: readonly [number, number];
  /** Pixels; 0 is a hard edge. @defaultValue 0 */
  readonly seamSigma?: number;
  /** Mixed-up instances carry r and 1 - r. @defaultValue false */
  readonly weighted?: boolean;
  /** May a pasted instance be mirrored? Never where flips are vetoed. @defaultValue true */
  readonly flip?: boolean;
  /** `single-map`: the student learns one class map per picture, which mixup cannot give. @defaultValue "instances" */
  readonly masks?: "instances" | "single-map";
}

/** A transform by name with its parameters; absent parameters keep what the plan has. */
export interface TransformConfig {
  readonly type: string;
  /** Probability. */
  readonly p?: number;
  /** false takes the transform out. */
  readonly enabled?: boolean;
  readonly [parameter: string]: unknown;
}

/** What the data says; each narrows or widens the plan. */
export interface Facts {
  readonly smallObjects?: boolean;
  readonly thinObjects?: boolean;
  readonly rigid?: boolean;
  readonly colourCritical?: boolean;
  readonly chirality?: boolean;
  readonly orientationFree?: boolean;
  readonly [fact: string]: boolean | undefined;
}

/**
 * What a pipeline is made from: characteristics of the objects, environment, intensity, seed. Also the content of
 * `augment.yaml`.
 */
export interface PipelineSpec {
  readonly characteristics: readonly string[];
  readonly environment?: {
    readonly lighting?: string;
    readonly camera?: string;
    readonly background?: string;
    readonly distance?: string;
  };
  /** @defaultValue "medium" */
  readonly intensity?: Intensity;
  /** Mixing is for `distill` only. */
  readonly stage?: "teacher" | "distill";
  /** @defaultValue false */
  readonly distillation?: boolean | DistillConfig;
  readonly facts?: Facts;
  /** Size of the results; other pictures are letterboxed onto it. @defaultValue the input's size */
  readonly canvas?: { readonly width: number; readonly height: number };
  /** Level of what no picture covers, one or one per channel. @defaultValue 0, around mosaics 114 */
  readonly fill?: FillColor;
  /** `reflect` and `wrap` only without annotations: they would repeat objects without labels. @defaultValue "constant" */
  readonly border?: Border;
  /** Integer in [0, 2^53). @defaultValue 0 */
  readonly seed?: number;
  readonly overrides?: readonly TransformConfig[];
  readonly instances?: Partial<InstanceRules>;
  /** HorizontalFlip, RandomBrightnessContrast and Affine for everyone. @defaultValue true */
  readonly base?: boolean;
  /** Unknown names and missing donors throw. @defaultValue true */
  readonly strict?: boolean;
}

const side = integer(1, 32000);
const seed = integer(0, 2 ** 53 - 1);
const intensity = z.enum(["low", "medium", "high"], { error: 'expected "low", "medium" or "high"' });
const border = z.enum(["constant", "replicate", "reflect", "wrap"]);
const canvas = z.strictObject({ width: side, height: side });

export const instanceSchema = z.strictObject({
  minVisibility: number(0, 1).optional(),
  minWidth: number(0).optional(),
  minHeight: number(0).optional(),
  minArea: number(0).optional(),
  maxAspect: number(1).optional(),
  boxFromMask: z.boolean().optional(),
  boxMethod: z.enum(["corners", "ellipse"]).optional(),
  onInvalid: z.enum(["clip", "drop", "throw"]).optional(),
  bboxFormat: z.enum(["coco", "xyxy", "yolo", "normalized"]).optional(),
  keypointConvention: z.enum(["pixel-index", "continuous"]).optional(),
  flipIdx: z
    .array(integer(0))
    .refine((list) => [...list].sort((a, b) => a - b).every((v, i) => v === i), {
      error: "expected a permutation of 0..n-1",
    })
    .optional(),
  visibilityByMaskOnly: z.boolean().optional(),
});

export const distillSchema = z.strictObject({
  mosaic: probability.optional(),
  mixup: probability.optional(),
  copy_paste: probability.optional(),
  epochs: integer(1).optional(),
  closeMosaic: integer(0).optional(),
  largeScaleJitter: z.boolean().optional(),
  pastes: z
    .tuple([integer(0, 100), integer(0, 100)])
    .refine(([low, high]) => low <= high, { error: "expected [low, high] with low <= high" })
    .readonly()
    .optional(),
  seamSigma: number(0, 10).optional(),
  weighted: z.boolean().optional(),
  flip: z.boolean().optional(),
  masks: z.enum(["instances", "single-map"]).optional(),
});

/** Parameters of a transform are checked by its own schema. */
const transformConfig = z.looseObject({
  type: z.string().min(1),
  p: probability.optional(),
  enabled: z.boolean().optional(),
});

const oneOfConfig = z.strictObject({
  oneOf: z.array(transformConfig).min(1),
  p: probability,
  /** Name of the random stream. */
  group: z.string().min(1).optional(),
});

const shared = {
  stage: z.enum(["teacher", "distill"]).optional(),
  distillation: z.union([z.boolean(), distillSchema]).optional(),
  canvas: canvas.optional(),
  fill: fillColor.optional(),
  border: border.optional(),
  seed: seed.optional(),
  instances: instanceSchema.optional(),
  strict: z.boolean().optional(),
};

const specSchema = z.strictObject({
  ...shared,
  characteristics: z.array(z.string()),
  // Unknown axes and values get their own error, with what is available.
  environment: z.record(z.string(), z.string().optional()).optional(),
  intensity: intensity.optional(),
  facts: z.record(z.string(), z.boolean().optional()).optional(),
  overrides: z.array(transformConfig).optional(),
  base: z.boolean().optional(),
});

const explicitSchema = z.strictObject({
  ...shared,
  transforms: z.array(z.union([oneOfConfig, transformConfig])),
});

export type ExplicitSpec = z.infer<typeof explicitSchema>;
export type OneOfConfig = z.infer<typeof oneOfConfig>;

/** Names that other libraries use, and ours. */
export const REPLACED: Readonly<Record<string, string>> = {
  always_apply: "p: 1",
  var_limit: "std, a share of full scale: sqrt(var) / 255",
  std_range: "std",
  alpha_affine: "rmsFrac",
  sigma_limit: "sigma",
  blur_limit: "sizeFrac, a share of min(width, height)",
  scale_limit: "scaleLimit",
  shift_limit: "translateFrac",
  translate_percent: "translateFrac",
  translate: "translateFrac",
  rotate_limit: "rotate (Affine) or limit (SafeRotate)",
  degrees: "rotate",
  shear: "shearX and shearY",
  keep_ratio: "keepRatio",
  balanced_scale: "balancedScale",
  brightness_limit: "brightness",
  contrast_limit: "contrast",
  gamma_limit: "gamma, as a factor (100 there is 1 here)",
  hue_shift_limit: "hue",
  sat_shift_limit: "sat",
  val_shift_limit: "val",
  clip_limit: "clipLimit",
  tile_grid_size: "tiles",
  num_holes_range: "numHoles",
  max_holes: "numHoles",
  hole_height_range: "holeFrac",
  hole_width_range: "holeFrac",
  fill_value: "fill",
  cval: "fill, at the top level",
  border_mode: "border, at the top level",
  flare_roi: "roi",
  src_radius: "radiusFrac",
  num_flare_circles_range: "circles",
  shadow_roi: "roi",
  num_shadows_limit: "count",
  shadow_dimension: "vertices",
  shadow_intensity_range: "intensity",
  fog_coef_range: "coef",
  fog_coef_lower: "coef",
  fog_coef_upper: "coef",
  alpha_coef: "alphaCoef",
  erosion_rate: "erosionRate",
  nb_rows: "nbRows",
  nb_cols: "nbCols",
  allow_shifted: "allowShifted",
  per_channel: "perChannel",
  min_visibility: "instances.minVisibility",
  min_area: "instances.minArea",
  bbox_params: "instances",
  keypoint_params: "instances",
};

/** @throws AugmentConfigError */
export function parseSpec(input: unknown, path = ""): PipelineSpec {
  return parseConfig(specSchema, input, path, {
    keys: Object.keys(specSchema.shape),
    replaced: REPLACED,
  }) as PipelineSpec;
}

/** @throws AugmentConfigError */
export function parseExplicit(input: unknown, path = ""): ExplicitSpec {
  const record = input as Record<string, unknown>;
  for (const key of ["characteristics", "environment", "intensity", "facts", "overrides", "base"]) {
    if (record[key] !== undefined) {
      throw new AugmentConfigError({
        path: key,
        message: `"${key}" and "transforms" exclude each other: a pipeline is either derived or listed.`,
      });
    }
  }
  return parseConfig(explicitSchema, input, path, {
    keys: Object.keys(explicitSchema.shape),
    replaced: REPLACED,
  }) as ExplicitSpec;
}

export const DEFAULT_RULES: InstanceRules = {
  minVisibility: 0.1,
  minWidth: 2,
  minHeight: 2,
  minArea: 0,
  maxAspect: 100,
  boxFromMask: true,
  boxMethod: "corners",
  onInvalid: "clip",
  bboxFormat: "coco",
  keypointConvention: "pixel-index",
  visibilityByMaskOnly: false,
};

/** Rules with defaults; undefined values do not count. */
export function resolveRules(...given: readonly (Partial<InstanceRules> | undefined)[]): InstanceRules {
  const out: Record<string, unknown> = { ...DEFAULT_RULES };
  for (const rules of given) {
    for (const [key, value] of Object.entries(rules ?? {})) if (value !== undefined) out[key] = value;
  }
  return out as unknown as InstanceRules;
}
