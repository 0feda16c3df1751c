/**
 * How a model's input is made:
 * - `dino`: shortest edge 800, longest 1333, Pillow bilinear, unpadded
 * - `sam`: longest edge 1024, Pillow bilinear, zeros at the right and bottom
 * - `sam2`: stretched to 1024 x 1024 in float with antialiasing
 * - `yolo`: letterbox, OpenCV bilinear, border 114, / 255
 */
export type ModelFamily = "dino" | "sam" | "sam2" | "yolo";

/** Every model key with its family; the side is that of the square input. */
export const MODELS = {
  grounding_dino: { family: "dino" },
  sam: { family: "sam", imageSize: 1024 },
  sam_vit_b: { family: "sam", imageSize: 1024 },
  sam_vit_l: { family: "sam", imageSize: 1024 },
  sam_vit_h: { family: "sam", imageSize: 1024 },
  mobile_sam: { family: "sam", imageSize: 1024 },
  sam2: { family: "sam2", imageSize: 1024 },
  sam2_1: { family: "sam2", imageSize: 1024 },
  yolov8: { family: "yolo", imageSize: 640 },
  yolov8_seg: { family: "yolo", imageSize: 640 },
  fastsam: { family: "yolo", imageSize: 1024 },
  fastsam_s: { family: "yolo", imageSize: 1024 },
} as const satisfies Readonly<Record<string, { family: ModelFamily; imageSize?: number }>>;

/** A model that images can be prepared for. */
export type ModelKey = keyof typeof MODELS;

/** All keys, in the order of the specification. */
export const MODEL_KEYS = Object.keys(MODELS) as readonly ModelKey[];

/** The family is a property of the key, never guessed from a tensor's shape. */
export function modelFamily(key: ModelKey): ModelFamily {
  return MODELS[key].family;
}
