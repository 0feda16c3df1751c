import { parseDocument } from "yaml";
import { z } from "zod";
import { PreprocessConfigError } from "./errors.js";
import { MODEL_KEYS, MODELS, type ModelFamily, type ModelKey, modelFamily } from "./models.js";
import { nearestName } from "./nearest-name.js";
import { IMAGENET_MEAN, IMAGENET_STD, SAM_MEAN, SAM_STD } from "./statistics.js";

/** No network of these families takes more; a larger number is a slip. */
const MAX_SIDE = 8192;
/** Beyond this a pool only costs memory. */
const MAX_WORKERS = 256;

const side = z.int().min(1).max(MAX_SIDE);
const triple = z.tuple([z.number(), z.number(), z.number()]);
const positiveTriple = z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]);

const dinoSchema = z
  .strictObject({
    /** Pixels. */
    shortestEdge: side.default(800),
    /** Pixels. */
    longestEdge: side.default(1333),
    /** `hf`: transformers; `idea`: the original repository, whose rounded short side may exceed `longestEdge`. */
    variant: z.enum(["hf", "idea"]).default("hf"),
    /** Batches are padded to a multiple of this, pixels. */
    padMultiple: side.default(1),
    /** Input of a graph with a fixed shape: fits inside with its aspect kept, padded and masked. null: the size follows the image. */
    fixedCanvas: z.strictObject({ width: side, height: side }).nullable().default(null),
    /** False for graphs without a live `pixel_mask` input: no mask is made and the geometry says so. */
    maskInput: z.boolean().default(true),
    /** Element type of `pixel_mask`; ONNX graphs want int64. */
    maskType: z.enum(["uint8", "int64"]).default("uint8"),
    /** In 0..1. */
    mean: triple.default([...IMAGENET_MEAN]),
    /** In 0..1. */
    std: positiveTriple.default([...IMAGENET_STD]),
  })
  .refine((c) => c.longestEdge >= c.shortestEdge, {
    path: ["longestEdge"],
    message: "must be at least shortestEdge",
  });

const samSchema = z.strictObject({
  /** Side of the square input, pixels. */
  imageSize: side.default(1024),
  /** In 0..255. */
  mean: triple.default([...SAM_MEAN]),
  /** In 0..255. */
  std: positiveTriple.default([...SAM_STD]),
});

const sam2Schema = z.strictObject({
  /** Side of the square input, pixels. */
  imageSize: side.default(1024),
  /** In 0..1. */
  mean: triple.default([...IMAGENET_MEAN]),
  /** In 0..1. */
  std: positiveTriple.default([...IMAGENET_STD]),
});

const yoloSchema = (imageSize: number) =>
  z
    .strictObject({
      /** Side of the network input, pixels. */
      imageSize: side.default(imageSize),
      /** `square`: fixed shape; `rect`: smallest rectangle; `val-rect`: the validation loader's sizes. */
      mode: z.enum(["square", "rect", "val-rect"]).default("square"),
      /** Sides of `rect` and `val-rect` are multiples of it, pixels. */
      stride: side.default(32),
      /** Enlarge small pictures. */
      scaleup: z.boolean().default(true),
      /** Padding on both sides; false puts the content top left. */
      center: z.boolean().default(true),
      /** Stretch to the square instead of padding. */
      scaleFill: z.boolean().default(false),
      /** Gray level of the border. */
      padValue: z.int().min(0).max(255).default(114),
    })
    .superRefine((c, context) => {
      if (c.imageSize % c.stride !== 0) {
        const next = Math.ceil(c.imageSize / c.stride) * c.stride;
        context.addIssue({
          code: "custom",
          path: ["imageSize"],
          message: `${c.imageSize} is no multiple of the stride ${c.stride}; the next one is ${next}`,
        });
      }
      if (c.scaleFill && c.mode !== "square") {
        context.addIssue({ code: "custom", path: ["scaleFill"], message: `needs mode: square, got ${c.mode}` });
      }
    });

