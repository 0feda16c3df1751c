import { deflateSync, inflateSync } from "node:zlib";
import type { Affine } from "@seg/augment";
import type { Box } from "@seg/coco-dataset";
import { float16ToFloat32, float32ToFloat16 } from "@seg/nn";

/** Mask logits are clipped to +-8 (probabilities within 3.4e-4 of 0 and 1) and stored in steps of 1/16. */
const STEP = 1 / 16;
const CLIP = 8;
/** Class logits: binary16 keeps |z| < 16 within .008; what was not asked about (-Infinity) is as good as -16. */
const CLASS_CLIP = 16;

/** What a detector said about one image: every box above the floor with the raw logits of all classes, best first. */
export interface DetectionRecord {
  readonly kind: "detections";
  /** Image pixels. */
  readonly width: number;
  readonly height: number;
  readonly classes: number;
  readonly boxes: readonly Box[];
  /** `[boxes, classes]`, raw: temperature and calibration may change later. */
  readonly logits: Float32Array;
}

/** One mask of a mask teacher. */
export interface TeacherMask {
  /** IoU that the teacher predicts for its own mask, 0..1. */
  readonly iou: number;
  /** `side * side` deflated int8 logits, row-major, in steps of 1/16. */
  readonly packed: Uint8Array;
}

/** What a mask teacher said about the boxes of one image. */
export interface MaskRecord {
  readonly kind: "masks";
  readonly width: number;
  readonly height: number;
  /** Side of the square logit grid. */
  readonly side: number;
  /** Image pixels to logit-grid pixels. */
  readonly toModel: Affine;
  /** In the order of the boxes that were asked about. */
  readonly masks: readonly TeacherMask[];
}

/** One feature map of a teacher. */
export interface FeatureMap {
  /** Pixels of the teacher's input per cell: 8 goes with P3, 16 with P4, 32 with P5. */
  readonly stride: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** `[height, width, channels]`. */
  readonly data: Float32Array;
  /** Image pixels to cells: cell (i, j) covers rows [i, i + 1) and columns [j, j + 1). Cells outside the image are padding. */
  readonly toMap: Affine;
}

/** Feature maps of one image. */
export interface FeatureRecord {
  readonly kind: "features";
  readonly width: number;
  readonly height: number;
  readonly maps: readonly FeatureMap[];
}

/** One entry of the teacher cache: what a detector, a mask teacher or a feature teacher said about one image. */
export type TeacherRecord = DetectionRecord | MaskRecord | FeatureRecord;

/** Float logits to deflated int8: round(clip(z, +-8) * 16), where +8 saturates at 127/16. */
export function packLogits(logits: Float32Array): Uint8Array {
  const values = new Int8Array(logits.length);
  for (let i = 0; i < logits.length; i++) {
    const clipped = Math.max(-CLIP, Math.min(CLIP, logits[i]!));
    values[i] = Math.min(127, Math.round(clipped / STEP));
  }
  return deflateSync(new Uint8Array(values.buffer));
}

/** Deflated int8 back to float logits. */
export function unpackLogits(packed: Uint8Array): Float32Array {
  const bytes = inflateSync(packed);
  const values = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  return Float32Array.from(values, (value) => value * STEP);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

const halves = (values: Float32Array): Uint8Array => bytesOf(float32ToFloat16(values));

/** A copy: typed arrays need aligned offsets, sections begin anywhere. (Buffer's own slice would not copy.) */
const aligned = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;

const fromHalves = (bytes: Uint8Array): Float32Array => float16ToFloat32(new Uint16Array(aligned(bytes)));

interface Sections {
  readonly header: object;
  readonly blobs: readonly Uint8Array[];
}

function sectionsOf(record: TeacherRecord): Sections {
  switch (record.kind) {
    case "detections": {
      const { boxes, logits, ...header } = record;
      const clipped = logits.map((z) => Math.max(-CLASS_CLIP, Math.min(CLASS_CLIP, z)));
      return { header, blobs: [bytesOf(Float32Array.from(boxes.flat())), halves(clipped)] };
    }
    case "masks": {
      const { masks, ...rest } = record;
      const entries = masks.map(({ iou }) => ({ iou }));
      return { header: { ...rest, masks: entries }, blobs: masks.map(({ packed }) => packed) };
    }
    case "features": {
      const { maps, ...rest } = record;
      const entries = maps.map(({ data: _data, ...map }) => map);
      return { header: { ...rest, maps: entries }, blobs: maps.map(({ data }) => halves(data)) };
    }
  }
}

/** Bytes of a record: length of the header (uint32 LE), JSON header, sections. Boxes are float32, class logits and features binary16, mask logits int8. */
export function encodeRecord(record: TeacherRecord): Uint8Array {
  const { header, blobs } = sectionsOf(record);
  const text = Buffer.from(JSON.stringify({ ...header, sections: blobs.map(({ length }) => length) }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text, ...blobs]);
}

/** Reads a record back; the bytes must be those of {@link encodeRecord} (the store compares checksums). */
export function decodeRecord(bytes: Uint8Array): TeacherRecord {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const start = 4 + all.readUInt32LE(0);
  const { sections, ...header } = JSON.parse(all.toString("utf8", 4, start)) as TeacherRecord & { sections: number[] };
  let offset = start;
  const blobs = sections.map((length) => {
    const blob = all.subarray(offset, offset + length);
    offset += length;
    return blob;
  });
  switch (header.kind) {
    case "detections": {
      const flat = new Float32Array(aligned(blobs[0]!));
      const boxes = Array.from({ length: flat.length / 4 }, (_, i) => [...flat.subarray(4 * i, 4 * i + 4)] as const);
      return { ...header, boxes: boxes as unknown as Box[], logits: fromHalves(blobs[1]!) };
    }
    case "masks":
      return { ...header, masks: header.masks.map((mask, i) => ({ ...mask, packed: blobs[i]! })) };
    case "features":
      return { ...header, maps: header.maps.map((map, i) => ({ ...map, data: fromHalves(blobs[i]!) })) };
  }
}
