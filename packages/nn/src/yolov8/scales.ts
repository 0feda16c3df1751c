/** Sizes of one member of the YOLOv8 family: depth and width multipliers and the cap on channels before the width is applied. */
export interface Yolov8Scale {
  readonly depth: number;
  readonly width: number;
  readonly maxChannels: number;
}

/** `n`, `s`, `m`, `x` are published sizes; `p` is a micro model for tests, not an official one. */
export const YOLOV8_SCALES = {
  p: { depth: 0.33, width: 0.125, maxChannels: 1024 },
  n: { depth: 0.33, width: 0.25, maxChannels: 1024 },
  s: { depth: 0.33, width: 0.5, maxChannels: 1024 },
  m: { depth: 0.67, width: 0.75, maxChannels: 768 },
  x: { depth: 1, width: 1.25, maxChannels: 512 },
} as const satisfies Record<string, Yolov8Scale>;

/** Sizes of YOLOv8. */
export type Yolov8ScaleName = keyof typeof YOLOV8_SCALES;

/** Channels of a layer at a scale: ceil(min(c, max) * width / 8) * 8. */
export function scaleChannels(channels: number, { width, maxChannels }: Yolov8Scale): number {
  return Math.ceil((Math.min(channels, maxChannels) * width) / 8) * 8;
}

/** Repetitions of a block at a scale: max(round(n * depth), 1). */
export function scaleRepeats(repeats: number, { depth }: Yolov8Scale): number {
  return repeats > 1 ? Math.max(Math.round(repeats * depth), 1) : repeats;
}
