import { BYTE_TABLE, normaliseTable } from "./chw.js";
import { type FamilyConfig, familyConfig, type PreprocessConfig } from "./config.js";
import { configHash } from "./config-hash.js";
import { type Geometry, type ImageSpace, makeGeometry } from "./geometry.js";
import { letterboxGeometry } from "./letterbox.js";
import type { ModelKey } from "./models.js";
import { groundingDinoGeometry, unitTable } from "./prepare-grounding-dino.js";
import { samGeometry } from "./prepare-sam.js";
import { sam2Geometry } from "./prepare-sam2.js";
import type { Kernel } from "./resample.js";
import { yoloBatchShape, yoloValSize } from "./sizes.js";

/** What resampled a picture; caches of the two are never mixed (`configHash` differs too). */
export type Resampler = "exact" | "sharp-fast";

/** Everything that one model's preparation needs, worked out once. */
export interface ModelPlan {
  readonly model: ModelKey;
  readonly settings: FamilyConfig;
  /** The uint8 kernel, or the float one of SAM 2. */
  readonly kernel: Kernel | "float-antialias";
  readonly resampler: Resampler;
  readonly output: "float32" | "uint8";
  /** Names the tensor of pixels. */
  readonly inputName: "pixel_values" | "images";
  /** 3 x 256 values of the normalised pixels; SAM 2 normalises in float and has none. */
  readonly table: Float32Array | Uint8Array | null;
  /** What surrounds the content, after normalisation. */
  readonly padValue: number;
  readonly hash: string;
  /** Where a picture goes. @throws PreprocessError `content_too_small`, `zero_dimension` */
  place(space: ImageSpace): Geometry;
}

/** Placement by YOLO's validation loader, for a batch of this picture alone. */
function valRectGeometry(space: ImageSpace, options: { imageSize: number; stride: number }, model: string): Geometry {
  const content = yoloValSize(space.width, space.height, options.imageSize);
  const net = yoloBatchShape([[space.width, space.height]], options);
  const base = makeGeometry({ image: space, model, content, pad: [0, 0], net, normalizedBy: "net", config: options });
  return centreOn(base, net[0], net[1]);
}

/** The same content on another canvas: centred as the letterbox does (odd pixel at the bottom and right). */
export function centreOn(geometry: Geometry, netW: number, netH: number): Geometry {
  const { contentW, contentH } = geometry;
  const padL = Math.floor((netW - contentW) / 2);
  const padT = Math.floor((netH - contentH) / 2);
  return { ...geometry, netW, netH, padL, padT, padR: netW - contentW - padL, padB: netH - contentH - padT };
}

/** The same content on a larger canvas, top left. */
export function extendTo(geometry: Geometry, netW: number, netH: number): Geometry {
  const { contentW, contentH, padL, padT } = geometry;
  return { ...geometry, netW, netH, padR: netW - contentW - padL, padB: netH - contentH - padT };
}

/** One model's plan from a whole configuration. */
export function planModel(config: PreprocessConfig, model: ModelKey): ModelPlan {
  const settings = familyConfig(config, model);
  const { output } = config.runtime;
  // OpenCV's kernel does not average, so libvips has nothing near it: YOLO is always exact.
  const resampler: Resampler = settings.family === "yolo" ? "exact" : config.runtime.resampler;
  const { decode } = config;
  const hash = configHash({ model, options: settings.options, decode, resampler, output });
  const finish = (geometry: Geometry): Geometry => ({ ...geometry, model, configHash: hash });
  const common = { model, settings, resampler, output, hash };
  switch (settings.family) {
    case "dino": {
      const { options } = settings;
      return {
        ...common,
        kernel: "pillow-bilinear",
        inputName: "pixel_values",
        table: unitTable(options.mean, options.std),
        padValue: 0,
        place: (space) => {
          const geometry = finish(groundingDinoGeometry(space, options));
          return options.maskInput ? geometry : { ...geometry, maskUnsupported: true };
        },
      };
    }
    case "sam": {
      const { imageSize: size, mean, std } = settings.options;
      return {
        ...common,
        kernel: "pillow-bilinear",
        inputName: "pixel_values",
        table: normaliseTable(mean, std),
        padValue: 0,
        place: (space) => finish(samGeometry(space, { size, mean, std, model })),
      };
    }
    case "sam2": {
      const { imageSize: size, mean, std } = settings.options;
      return {
        ...common,
        kernel: "float-antialias",
        inputName: "pixel_values",
        table: null,
        padValue: 0,
        place: (space) => finish(sam2Geometry(space, { size, mean, std, model })),
      };
    }
    case "yolo": {
      const { imageSize, mode, stride, scaleup, center, scaleFill, padValue } = settings.options;
      const table = output === "uint8" ? BYTE_TABLE : normaliseTable([0, 0, 0], [255, 255, 255]);
      const letterboxOptions = { size: imageSize, auto: mode === "rect", scaleFill, scaleup, center, stride, model };
      return {
        ...common,
        kernel: "cv2-linear",
        inputName: "images",
        table,
        padValue: table[padValue]!,
        place: (space) =>
          finish(
            mode === "val-rect"
              ? valRectGeometry(space, { imageSize, stride }, model)
              : letterboxGeometry(space.width, space.height, letterboxOptions, space),
          ),
      };
    }
  }
}
