import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  createPreprocessor,
  type DecodedImage,
  decodeImage,
  groundingDinoSize,
  letterbox,
  type PillowFilter,
  type PreparedImage,
  prepareGroundingDino,
  prepareSam,
  resizeCv2Area,
  resizeCv2Linear,
  resizeCv2Nearest,
  resizePillow,
  type Size,
  samSize,
} from "@seg/preprocess";
import { type Check, compareArrays } from "../check.js";
import { readFixtureTensors } from "../safetensors.js";

/** One processor result: sizes and hash of the resized pixels, statistics of the tensor. */
interface FullSize {
  readonly resized_hw?: readonly [number, number];
  readonly resized_sha256?: string;
  readonly resized_mean?: readonly number[];
  readonly pixel_values_shape: readonly number[];
  readonly pixel_values_mean: readonly number[] | readonly (readonly number[])[];
  readonly order?: readonly string[];
  readonly valid_hw?: readonly (readonly [number, number])[];
}

interface Resized {
  readonly hw: readonly [number, number];
  readonly sha256: string;
  readonly mean: readonly number[];
  readonly resized_hw?: readonly [number, number];
  readonly pad_tblr?: readonly number[];
}

interface Expected {
  readonly images: Record<string, { rgb_hw: [number, number]; rgb_sha256: string; exif_orientation: number | null }>;
  readonly full_size?: Record<string, FullSize>;
  readonly resize?: Record<string, Resized>;
  readonly sam: { longest_edge: number };
  readonly gdino: { shortest_edge: number; longest_edge: number };
}

/** Edges of Grounding DINO. */
interface Edges {
  readonly shortestEdge: number;
  readonly longestEdge: number;
}

const PILLOW_FILTERS: readonly string[] = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"];
/** Means of pixels lie within this even where one level differs; README of the group. */
const MEAN_TOLERANCE = 0.05;
/** Recorded float32 means of normalised tensors; sums of about 1e6 float32 values carry this much rounding. */
const TENSOR_MEAN_TOLERANCE = 1e-4;

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

const sameSize = (check: Check, name: string, [width, height]: Size, hw: readonly [number, number]): void =>
  check.ok(name, height === hw[0] && width === hw[1], `${height} x ${width}, expected ${hw[0]} x ${hw[1]} (h x w)`);

function samePixels(check: Check, name: string, data: Uint8Array, expected: string): void {
  const actual = sha256(data);
  check.ok(name, actual === expected, `sha256 ${actual.slice(0, 16)}, expected ${expected.slice(0, 16)}`);
}

function channelMeans(data: ArrayLike<number>): number[] {
  const sums = [0, 0, 0];
  for (let i = 0; i < data.length; i++) sums[i % 3]! += data[i]!;
  return sums.map((sum) => sum / (data.length / 3));
}

function planeMeans(data: Float32Array): number[] {
  const plane = data.length / 3;
  return [0, 1, 2].map((c) => {
    let sum = 0;
    for (let i = c * plane; i < (c + 1) * plane; i++) sum += data[i]!;
    return sum / plane;
  });
}

/** Decoding, sizes, Pillow and OpenCV kernels, letterboxes and the final tensors of the SAM and Grounding DINO processors. */
export async function run(dir: string, check: Check): Promise<void> {
  const expected = JSON.parse(readFileSync(join(dir, "expected.json"), "utf8")) as Expected;
  const images = new Map<string, DecodedImage>();
  for (const [name, { rgb_hw, rgb_sha256, exif_orientation }] of Object.entries(expected.images)) {
    const image = await decodeImage(join(dir, "images", name));
    images.set(name, image);
    sameSize(check, `decode ${name}: size`, [image.width, image.height], rgb_hw);
    samePixels(check, `decode ${name}: pixels`, image.data, rgb_sha256);
    const orientation = exif_orientation ?? 1;
    check.ok(
      `decode ${name}: orientation`,
      image.orientation === orientation,
      `${image.orientation}, expected ${orientation}`,
    );
  }
  /** `<what>.<...>.<file name>`; file names are those of `images`. */
  const parse = (key: string): { head: string[]; image: DecodedImage } | null => {
    for (const [name, image] of images) {
      if (key.endsWith(`.${name}`)) return { head: key.slice(0, -name.length - 1).split("."), image };
    }
    return null;
  };
  const fullEdges = compareSizes(dir, check);
  await compareFullSize(dir, check, expected, parse, fullEdges);
  compareResizes(dir, check, expected, parse);
  compareSmall(dir, check, expected, parse);
}

type Parse = (key: string) => { head: string[]; image: DecodedImage } | null;