/** Options of each family, all present. */
export type DinoConfig = z.output<typeof dinoSchema>;
/** See {@link DinoConfig}. */
export type SamConfig = z.output<typeof samSchema>;
/** See {@link DinoConfig}. */
export type Sam2Config = z.output<typeof sam2Schema>;
/** See {@link DinoConfig}. */
export type YoloConfig = z.output<ReturnType<typeof yoloSchema>>;

const modelSchema = (key: ModelKey): z.ZodType => {
  switch (modelFamily(key)) {
    case "dino":
      return dinoSchema;
    case "sam":
      return samSchema;
    case "sam2":
      return sam2Schema;
    case "yolo":
      return yoloSchema((MODELS[key] as { imageSize: number }).imageSize);
  }
};

const MODEL_SCHEMAS = Object.fromEntries(MODEL_KEYS.map((key) => [key, modelSchema(key)])) as Record<
  ModelKey,
  z.ZodType
>;

const decodeSchema = z.strictObject({
  orientation: z.enum(["ignore", "apply", "match-annotations"]).default("match-annotations"),
  cmyk: z.enum(["managed", "error"]).default("managed"),
  sixteenBit: z.enum(["shift", "clip"]).default("shift"),
  allowTruncated: z.boolean().default(false),
  maxPixels: z
    .int()
    .positive()
    .default(2 ** 28),
});

const runtimeSchema = z.strictObject({
  /** Worker threads; 0 prepares in the calling thread, `auto` is one per available core. */
  workers: z.union([z.literal("auto"), z.int().min(0).max(MAX_WORKERS)]).default("auto"),
  /** `sharp-fast` only for downscaling by less than 4. */
  resampler: z.enum(["exact", "sharp-fast"]).default("exact"),
  /** `uint8` only for models without mean and std. */
  output: z.enum(["float32", "uint8"]).default("float32"),
});

const configSchema = z
  .strictObject({
    version: z.literal(1).default(1),
    decode: decodeSchema.prefault({}),
    runtime: runtimeSchema.prefault({}),
    models: z
      .strictObject(Object.fromEntries(MODEL_KEYS.map((key) => [key, MODEL_SCHEMAS[key].optional()])))
      .prefault({}),
  })
  .superRefine((config, context) => {
    if (config.runtime.output !== "uint8") return;
    const normalised = Object.keys(config.models).filter((key) => modelFamily(key as ModelKey) !== "yolo");
    if (normalised.length > 0) {
      context.addIssue({
        code: "custom",
        path: ["runtime", "output"],
        message: `uint8 has no room for mean and std, which ${normalised.join(", ")} need; use float32`,
      });
    }
  });

/** Options of the models that a configuration names. */
export interface ModelConfigs {
  readonly grounding_dino?: DinoConfig;
  readonly sam?: SamConfig;
  readonly sam_vit_b?: SamConfig;
  readonly sam_vit_l?: SamConfig;
  readonly sam_vit_h?: SamConfig;
  readonly mobile_sam?: SamConfig;
  readonly sam2?: Sam2Config;
  readonly sam2_1?: Sam2Config;
  readonly yolov8?: YoloConfig;
  readonly yolov8_seg?: YoloConfig;
  readonly fastsam?: YoloConfig;
  readonly fastsam_s?: YoloConfig;
}

/** A whole configuration, every default filled in. */
export interface PreprocessConfig {
  readonly version: 1;
  readonly decode: z.output<typeof decodeSchema>;
  readonly runtime: z.output<typeof runtimeSchema>;
  readonly models: ModelConfigs;
}

type DeepPartial<T> = T extends readonly unknown[] ? T : T extends object ? { [K in keyof T]?: DeepPartial<T[K]> } : T;

/** A configuration as people write it: everything may be left out. */
export type PreprocessConfigInput = DeepPartial<PreprocessConfig>;

