import { z } from "zod";
import { familyConfig, type PreprocessConfig, type PreprocessConfigInput, parseConfig } from "./config.js";
import { PreprocessConfigError } from "./errors.js";
import { MODEL_KEYS, type ModelFamily, type ModelKey } from "./models.js";

const triple = z.tuple([z.number(), z.number(), z.number()]);

const specSchema = z.strictObject({
  version: z.literal(1),
  model: z.enum(MODEL_KEYS as readonly [ModelKey, ...ModelKey[]]),
  family: z.enum(["dino", "sam", "sam2", "yolo"]),
  inputName: z.enum(["pixel_values", "images"]),
  layout: z.literal("NCHW"),
  dtype: z.enum(["float32", "uint8"]),
  color: z.literal("RGB"),
  /** The family's own size options, pixels. */
  size: z.record(z.string(), z.unknown()),
  kernel: z.enum(["cv2-linear", "pillow-bilinear", "float-antialias"]),
  fit: z.enum(["shortest-edge", "longest-edge", "stretch", "letterbox"]),
  pad: z.strictObject({
    mode: z.enum(["none", "bottom-right", "centre"]),
    /** In the units of `when`. */
    value: z.number(),
    when: z.enum(["never", "after-normalise", "before-scale"]),
  }),
  /** Pixels (0..255) are multiplied by it before mean and std. */
  scale: z.number(),
  mean: triple.nullable(),
  std: triple.nullable(),
  orientation: z.enum(["ignore", "apply", "match-annotations"]),
  decode: z.strictObject({ cmyk: z.enum(["managed", "error"]), sixteenBit: z.enum(["shift", "clip"]) }),
  resampler: z.enum(["exact", "sharp-fast"]),
  /** The formula that takes a box of the network input back to the picture. */
  inverse: z.string(),
});

/** `preprocess.json`: what travels with an exported model, so that every runtime and the INT8 calibration prepare alike. */
export type PreprocessSpec = z.output<typeof specSchema>;

const INVERSES: Readonly<Record<ModelFamily, string>> = {
  dino: "x = cx * origW (boxes are relative to the unpadded content)",
  sam: "x = x_net * origW / contentW",
  sam2: "x = x_net * origW / size",
  yolo: "x = (x_net - padL) * origW / contentW",
};

/**
 * The specification of one model's input, from a configuration or the defaults.
 *
 * @example toSpecJson("yolov8_seg").pad // { mode: "centre", value: 114, when: "before-scale" }
 * @throws PreprocessConfigError
 */
export function toSpecJson(
  model: ModelKey,
  { config }: { config?: PreprocessConfig | PreprocessConfigInput } = {},
): PreprocessSpec {
  const whole = parseConfig(config ?? {});
  const settings = familyConfig(whole, model);
  const { family } = settings;
  const { orientation, cmyk, sixteenBit } = whole.decode;
  const common = {
    version: 1 as const,
    model,
    family,
    inputName: family === "yolo" ? ("images" as const) : ("pixel_values" as const),
    layout: "NCHW" as const,
    dtype: whole.runtime.output,
    color: "RGB" as const,
    orientation,
    decode: { cmyk, sixteenBit },
    resampler: family === "yolo" ? ("exact" as const) : whole.runtime.resampler,
    inverse: INVERSES[family],
  };
  switch (settings.family) {
    case "dino": {
      const { mean, std, ...size } = settings.options;
      return {
        ...common,
        size,
        kernel: "pillow-bilinear",
        fit: "shortest-edge",
        pad: { mode: "bottom-right", value: 0, when: "after-normalise" },
        scale: 1 / 255,
        mean,
        std,
      };
    }
    case "sam": {
      const { mean, std, ...size } = settings.options;
      return {
        ...common,
        size,
        kernel: "pillow-bilinear",
        fit: "longest-edge",
        pad: { mode: "bottom-right", value: 0, when: "after-normalise" },
        scale: 1,
        mean,
        std,
      };
    }
    case "sam2": {
      const { mean, std, ...size } = settings.options;
      return {
        ...common,
        size,
        kernel: "float-antialias",
        fit: "stretch",
        pad: { mode: "none", value: 0, when: "never" },
        scale: 1 / 255,
        mean,
        std,
      };
    }
    case "yolo": {
      const { padValue, ...size } = settings.options;
      return {
        ...common,
        size,
        kernel: "cv2-linear",
        fit: size.scaleFill ? "stretch" : "letterbox",
        pad: { mode: size.center ? "centre" : "bottom-right", value: padValue, when: "before-scale" },
        scale: whole.runtime.output === "uint8" ? 1 : 1 / 255,
        mean: null,
        std: null,
      };
    }
  }
}

/**
 * The configuration that a specification stands for; the inverse of {@link toSpecJson}.
 *
 * @param spec - parsed JSON
 * @throws PreprocessConfigError naming each field that is unknown, out of range, or contradicts the family
 */
export function fromSpecJson(
  spec: unknown,
  { source = null }: { source?: string | null } = {},
): { model: ModelKey; config: PreprocessConfig } {
  const parsed = specSchema.safeParse(spec);
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => ({ path: path.join("."), message }));
    throw new PreprocessConfigError({ issues, source });
  }
  const { model, family, size, pad, mean, std, orientation, decode, dtype, resampler } = parsed.data;
  const statistics = mean === null || std === null ? {} : { mean, std };
  const options = family === "yolo" ? { ...size, padValue: pad.value } : { ...size, ...statistics };
  const config = parseConfig(
    {
      decode: { ...decode, orientation },
      runtime: { output: dtype, resampler },
      models: { [model]: options },
    },
    { source },
  );
  // Whatever the file says beside the options must be what the options mean: a wrong kernel or padding must not pass unseen.
  const expected = toSpecJson(model, { config });
  const issues = (["family", "inputName", "kernel", "fit", "pad", "scale", "resampler"] as const)
    .filter((key) => JSON.stringify(parsed.data[key]) !== JSON.stringify(expected[key]))
    .map((key) => ({
      path: key,
      message: `is ${JSON.stringify(parsed.data[key])}, but ${model} with this size needs ${JSON.stringify(expected[key])}`,
    }));
  if (issues.length > 0) throw new PreprocessConfigError({ issues, source });
  return { model, config };
}