/** Returns the edges of Grounding DINO that the keys of sizes.json name; they are those of the full-size results. */
function compareSizes(dir: string, check: Check): Edges {
  let edges: Edges = { shortestEdge: 800, longestEdge: 1333 };
  const file = join(dir, "sizes.json");
  if (!existsSync(file)) {
    check.skip("sizes", "no sizes.json");
    return edges;
  }
  const rows = JSON.parse(readFileSync(file, "utf8")) as Record<string, [number, number]>[];
  for (const row of rows) {
    const [height, width] = row["hw"]!;
    for (const [key, hw] of Object.entries(row)) {
      const numbers = key.split("_").slice(1).map(Number);
      let size: () => Size;
      if (key.startsWith("sam_")) size = () => samSize(width, height, numbers[0]);
      else if (key.startsWith("gdino_")) {
        edges = { shortestEdge: numbers[0]!, longestEdge: numbers[1]! };
        const ours = edges;
        size = () => groundingDinoSize(width, height, ours);
      } else continue;
      const name = `size ${key} of ${height} x ${width}`;
      if (Math.min(...hw) > 0) sameSize(check, name, size(), hw);
      else {
        // The reference computes a side of 0; we refuse such a picture.
        let code: unknown;
        try {
          size();
        } catch (error) {
          code = (error as { code?: unknown }).code;
        }
        check.ok(name, code === "content_too_small", "a side of 0 was not refused");
      }
    }
  }
  return edges;
}

function prepare(kind: string, image: DecodedImage, samSide: number, edges: Edges): PreparedImage {
  return kind === "sam" ? prepareSam(image, { size: samSide }) : prepareGroundingDino(image, edges);
}

async function compareFullSize(
  dir: string,
  check: Check,
  expected: Expected,
  parse: Parse,
  edges: Edges,
): Promise<void> {
  for (const [key, value] of Object.entries(expected.full_size ?? {})) {
    const parts = key.split(".");
    const exact = parts[1] === "slow";
    if (value.order !== undefined && value.valid_hw !== undefined) {
      if (exact) await compareBatch(dir, check, key, value, expected);
      continue;
    }
    const parsed = parse(key);
    if (parsed === null || value.resized_hw === undefined) {
      check.skip(key, "an entry of another form");
      continue;
    }
    const { head, image } = parsed;
    const kind = head[0]!;
    const samSide = value.pixel_values_shape.at(-1)!;
    const size =
      kind === "sam"
        ? samSize(image.width, image.height, samSide)
        : groundingDinoSize(image.width, image.height, edges);
    sameSize(check, `${key}: size`, size, value.resized_hw);
    const resized = resizePillow(image, size[0], size[1]);
    // The fast processors resample tensors, up to one level away from Pillow: means only.
    if (exact) samePixels(check, `${key}: pixels`, resized.data, value.resized_sha256!);
    compareArrays(
      check,
      `${key}: mean`,
      channelMeans(resized.data),
      value.resized_mean!,
      exact ? 1e-9 : MEAN_TOLERANCE,
    );
    if (!exact) continue;
    const { data, geometry } = prepare(kind, image, samSide, edges);
    const shape = [1, 3, geometry.netH, geometry.netW];
    check.ok(
      `${key}: shape`,
      shape.join() === value.pixel_values_shape.join(),
      `[${shape}], expected [${value.pixel_values_shape}]`,
    );
    compareArrays(
      check,
      `${key}: tensor mean`,
      planeMeans(data),
      value.pixel_values_mean as number[],
      TENSOR_MEAN_TOLERANCE,
    );
  }
}

/** A padded batch, by the preprocessor: shape of the largest content, means with the zeros of the padding, the mask on the content alone. */
async function compareBatch(
  dir: string,
  check: Check,
  key: string,
  value: FullSize,
  { gdino }: Expected,
): Promise<void> {
  const edges = { shortestEdge: gdino.shortest_edge, longestEdge: gdino.longest_edge };
  const order = value.order!;
  const pre = createPreprocessor(["grounding_dino"], {
    config: { runtime: { workers: 0 }, models: { grounding_dino: edges } },
  });
  const files = order.map((name) => join(dir, "images", name));
  for await (const { models } of pre.batches(files, { batchSize: files.length })) {
    const { tensors, metas } = models.grounding_dino!;
    const pixels = tensors["pixel_values"]!;
    const mask = tensors["pixel_mask"]!.data as Uint8Array;
    check.ok(
      `${key}: shape`,
      pixels.dims.join() === value.pixel_values_shape.join(),
      `[${pixels.dims}], expected [${value.pixel_values_shape}]`,
    );
    const length = pixels.data.length / order.length;
    const plane = mask.length / order.length;
    order.forEach((name, i) => {
      const { contentW, contentH, netW } = metas[i]!;
      const [height, width] = value.valid_hw![i]!;
      sameSize(check, `${key}: size of ${name}`, [contentW, contentH], [height, width]);
      const marks = mask.subarray(i * plane, (i + 1) * plane);
      const isRight = marks.every((mark, at) => mark === (at % netW < width && at < height * netW ? 1 : 0));
      check.ok(`${key}: mask of ${name}`, isRight, "marks other pixels than the content");
      const means = planeMeans((pixels.data as Float32Array).subarray(i * length, (i + 1) * length));
      const expected = (value.pixel_values_mean as number[][])[i]!;
      compareArrays(check, `${key}: mean of ${name}`, means, expected, TENSOR_MEAN_TOLERANCE);
    });
  }
}

