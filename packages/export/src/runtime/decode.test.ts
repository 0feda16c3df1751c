import { CounterRandom } from "@seg/augment";
import { letterboxGeometry } from "@seg/preprocess";
import { describe, expect, test } from "vitest";
import { ExportError } from "../errors.js";
import { decodeOutputs, type RawTensor } from "./decode.js";
import type { LetterboxGeometry } from "./geometry.js";
import type { MaskMode } from "./masks.js";

const NET = 64;
const PROTO = 16;

/** Column-major runs to a row-major bitmap. */
function bitmap({ size, counts }: { size: readonly [number, number]; counts: Uint32Array }): Uint8Array {
  const [h, w] = size;
  const out = new Uint8Array(h * w);
  let position = 0;
  counts.forEach((count, run) => {
    for (let i = 0; i < count; i++, position++) out[(position % h) * w + Math.floor(position / h)] = run % 2;
  });
  expect(position).toBe(h * w);
  return out;
}

/** PyTorch's bilinear (align_corners false) on a float map, in float64. */
function resize(map: Float64Array, w: number, h: number, outW: number, outH: number): Float64Array {
  const axis = (n: number, size: number, out: number): [number, number, number] => {
    const source = Math.max(0, ((n + 0.5) * size) / out - 0.5);
    const low = Math.min(Math.floor(source), size - 1);
    return [low, Math.min(low + 1, size - 1), source - low];
  };
  const out = new Float64Array(outW * outH);
  for (let y = 0; y < outH; y++) {
    const [y0, y1, fy] = axis(y, h, outH);
    for (let x = 0; x < outW; x++) {
      const [x0, x1, fx] = axis(x, w, outW);
      const top = map[y0 * w + x0]! * (1 - fx) + map[y0 * w + x1]! * fx;
      const bottom = map[y1 * w + x0]! * (1 - fx) + map[y1 * w + x1]! * fx;
      out[y * outW + x] = top * (1 - fy) + bottom * fy;
    }
  }
  return out;
}

const crop = (map: Float64Array, w: number, [x1, y1, x2, y2]: readonly number[]): Float64Array =>
  map.map((value, i) => {
    const x = i % w;
    const y = Math.floor(i / w);
    return x >= x1! && x < x2! && y >= y1! && y < y2! ? value : 0;
  });

const cut = (map: Float64Array, w: number, x: number, y: number, cw: number, ch: number): Float64Array =>
  Float64Array.from({ length: cw * ch }, (_, i) => map[(y + Math.floor(i / cw)) * w + x + (i % cw)]!);

/** Whole-image definition of the three mask modes. */
function referenceMask(
  logits: Float64Array,
  netBox: readonly number[],
  box: readonly number[],
  g: LetterboxGeometry & { padR: number; padB: number },
  mode: Exclude<MaskMode, "fast">,
): Uint8Array {
  if (mode === "accurate") {
    const net = crop(resize(logits, PROTO, PROTO, NET, NET), NET, netBox);
    const content = cut(net, NET, g.padL, g.padT, g.contentW, g.contentH);
    return Uint8Array.from(resize(content, g.contentW, g.contentH, g.origW, g.origH), (v) => (v > 0 ? 1 : 0));
  }
  const ratio = PROTO / NET;
  const round = (v: number): number => {
    const floor = Math.floor(v);
    return v - floor === 0.5 ? floor + (floor % 2) : Math.round(v);
  };
  const [l, t] = [round(g.padL * ratio - 0.1), round(g.padT * ratio - 0.1)];
  const [r, b] = [PROTO - round(g.padR * ratio + 0.1), PROTO - round(g.padB * ratio + 0.1)];
  const full = resize(cut(logits, PROTO, l, t, r - l, b - t), r - l, b - t, g.origW, g.origH);
  return Uint8Array.from(crop(full, g.origW, box), (v) => (v > 0 ? 1 : 0));
}

/** Random raw outputs with one dominant anchor per chosen box. */
function rawOutputs(seed: number, boxes: readonly (readonly number[])[]): { output0: RawTensor; output1: RawTensor } {
  const random = new CounterRandom({ seed, path: "decode" });
  const numClasses = 3;
  const channels = 4 + numClasses + 4;
  const anchors = boxes.length;
  const data = new Float32Array(channels * anchors);
  boxes.forEach(([x1, y1, x2, y2], a) => {
    data.set([(x1! + x2!) / 2], a);
    data.set([(y1! + y2!) / 2], anchors + a);
    data.set([x2! - x1!], 2 * anchors + a);
    data.set([y2! - y1!], 3 * anchors + a);
    data[(4 + (a % numClasses)) * anchors + a] = 0.9 - a * 0.01;
    for (let k = 7; k < channels; k++) data[k * anchors + a] = random.normal();
  });
  const prototypes = Float32Array.from({ length: 4 * PROTO * PROTO }, () => random.normal());
  return {
    output0: { data, dims: [1, channels, anchors] },
    output1: { data: prototypes, dims: [1, 4, PROTO, PROTO] },
  };
}

const BOXES = [
  [10.3, 20.7, 40.2, 44.9],
  [0, 0, 64, 64],
  [-8, 12, 5.5, 70],
  [50, 18, 51.2, 19.1],
  [30.5, 30.5, 62, 50],
];