/** Known keys at a path, for "did you mean"; empty where the path leaves the objects. */
function knownKeys(path: readonly PropertyKey[]): readonly string[] {
  if (path.length === 0) return ["version", "decode", "runtime", "models"];
  if (path[0] === "decode") return Object.keys(decodeSchema.shape);
  if (path[0] === "runtime") return Object.keys(runtimeSchema.shape);
  if (path[0] !== "models") return [];
  if (path.length === 1) return MODEL_KEYS;
  const schema = MODEL_SCHEMAS[path[1] as ModelKey] as z.ZodObject | undefined;
  if (schema === undefined) return [];
  return path.length === 2 ? Object.keys(schema.shape) : ["width", "height"];
}

/**
 * Checks a configuration and fills in its defaults.
 *
 * @param source - named in errors
 * @throws PreprocessConfigError with the dotted path of every fault; an unknown key names the nearest known one
 */
export function parseConfig(value: unknown, { source = null }: { source?: string | null } = {}): PreprocessConfig {
  const parsed = configSchema.safeParse(value ?? {});
  if (parsed.success) return parsed.data as PreprocessConfig;
  const issues = parsed.error.issues.flatMap((issue) => {
    if (issue.code !== "unrecognized_keys") return [{ path: issue.path.join("."), message: issue.message }];
    return issue.keys.map((key) => {
      const nearest = nearestName(key, knownKeys(issue.path));
      const hint = nearest === null ? "" : `; did you mean "${nearest}"?`;
      return { path: [...issue.path, key].join("."), message: `unknown key "${key}"${hint}` };
    });
  });
  throw new PreprocessConfigError({ issues, source });
}

/**
 * Reads `preprocess.yaml` (YAML 1.2): strict, with the defaults of the specification.
 *
 * @param yaml - the text of the file, not its path
 * @throws PreprocessConfigError on faulty YAML (with its line), unknown keys (with the nearest known one) and values out of range
 * @example loadConfig("models: {yolov8_seg: {imageSize: 320}}").models.yolov8_seg?.stride // 32
 */
export function loadConfig(yaml: string, { source = null }: { source?: string | null } = {}): PreprocessConfig {
  const document = parseDocument(yaml, { version: "1.2", uniqueKeys: true });
  if (document.errors.length > 0) {
    const issues = document.errors.map((error) => ({ path: "", message: error.message.split("\n")[0]! }));
    throw new PreprocessConfigError({ issues, source });
  }
  return parseConfig(document.toJS() as unknown, { source });
}

/**
 * @throws PreprocessConfigError for an empty list, an unknown or a repeated key
 */
export function checkModelKeys(models: readonly string[]): asserts models is readonly ModelKey[] {
  const issues = [];
  if (models.length === 0) issues.push({ path: "models", message: `name at least one of ${MODEL_KEYS.join(", ")}` });
  models.forEach((key, i) => {
    if (!(MODEL_KEYS as readonly string[]).includes(key)) {
      const nearest = nearestName(key, MODEL_KEYS);
      issues.push({ path: `models.${i}`, message: `unknown model "${key}"; did you mean "${nearest}"?` });
    } else if (models.indexOf(key) !== i) {
      issues.push({ path: `models.${i}`, message: `"${key}" is named twice; name each model once` });
    }
  });
  if (issues.length > 0) throw new PreprocessConfigError({ issues });
}

/** The defaults for the given models. @throws PreprocessConfigError for an empty list, an unknown or a repeated key */
export function defaultConfig(models: readonly ModelKey[]): PreprocessConfig {
  checkModelKeys(models);
  return parseConfig({ models: Object.fromEntries(models.map((key) => [key, {}])) });
}

/** Options of one family of models, tagged by the family. */
export type FamilyConfig =
  | { readonly family: "dino"; readonly options: DinoConfig }
  | { readonly family: "sam"; readonly options: SamConfig }
  | { readonly family: "sam2"; readonly options: Sam2Config }
  | { readonly family: "yolo"; readonly options: YoloConfig };

/** One model's options of a configuration, the defaults when it does not name the model. */
export function familyConfig(config: PreprocessConfig, key: ModelKey): FamilyConfig {
  const family: ModelFamily = modelFamily(key);
  const options = config.models[key] ?? MODEL_SCHEMAS[key].parse({});
  return { family, options } as FamilyConfig;
}