function compareResizes(dir: string, check: Check, expected: Expected, parse: Parse): void {
  const file = join(dir, "resize.safetensors");
  const stored = existsSync(file) ? readFixtureTensors(file) : {};
  const unsupported = new Map<string, number>();
  for (const [key, value] of Object.entries(expected.resize ?? {})) {
    const parsed = parse(key);
    if (parsed === null) {
      check.skip(key, "an unknown picture");
      continue;
    }
    const { head, image } = parsed;
    const [kind, filter] = head as [string, string];
    const [height, width] = value.hw;
    let data: Uint8Array;
    if (kind === "pil" && PILLOW_FILTERS.includes(filter)) {
      data = resizePillow(image, width, height, { filter: filter as PillowFilter }).data;
    } else if (kind === "cv2" && filter === "linear") {
      data = resizeCv2Linear(image, width, height).data;
    } else if (kind === "cv2" && filter === "nearest") {
      data = resizeCv2Nearest(image, width, height).data;
    } else if (kind === "cv2" && filter === "area") {
      data = resizeCv2Area(image, width, height).data;
    } else if (kind === "letterbox") {
      const boxed = letterbox(image, { size: { width, height } });
      data = boxed.image.data;
      const { contentW, contentH, padT, padB, padL, padR } = boxed.geometry;
      if (value.resized_hw !== undefined) sameSize(check, `${key}: content`, [contentW, contentH], value.resized_hw);
      if (value.pad_tblr !== undefined)
        compareArrays(check, `${key}: padding`, [padT, padB, padL, padR], value.pad_tblr, 0);
    } else {
      const family = `${kind}.${filter}`;
      unsupported.set(family, (unsupported.get(family) ?? 0) + 1);
      continue;
    }
    samePixels(check, `${key}: pixels`, data, value.sha256);
    compareArrays(check, `${key}: mean`, channelMeans(data), value.mean, 1e-9);
    const tensor = stored[key];
    if (tensor !== undefined) compareArrays(check, `${key}: stored pixels`, data, tensor.data as Uint8Array, 0);
  }
  for (const [family, count] of unsupported)
    check.skip(`resize ${family}`, `no model needs this kernel (${count} results)`);
}

function compareSmall(dir: string, check: Check, { sam, gdino }: Expected, parse: Parse): void {
  const edges = { shortestEdge: gdino.shortest_edge, longestEdge: gdino.longest_edge };
  const sizeOf = (kind: string, { width, height }: DecodedImage): Size =>
    kind === "sam" ? samSize(width, height, sam.longest_edge) : groundingDinoSize(width, height, edges);
  for (const [key, tensor] of Object.entries(readFixtureTensors(join(dir, "resized_small.safetensors")))) {
    const parsed = parse(key);
    if (parsed === null) {
      check.skip(key, "an unknown picture");
      continue;
    }
    const { head, image } = parsed;
    const size = sizeOf(head[0]!, image);
    sameSize(check, `${key}: size`, size, [tensor.shape[0]!, tensor.shape[1]!]);
    // Slow is Pillow itself, fast is torchvision on uint8: at most one level apart.
    const tolerance = head[1] === "slow" ? 0 : 1;
    compareArrays(
      check,
      `${key}: pixels`,
      resizePillow(image, size[0], size[1]).data,
      tensor.data as Uint8Array,
      tolerance,
    );
  }
  for (const [key, tensor] of Object.entries(readFixtureTensors(join(dir, "pixel_values.safetensors")))) {
    const parsed = parse(key.replace(/\.pixel_values$/, ""));
    if (parsed === null) {
      check.skip(key, "an unknown picture");
      continue;
    }
    const { head, image } = parsed;
    const { data } = prepare(head[0]!, image, sam.longest_edge, edges);
    // One level of a fast processor is at most 1 / (255 * 0.224) of a normalised value.
    const tolerance = head[1] === "slow" ? 1e-5 : 0.0176;
    compareArrays(check, `${key}: values`, data, tensor.data as Float32Array, tolerance);
  }
}