describe("decodeOutputs", () => {
  test("boxes go back through the letterbox and are clipped; class ids are integers below numClasses", () => {
    const geometry = letterboxGeometry(128, 96, { size: NET });
    const { output0, output1 } = rawOutputs(1, BOXES);
    const found = decodeOutputs({ output0, output1, numClasses: 3, geometry });
    expect(found.scores.length).toBe(5);
    expect([...found.classes]).toEqual([0, 1, 2, 0, 1]);
    // content 64 x 48, pad 8 above: x * 2, (y - 8) * 2
    const expected = [20.6, 25.4, 80.4, 73.8];
    for (let i = 0; i < 4; i++) expect(found.boxes[i]!).toBeCloseTo(expected[i]!, 4);
    expect([...found.boxes.subarray(4, 8)]).toEqual([0, 0, 128, 96]);
    expect(found.masks).toHaveLength(5);
  });

  test.each(["native", "accurate"] as const)("%s masks equal the whole-image definition", (mode) => {
    for (const [width, height] of [
      [64, 48],
      [128, 96],
      [37, 61],
      [640, 427],
    ] as const) {
      const geometry = letterboxGeometry(width, height, { size: NET });
      const { output0, output1 } = rawOutputs(width, BOXES);
      const found = decodeOutputs({ output0, output1, numClasses: 3, geometry, maskMode: mode });
      found.masks!.forEach((mask, i) => {
        // Scores descend with the anchor, so detection i is anchor i.
        const logits = new Float64Array(PROTO * PROTO);
        for (let k = 0; k < 4; k++) {
          const c = output0.data[(7 + k) * 5 + i]!;
          for (let j = 0; j < logits.length; j++) logits[j]! += c * output1.data[k * PROTO * PROTO + j]!;
        }
        const at = (row: number): number => output0.data[row * 5 + i]!;
        const netBox = [at(0) - at(2) / 2, at(1) - at(3) / 2, at(0) + at(2) / 2, at(1) + at(3) / 2].map(Math.fround);
        const box = [...found.boxes.subarray(i * 4, i * 4 + 4)];
        const expected = referenceMask(logits, netBox, box, geometry, mode);
        const actual = bitmap(mask);
        let different = 0;
        for (let p = 0; p < expected.length; p++) if (expected[p] !== actual[p]) different++;
        // The implementation sums in float32: a logit within 1e-6 of zero may fall on the other side.
        expect(different).toBeLessThanOrEqual(2);
        expect(expected.length).toBe(width * height);
      });
    }
  });

  test("fast masks with positive logits fill the prototype cells of the box", () => {
    const geometry = letterboxGeometry(64, 64, { size: NET });
    const output1 = { data: new Float32Array(PROTO * PROTO).fill(1), dims: [1, 1, PROTO, PROTO] };
    const output0 = { data: Float32Array.of(32, 32, 16, 16, 0.9, 1), dims: [1, 6, 1] };
    const { masks } = decodeOutputs({ output0, output1, numClasses: 1, geometry, maskMode: "fast" });
    const mask = bitmap(masks![0]!);
    // Cells 6..9 cover pixels 24..39; bilinear support spreads one cell's half-width: pixels 22..41 have a positive share.
    const row = [...mask.subarray(32 * 64, 33 * 64)].join("");
    expect(row.indexOf("1")).toBe(22);
    expect(row.lastIndexOf("1")).toBe(41);
  });

  test("multiLabel yields one candidate per class above the threshold, ties by lower class", () => {
    const geometry = letterboxGeometry(64, 64, { size: NET });
    const output0 = { data: Float32Array.of(32, 32, 16, 16, 0.5, 0.5, 0.1), dims: [1, 7, 1] };
    expect([...decodeOutputs({ output0, numClasses: 3, geometry, multiLabel: true }).classes]).toEqual([0, 1]);
    expect([...decodeOutputs({ output0, numClasses: 3, geometry }).classes]).toEqual([0]);
  });

  test("no detection gives empty arrays", () => {
    const geometry = letterboxGeometry(64, 64, { size: NET });
    const found = decodeOutputs({ output0: { data: new Float32Array(7), dims: [1, 7, 1] }, numClasses: 3, geometry });
    expect(found.boxes.length + found.scores.length + found.classes.length).toBe(0);
    expect(found.masks).toBeUndefined();
  });

  test("a class count off by one is CLASS_MAP_MISMATCH", () => {
    const geometry = letterboxGeometry(64, 64, { size: NET });
    try {
      decodeOutputs({ output0: { data: new Float32Array(7), dims: [1, 7, 1] }, numClasses: 4, geometry });
      expect.unreachable();
    } catch (error) {
      expect(ExportError.is(error, "CLASS_MAP_MISMATCH") && error.details).toEqual({ expected: 4, actual: 3 });
    }
  });

  test("10,000 candidates with 300 masks of a 640 x 480 image agree in count with the limit", () => {
    const random = new CounterRandom({ seed: 9, path: "many" });
    const anchors = 8400;
    const channels = 4 + 2 + 32;
    const data = new Float32Array(channels * anchors);
    for (let a = 0; a < anchors; a++) {
      data[a] = random.uniform(0, 640);
      data[anchors + a] = random.uniform(80, 560);
      data[2 * anchors + a] = random.uniform(10, 120);
      data[3 * anchors + a] = random.uniform(10, 120);
      for (let k = 4; k < channels; k++) data[k * anchors + a] = random.uniform();
    }
    const output1 = {
      data: Float32Array.from({ length: 32 * 160 * 160 }, () => random.uniform(-1, 1)),
      dims: [1, 32, 160, 160],
    };
    const found = decodeOutputs({
      output0: { data, dims: [1, channels, anchors] },
      output1,
      numClasses: 2,
      geometry: letterboxGeometry(640, 480, { size: 640 }),
      confidence: 0.001,
      multiLabel: true,
      maskMode: "accurate",
    });
    expect(found.masks).toHaveLength(300);
    for (const mask of found.masks!) expect(mask.counts.reduce((sum, run) => sum + run, 0)).toBe(640 * 480);
  });
});
