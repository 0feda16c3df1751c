import { mask } from "@seg/coco-dataset";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inkScene, polygonSample, sameBytes } from "../../test/pipeline-support.js";
import { loadPipeline, pipelineFromConfig, registry } from "../registry.js";
import { BUILT_IN } from "../transforms/built-in.js";
import type { DonorSource, PipelineMask, PipelineResult, PipelineSample } from "./types.js";

const listed = (...transforms: object[]) => ({ schemaVersion: 1, transforms });
const canvas = (width: number, height: number, rest: Partial<PipelineSample> = {}): PipelineSample => ({
  image: { data: new Uint8Array(width * height * 3), width, height, channels: 3 },
  ...rest,
});
const pointsOf = ({ keypoints }: PipelineResult): number[][][] => keypoints as unknown as number[][][];
const continuous = { keypointConvention: "continuous" };

describe("geometry, golden", () => {
  test("a flip mirrors boxes at W and pixel-index keypoints at W - 1", () => {
    const flip = { ...listed({ type: "HorizontalFlip" }), instances: { flipIdx: [0] } };
    const sample = canvas(640, 64, { bboxes: [[10, 20, 30, 40]], keypoints: [[[10, 30, 2]]] });
    const result = pipelineFromConfig(flip).applySync(sample);
    expect(result.bboxes).toEqual([[600, 20, 30, 40]]);
    expect(result.keypoints).toEqual([[[629, 30, 2]]]);
    const edge = pipelineFromConfig({ ...flip, instances: { flipIdx: [0], ...continuous } });
    expect(edge.applySync(canvas(640, 64, { keypoints: [[[10.5, 30, 2]]] })).keypoints).toEqual([[[629.5, 30, 2]]]);
    // x = 0 and x = W belong to the canvas: a border point survives the flip.
    expect(edge.applySync(canvas(640, 64, { keypoints: [[[0, 30, 2]]] })).keypoints).toEqual([[[640, 30, 2]]]);
  });
  test("positive angles turn counter-clockwise about the centre; flip, turn and scale fuse in this order", () => {
    const at = (x: number, y: number, ...transforms: object[]) => {
      const pipeline = pipelineFromConfig({ ...listed(...transforms), instances: { flipIdx: [0], ...continuous } });
      const point = pointsOf(pipeline.applySync(canvas(640, 480, { keypoints: [[[x, y, 2]]] })))[0]![0]!;
      return point.slice(0, 2).map((v) => Math.round(v * 1e6) / 1e6);
    };
    const turn = { type: "Affine", rotate: [90, 90] };
    expect(at(420, 240, turn)).toEqual([320, 140]);
    expect(at(420, 240, { type: "HorizontalFlip" }, turn, { type: "RandomScale", scaleLimit: [-0.5, -0.5] })).toEqual([
      320, 290,
    ]);
  });
  test("SafeRotate keeps everything inside with one factor", () => {
    const scaleOf = (width: number, height: number, angle: number) => {
      const pipeline = pipelineFromConfig({
        ...listed({ type: "SafeRotate", limit: [angle, angle] }),
        instances: continuous,
      });
      const [a, b] = pointsOf(
        pipeline.applySync(
          canvas(width, height, {
            keypoints: [
              [
                [width / 2, height / 2, 2],
                [width / 2 + 10, height / 2, 2],
              ],
            ],
          }),
        ),
      )[0]!;
      return Math.hypot(b![0]! - a![0]!, b![1]! - a![1]!) / 10;
    };
    expect(scaleOf(640, 480, 45)).toBeCloseTo(0.60609, 5);
    expect(scaleOf(640, 640, 45)).toBeCloseTo(Math.SQRT1_2, 5);
    expect(scaleOf(640, 480, 10)).toBeCloseTo(0.82214, 5);
  });
  test("a square box turned by 45 degrees has twice the area, its inscribed circle the same", () => {
    const turned = (boxMethod: string) =>
      pipelineFromConfig({
        ...listed({ type: "Affine", rotate: [45, 45] }),
        instances: { boxMethod },
      }).applySync(canvas(200, 200, { bboxes: [[80, 80, 40, 40]] })).bboxes![0]!;
    expect(turned("corners")[2] * turned("corners")[3]).toBeCloseTo(3200, 3);
    expect(turned("ellipse")[2] * turned("ellipse")[3]).toBeCloseTo(1600, 0);
  });
  test("a perspective with 5 % insets maps the inset corner to the corner, once", async () => {
    const { Perspective } = await import("../transforms/affine-family.js");
    const map = Perspective.matrix({ insets: Array(8).fill(0.05) }, { width: 640, height: 640 });
    const w = map[6] * 608 + map[7] * 608 + map[8];
    expect((map[0] * 608 + map[1] * 608 + map[2]) / w).toBeCloseTo(640, 6);
    expect((map[3] * 608 + map[4] * 608 + map[5]) / w).toBeCloseTo(640, 6);
  });
  test("two flips give back every byte", () => {
    const sample = polygonSample();
    const twice = pipelineFromConfig(listed({ type: "HorizontalFlip" }, { type: "HorizontalFlip" }));
    expect(sameBytes(twice.applySync(sample).image.data, sample.image.data)).toBe(true);
    const apart = pipelineFromConfig(
      listed(
        { type: "VerticalFlip" },
        { type: "Blur", p: 0 },
        { type: "CoarseDropout", p: 0 },
        { type: "VerticalFlip" },
      ),
    );
    expect(sameBytes(apart.applySync(sample).image.data, sample.image.data)).toBe(true);
  });
});

describe("zero strength is the identity", () => {
  const still: Record<string, object> = {
    RandomScale: { scaleLimit: [0, 0] },
    Affine: {},
    SafeRotate: { limit: [0, 0] },
    Perspective: { scale: [0, 0] },
    ElasticTransform: { rmsFrac: [0, 0] },
    PiecewiseAffine: { jitterFrac: [0, 0] },
    RandomBrightnessContrast: { brightness: [0, 0], contrast: [0, 0] },
    RandomGamma: { gamma: [1, 1] },
    ColorJitter: { brightness: [1, 1], contrast: [1, 1], saturation: [1, 1], hue: [0, 0] },
    HueSaturationValue: { hue: [0, 0], sat: [0, 0], val: [0, 0] },
    RandomSunFlare: { radiusFrac: [0, 0], circles: [0, 0] },
    RandomShadow: { intensity: [0, 0] },
    RandomFog: { coef: [0, 0] },
    GaussianBlur: { sigma: [0, 0] },
    Sharpen: { alpha: [0, 0] },
    GaussNoise: { std: [0, 0] },
  };
  for (const [type, params] of Object.entries(still)) {
    test.each(["typescript", "wasm"] as const)(`${type} (%s)`, (backend) => {
      const sample = polygonSample();
      const result = pipelineFromConfig(listed({ type, ...params }), { backend }).applySync(sample);
      expect(sameBytes(result.image.data, sample.image.data)).toBe(true);
      result.bboxes!.forEach((box, i) => {
        box.forEach((v, k) => void expect(v).toBeCloseTo(Array.from(sample.bboxes![i]!)[k]!, 6));
      });
    });
  }
});

describe("instances", () => {
  const crop = { type: "RandomScale", scaleLimit: [1, 1] };
  test("visibility is cumulative: three crops to the half drop what one keeps", () => {
    // A box over the whole width: each doubling shows half of it a side, a quarter in all.
    const sample = canvas(256, 256, { bboxes: [[0, 0, 256, 256]] });
    const once = pipelineFromConfig(listed(crop)).applySync(sample);
    expect(once.visibility[0]).toBeCloseTo(0.25, 6);
    const between = { type: "GaussNoise", std: [0.01, 0.01] };
    const thrice = pipelineFromConfig(listed(crop, between, crop, between, crop)).applySync(sample);
    expect(thrice.dropped).toEqual([{ index: 0, reason: "visibility" }]);
    const fused = pipelineFromConfig(listed(crop, crop, crop)).applySync(sample);
    expect(fused.dropped).toEqual([{ index: 0, reason: "visibility" }]);
  });
  test("an instance goes as a whole, with its index and reason; crowds stay", () => {
    const sample = canvas(100, 100, {
      bboxes: [
        [0, 0, 10, 10],
        [45, 45, 10, 10],
        [20, 20, 31, 31],
        [50, 50, 1, 1],
      ],
      labels: ["corner", "middle", "cut", "dot"],
      ids: [7, 8, 9, 10],
      iscrowd: [0, 0, 1, 0],
      keypoints: [[[1, 1, 2]], [[50, 50, 2]], [[40, 40, 1]], [[50, 50, 0]]],
    });
    const four = { type: "RandomScale", scaleLimit: [3, 3] };
    const result = pipelineFromConfig({ ...listed(four), instances: { minWidth: 6, minVisibility: 0.5 } }).applySync(
      sample,
    );
    expect(result.kept).toEqual([1, 2]);
    expect(result.labels).toEqual(["middle", "cut"]);
    expect(result.ids).toEqual([8, 9]);
    expect(result.iscrowd).toEqual([0, 1]);
    expect(result.keypoints).toHaveLength(2);
    expect(result.dropped).toEqual([
      { index: 0, reason: "outside" },
      { index: 3, reason: "too-small" },
    ]);
  });
  test("points that leave become 0, 0, 0; flips without flipIdx are vetoed", () => {
    const sample = canvas(100, 100, {
      keypoints: [
        [
          [2, 50, 2],
          [50, 50, 1],
        ],
      ],
    });
    const zoom = pipelineFromConfig(listed({ type: "RandomScale", scaleLimit: [1, 1] })).applySync(sample);
    expect(pointsOf(zoom)[0]![0]).toEqual([0, 0, 0]);
    expect(pointsOf(zoom)[0]![1]![2]).toBe(1);
    const flip = pipelineFromConfig(listed({ type: "HorizontalFlip" })).applySync(sample);
    expect(flip.keypoints).toEqual(sample.keypoints);
    expect(flip.trace[0]).toMatchObject({ params: null, notes: ["vetoed: keypoints need flipIdx to be mirrored"] });
    const swap = pipelineFromConfig({ ...listed({ type: "HorizontalFlip" }), instances: { flipIdx: [1, 0] } });
    expect(swap.applySync(sample).keypoints).toEqual([
      [
        [49, 50, 1],
        [97, 50, 2],
      ],
    ]);
  });
  test("a flat point list is never dropped and keeps its order", () => {
    const sample = canvas(100, 100, {
      keypoints: [
        [2, 50, 2],
        [50, 50, 1],
      ],
    });
    const result = pipelineFromConfig(listed({ type: "RandomScale", scaleLimit: [1, 1] })).applySync(sample);
    expect(result.keypoints).toEqual([
      [0, 0, 0],
      [50.5, 50.5, 1],
    ]);
  });
  test("boxes over the border: one pixel silently, more with a warning, or dropped, or thrown", () => {
    const sample = canvas(100, 100, {
      bboxes: [
        [-1, 0, 20, 20],
        [90, 90, 30, 30],
        [200, 0, 5, 5],
      ],
    });
    const clip = pipelineFromConfig(listed()).applySync(sample);
    expect(clip.bboxes).toEqual([
      [0, 0, 19, 20],
      [90, 90, 10, 10],
    ]);
    expect(clip.warnings.map(({ code, index }) => [code, index])).toEqual([["box-clipped", 1]]);
    expect(clip.dropped).toEqual([{ index: 2, reason: "degenerate-input" }]);
    const drop = pipelineFromConfig({ ...listed(), instances: { onInvalid: "drop" } }).applySync(sample);
    expect(drop.kept).toEqual([0]);
    const strict = pipelineFromConfig({ ...listed(), instances: { onInvalid: "throw" } });
    expect(() => strict.applySync(sample)).toThrowError(expect.objectContaining({ code: "invalid_box", index: 1 }));
  });
  test.each(["coco", "xyxy", "yolo", "normalized"] as const)("%s boxes come back in their format", (bboxFormat) => {
    const xyxy = [20, 10, 60, 40];
    const write = {
      coco: [20, 10, 40, 30],
      xyxy,
      yolo: [0.2, 0.25, 0.2, 0.3],
      normalized: [0.1, 0.1, 0.3, 0.4],
    };
    const flip = pipelineFromConfig({
      ...listed({ type: "VerticalFlip" }, { type: "VerticalFlip" }),
      instances: { bboxFormat },
    });
    const back = flip.applySync(canvas(200, 100, { bboxes: [write[bboxFormat]] })).bboxes![0]!;
    back.forEach((v, i) => void expect(v).toBeCloseTo(write[bboxFormat][i]!, 6));
  });
  test("dropout: labels stay, keypoints under it become hidden; erase and visible change them", () => {
    const sample: PipelineSample = {
      ...canvas(100, 100),
      masks: [[[10, 10, 90, 10, 90, 90, 10, 90]]],
      bboxes: [[10, 10, 80, 80]],
      keypoints: [[[50, 50, 2]]],
    };
    const hole = { type: "CoarseDropout", numHoles: [64, 64], holeFrac: [0.3, 0.3], maxObjectCoverage: 1, fill: 200 };
    const keep = pipelineFromConfig(listed(hole)).applySync(sample);
    expect(keep.masks).toEqual(sample.masks);
    expect(keep.bboxes).toEqual(sample.bboxes);
    expect(pointsOf(keep)[0]![0]![2]).toBe(1);
    const erase = pipelineFromConfig(listed({ ...hole, numHoles: [4, 4], maskPolicy: "erase" })).applySync(sample);
    const rle = erase.masks![0] as { size: [number, number]; counts: Uint32Array };
    const bits = mask.decode(rle);
    let covered = 0;
    for (let i = 0; i < bits.length; i++) {
      const isHole = erase.image.data[3 * i] === 200;
      if (isHole && bits[i] === 1) covered++;
    }
    expect(covered).toBe(0);
    expect(erase.area[0]).toBe(bits.reduce((a, b) => a + b, 0));
    expect(erase.area[0]).toBeLessThan(6400);
    const never = pipelineFromConfig(listed({ ...hole, maxObjectCoverage: 0.05 })).applySync(sample);
    for (const { params } of never.trace) {
      const holes = (params as { holes: number[] } | null)?.holes ?? [];
      for (let k = 0; k < holes.length; k += 4) {
        const w = Math.min(90, holes[k + 2]!) - Math.max(10, holes[k]!);
        const h = Math.min(90, holes[k + 3]!) - Math.max(10, holes[k + 1]!);
        expect(Math.max(0, w) * Math.max(0, h)).toBeLessThanOrEqual(0.05 * 6400);
      }
    }
  });
});

describe("every target moves with the picture, under every transform", () => {
  const forms = (sample: PipelineSample): Record<string, PipelineSample> => {
    const { width, height } = sample.image;
    const rles = sample.masks!.map((m) => mask.fromPolygons(m as number[][], height, width));
    return {
      polygons: sample,
      rle: { ...sample, masks: rles },
      compressed: {
        ...sample,
        masks: rles.map((r) => ({ size: [height, width] as const, counts: mask.toString(r) })),
      },
      bitmap: { ...sample, masks: rles.map((r) => ({ data: mask.decode(r), width, height })) },
    };
  };
  const toBits = (m: PipelineMask, width: number, height: number): Uint8Array => {
    if (Array.isArray(m)) return mask.decode(mask.fromPolygons(m as number[][], height, width));
    if ("data" in m) return m.data;
    const { counts } = m as { counts: string | Uint32Array };
    return mask.decode(
      typeof counts === "string"
        ? mask.fromString(counts, height, width)
        : mask.fromUncompressed(counts, height, width),
    );
  };
  const spatial = BUILT_IN.filter(({ kind }) => kind === "geometric" || kind === "field").map(({ type }) => type);
  const photometric = BUILT_IN.filter(({ kind }) => kind !== "geometric" && kind !== "field").map(({ type }) => type);
  const strong: Record<string, object> = {
    RandomScale: { scaleLimit: [-0.5, 0.5] },
    Affine: { scale: [0.7, 1.3], rotate: [-30, 30], translateFrac: [-0.1, 0.1], shearX: [-10, 10] },
    Perspective: { scale: [0.05, 0.1] },
    ElasticTransform: { rmsFrac: [0.009, 0.009] },
    PiecewiseAffine: { jitterFrac: [0.03, 0.03] },
    RandomSizedBBoxSafeCrop: { erosionRate: 0.2 },
  };

  for (const type of spatial) {
    test.each(["typescript", "wasm"] as const)(`${type} (%s)`, (backend) => {
      const sample = inkScene();
      const config = {
        ...listed({ type, ...strong[type] }),
        fill: 0,
        instances: { flipIdx: [0] },
        seed: 5,
      };
      const pipeline = pipelineFromConfig(config, { backend });
      const { width, height } = sample.image;
      for (let index = 0; index < 4; index++) {
        const reference = pipeline.applySync(sample, { index });
        for (const [form, given] of Object.entries(forms(sample))) {
          const result = pipeline.applySync(given, { index });
          expect(sameBytes(result.image.data, reference.image.data)).toBe(true);
          result.kept.forEach((k, i) => {
            const bits = toBits(result.masks![i]!, width, height);
            let inside = 0;
            let agree = 0;
            let ink = 0;
            let [x1, y1, x2, y2] = [width, height, 0, 0];
            let [sx, sy, sum] = [0, 0, 0];
            for (let p = 0; p < bits.length; p++) {
              // Instance k is painted in channel k.
              const isInk = result.image.data[3 * p + k]! > 100;
              if (isInk) {
                ink++;
                sx += (p % width) + 0.5;
                sy += Math.floor(p / width) + 0.5;
                sum++;
              }
              if (bits[p] !== 1) continue;
              inside++;
              if (isInk) agree++;
              x1 = Math.min(x1, p % width);
              x2 = Math.max(x2, (p % width) + 1);
              y1 = Math.min(y1, Math.floor(p / width));
              y2 = Math.max(y2, Math.floor(p / width) + 1);
            }
            const iou = agree / (inside + ink - agree);
            expect({ form, k, index, iou: iou > 0.9 ? "good" : iou }).toEqual({ form, k, index, iou: "good" });
            // The box holds the mask; polygon pixels may stick out by a rounding.
            const [bx, by, bw, bh] = result.bboxes![i]!;
            for (const slack of [bx - x1, by - y1, x2 - bx - bw, y2 - by - bh]) expect(slack).toBeLessThanOrEqual(1);
            for (const slack of [x1 - bx, y1 - by, bx + bw - x2, by + bh - y2]) expect(slack).toBeLessThanOrEqual(1.5);
            expect(result.labels![i]).toBe(sample.labels![k]);
            // The keypoint is the centroid of its shape; where the shape is whole, it still is.
            const [px, py, v] = pointsOf(result)[i]![0]! as [number, number, number];
            const isWhole = result.visibility[i]! > 0.999;
            if (
              isWhole &&
              v > 0 &&
              type !== "Perspective" &&
              type !== "ElasticTransform" &&
              type !== "PiecewiseAffine"
            ) {
              expect(Math.hypot(px + 0.5 - sx / sum, py + 0.5 - sy / sum)).toBeLessThan(1);
            }
          });
        }
      }
    });
  }

  for (const type of photometric) {
    test(`${type} leaves the annotations alone and the input unchanged`, () => {
      for (const [form, given] of Object.entries(forms(inkScene()))) {
        const pixels = given.image.data.slice();
        const before = JSON.stringify(given.masks);
        const result = pipelineFromConfig(listed({ type })).applySync(given, { index: 1 });
        expect({ form, same: JSON.stringify(result.masks) === JSON.stringify(given.masks) }).toEqual({
          form,
          same: true,
        });
        expect(result.bboxes).toEqual(given.bboxes);
        expect(sameBytes(given.image.data, pixels)).toBe(true);
        expect(JSON.stringify(given.masks) === before).toBe(true);
        expect(result.image.data.buffer).not.toBe(given.image.data.buffer);
      }
    });
  }

  test("forms agree on objects from 32 px", () => {
    const pipeline = pipelineFromConfig({ ...listed({ type: "Affine", rotate: [20, 20], scale: [1.1, 1.1] }) });
    const sample = inkScene();
    const results = Object.values(forms(sample)).map((given) => pipeline.applySync(given, { index: 0 }));
    const { width, height } = sample.image;
    for (const result of results) {
      result.masks!.forEach((m, i) => {
        const a = toBits(m, width, height);
        const b = toBits(results[0]!.masks![i]!, width, height);
        let both = 0;
        let any = 0;
        for (let p = 0; p < a.length; p++) {
          both += a[p]! & b[p]!;
          any += a[p]! | b[p]!;
        }
        expect(both / any).toBeGreaterThan(0.95);
      });
    }
  });
  test("1 and 5 channels; colour transforms are skipped with a note", () => {
    for (const channels of [1, 5]) {
      const data = new Uint8Array(40 * 30 * channels).map((_, i) => i);
      const sample = { image: { data, width: 40, height: 30, channels }, bboxes: [[5, 5, 20, 20]] };
      for (const { type } of BUILT_IN) {
        const result = pipelineFromConfig(listed({ type })).applySync(sample);
        expect(result.image.data).toHaveLength(data.length);
        if (["ColorJitter", "HueSaturationValue", "RandomSunFlare", "RandomFog"].includes(type)) {
          expect(result.trace[0]).toMatchObject({ params: null });
          expect(sameBytes(result.image.data, data)).toBe(true);
        }
      }
    }
  });
});

describe("determinism", () => {
  const spec = { characteristics: registry.getAvailableCharacteristics(), intensity: "high", seed: 9 } as const;
  test("the same key gives the same bytes in any order; other keys other bytes", () => {
    const sample = inkScene();
    const a = registry.getPipeline(spec);
    const b = registry.getPipeline(spec);
    const forward = [0, 1, 2, 3].map((index) => a.applySync(sample, { index, epoch: 1 }));
    const backward = [3, 2, 1, 0].map((index) => b.applySync(sample, { index, epoch: 1 })).reverse();
    forward.forEach((result, i) => {
      expect(sameBytes(result.image.data, backward[i]!.image.data)).toBe(true);
      expect({ ...backward[i]!, image: 0 }).toEqual({ ...result, image: 0 });
    });
    expect(sameBytes(a.applySync(sample, { index: 0, epoch: 2 }).image.data, forward[0]!.image.data)).toBe(false);
  });
  test("an added transform leaves the other draws alone", () => {
    const sample = inkScene();
    const one = pipelineFromConfig(listed({ type: "Affine", rotate: [-20, 20] }, { type: "GaussNoise" }));
    const two = pipelineFromConfig(
      listed({ type: "Affine", rotate: [-20, 20] }, { type: "Blur" }, { type: "GaussNoise" }),
    );
    const params = (pipeline: typeof one) =>
      pipeline
        .applySync(sample, { index: 3 })
        .trace.filter(({ type }) => type !== "Blur")
        .map((s) => s.params);
    expect(params(two)).toEqual(params(one));
  });
  test("a record below 1 kB replays to the same bytes; another plan refuses it", async () => {
    const sample = inkScene();
    const pipeline = registry.getPipeline({
      characteristics: ["changes_shape", "reflective_surface", "low_contrast", "partially_hidden"],
      environment: { lighting: "variable", camera: "moving", background: "busy", distance: "variable" },
      seed: 9,
    });
    for (let index = 0; index < 40; index++) {
      const result = pipeline.applySync(sample, { index });
      const record = JSON.parse(JSON.stringify(result.replay));
      expect(JSON.stringify(record).length).toBeLessThan(1024);
      const again = await pipeline.replay(record, sample);
      expect(sameBytes(again.image.data, result.image.data)).toBe(true);
      // Steps that were skipped are not in the record.
      const trace = result.trace.filter(({ params }) => params !== null);
      expect({ ...again, image: 0, trace: 0 }).toEqual({ ...result, image: 0, trace: 0 });
      expect(again.trace.map(({ path }) => path)).toEqual(trace.map(({ path }) => path));
    }
    const other = registry.getPipeline({ ...spec, intensity: "low" });
    await expect(other.replay(pipeline.applySync(sample).replay, sample)).rejects.toMatchObject({
      code: "replay_mismatch",
    });
  });
  test("TypeScript and WASM differ by at most one level per step", () => {
    const sample = inkScene();
    const ts = registry.getPipeline(spec, { backend: "typescript" });
    const wasm = registry.getPipeline(spec, { backend: "wasm" });
    expect([ts.backend, wasm.backend]).toEqual(["typescript", "wasm"]);
    for (let index = 0; index < 10; index++) {
      const a = ts.applySync(sample, { index });
      const b = wasm.applySync(sample, { index });
      const hasHsv = a.trace.some(({ type, params }) => type === "HueSaturationValue" && params !== null);
      if (!hasHsv) expect(sameBytes(b.image.data, a.image.data)).toBe(true);
      expect({ ...b, image: 0, replay: 0 }).toEqual({ ...a, image: 0, replay: 0 });
    }
  });
  test("gates open as often as p says, and one member of a group at a time", () => {
    const n = 4000;
    const pipeline = pipelineFromConfig(
      listed(
        { type: "HorizontalFlip", p: 0.3 },
        {
          oneOf: [
            { type: "RandomGamma", weight: 3 },
            { type: "RandomBrightnessContrast", weight: 1 },
          ],
          p: 0.6,
          group: "tone",
        },
      ),
    );
    const sample = canvas(2, 2);
    const count: Record<string, number> = {};
    for (let index = 0; index < n; index++) {
      const { trace } = pipeline.applySync(sample, { index });
      expect(trace.filter(({ type }) => type !== "HorizontalFlip").length).toBeLessThanOrEqual(1);
      for (const { type } of trace) count[type] = (count[type] ?? 0) + 1;
    }
    for (const [type, p] of [
      ["HorizontalFlip", 0.3],
      ["RandomGamma", 0.45],
      ["RandomBrightnessContrast", 0.15],
    ] as const) {
      // 3.29 standard errors: 99.9 %.
      expect(Math.abs(count[type]! / n - p)).toBeLessThan(3.29 * Math.sqrt((p * (1 - p)) / n));
    }
  });
});

describe("random pipelines", () => {
  test("never throw; boxes stay on the canvas, targets in step, areas positive, inputs unchanged", () => {
    const types = BUILT_IN.map(({ type }) => type);
    const sample = inkScene();
    const before = sample.image.data.slice();
    fc.assert(
      fc.property(
        fc.array(fc.record({ type: fc.constantFrom(...types), p: fc.constantFrom(0.5, 1) }), { maxLength: 6 }),
        fc.nat(1000),
        fc.constantFrom("typescript" as const, "wasm" as const),
        fc.constantFrom(undefined, { width: 80, height: 130 }),
        (transforms, index, backend, size) => {
          const config = { ...listed(...transforms), instances: { flipIdx: [0] }, ...(size ? { canvas: size } : {}) };
          const result = pipelineFromConfig(config, { backend }).applySync(sample, { index });
          const { width, height } = size ?? sample.image;
          expect([result.image.width, result.image.height]).toEqual([width, height]);
          const n = result.kept.length;
          expect([
            result.masks!.length,
            result.bboxes!.length,
            result.labels!.length,
            result.keypoints!.length,
          ]).toEqual([n, n, n, n]);
          expect(n + result.dropped.length).toBe(sample.bboxes!.length);
          for (const [x, y, w, h] of result.bboxes!) {
            expect(x >= 0 && y >= 0 && w >= 2 && h >= 2 && x + w <= width + 1e-9 && y + h <= height + 1e-9).toBe(true);
          }
          for (const area of result.area) expect(area).toBeGreaterThan(0);
          return true;
        },
      ),
      { numRuns: 80 },
    );
    expect(sameBytes(sample.image.data, before)).toBe(true);
    expect({ ...sample, image: 0 }).toEqual({ ...inkScene(), image: 0 });
  });
});

describe("mixing", () => {
  const bank = [0, 1, 2, 3].map((k) => inkScene({ shift: 3 * k }));
  const donors: DonorSource = {
    get: (stream, n) => Array.from({ length: n }, () => bank[stream.integer(0, bank.length - 1)]!),
  };
  test("mosaic: boxes lie in tiles on the canvas, donors are marked, nothing is mutated", () => {
    const pipeline = registry.getPipeline({
      characteristics: [],
      base: false,
      distillation: { mosaic: 1, mixup: 0, copy_paste: 0, epochs: 100 },
    });
    const before = bank.map(({ image }) => image.data.slice());
    const sample = inkScene();
    for (let index = 0; index < 10; index++) {
      const result = pipeline.applySync(sample, { index, donors });
      const { x, y } = result.trace[0]!.params as { x: number; y: number };
      const centre = [x - sample.image.width / 2, y - sample.image.height / 2] as const;
      result.bboxes!.forEach(([bx, by, bw, bh], i) => {
        // No box crosses the lines between the tiles.
        if (bx + 1e-6 < centre[0]) expect(bx + bw).toBeLessThanOrEqual(centre[0] + 1e-6);
        if (by + 1e-6 < centre[1]) expect(by + bh).toBeLessThanOrEqual(centre[1] + 1e-6);
        expect(result.kept[i]! >= 0).toBe(result.origins![i] === null);
      });
    }
    bank.forEach(({ image }, i) => void expect(sameBytes(image.data, before[i]!)).toBe(true));
    const late = pipeline.applySync(sample, { index: 0, epoch: 95, donors });
    expect(late.trace[0]).toMatchObject({ type: "mosaic", params: null });
    expect(sameBytes(late.image.data, sample.image.data)).toBe(true);
  });
  test("copy_paste: pasted pixels belong to the pasted mask and to no other", () => {
    const pipeline = registry.getPipeline({
      characteristics: [],
      base: false,
      distillation: { mosaic: 0, mixup: 0, copy_paste: 1, pastes: [6, 6] },
    });
    const sample = inkScene();
    const { width, height } = sample.image;
    let pasted = 0;
    let cut = 0;
    for (let index = 0; index < 12; index++) {
      const result = pipeline.applySync(sample, { index, donors });
      const planes = result.masks!.map((m) =>
        Array.isArray(m)
          ? mask.decode(mask.fromPolygons(m as number[][], height, width))
          : mask.decode(m as { size: [number, number]; counts: Uint32Array }),
      );
      result.kept.forEach((k, i) => {
        if (k < 0) pasted++;
        else if (!Array.isArray(result.masks![i])) cut++;
        for (let j = i + 1; j < planes.length; j++) {
          if (k >= 0 && result.kept[j]! >= 0) continue;
          let both = 0;
          for (let p = 0; p < planes[i]!.length; p++) both += planes[i]![p]! & planes[j]![p]!;
          // Polygon outlines are rasterised by two rules; along the outline a few pixels may differ.
          expect(both).toBeLessThan(40);
        }
      });
    }
    expect(pasted).toBeGreaterThan(5);
    expect(cut).toBeGreaterThan(0);
    const noMasks = { image: sample.image, bboxes: sample.bboxes! };
    expect(pipeline.applySync(noMasks, { index: 0, donors }).trace[0]!.notes).toEqual(["requires-masks"]);
  });
  test("mixup: both pictures and both lists, weights r and 1 - r; r has the spread of Beta(32, 32)", () => {
    const pipeline = registry.getPipeline({
      characteristics: [],
      base: false,
      distillation: { mosaic: 0, copy_paste: 0, mixup: 1, weighted: true },
    });
    const sample = inkScene();
    const ratios: number[] = [];
    for (let index = 0; index < 300; index++) {
      const result = pipeline.applySync(sample, { index, donors });
      const { ratio } = result.trace.at(-1)!.params as { ratio: number };
      ratios.push(ratio);
      if (index > 2) continue;
      expect(result.kept.filter((k) => k >= 0)).toHaveLength(3);
      expect(result.kept.filter((k) => k < 0)).toHaveLength(3);
      result.weights!.forEach((w, i) => void expect(w).toBeCloseTo(result.kept[i]! >= 0 ? ratio : 1 - ratio, 9));
    }
    const mean = ratios.reduce((a, b) => a + b, 0) / ratios.length;
    const deviation = Math.sqrt(ratios.reduce((a, b) => a + (b - mean) ** 2, 0) / ratios.length);
    expect(mean).toBeCloseTo(0.5, 1);
    expect(deviation).toBeGreaterThan(0.05);
    expect(deviation).toBeLessThan(0.075);
  });
  test("mixing replays with the same donors", async () => {
    const pipeline = registry.getPipeline({
      characteristics: ["changes_shape"],
      distillation: { mosaic: 1, copy_paste: 1, mixup: 1, epochs: 10 },
    });
    const sample = inkScene();
    const result = await pipeline(sample, { index: 4, donors });
    const again = await pipeline.replay(result.replay, sample, { donors });
    expect(sameBytes(again.image.data, result.image.data)).toBe(true);
    expect({ ...again, image: 0, trace: 0 }).toEqual({ ...result, image: 0, trace: 0 });
  });
  test("missing donors, asynchronous donors and teachers are refused", async () => {
    const spec = { characteristics: [], distillation: { mosaic: 1 } };
    const sample = inkScene();
    const missing = expect.objectContaining({ code: "missing_donor", path: "mosaic#0" });
    expect(() => registry.getPipeline(spec).applySync(sample)).toThrowError(missing);
    const lenient = registry.getPipeline({ ...spec, strict: false }).applySync(sample);
    expect(lenient.trace[0]!.notes).toEqual(["no donors were given"]);
    const late: DonorSource = { get: async (_, n) => bank.slice(0, n) };
    expect(() => registry.getPipeline(spec).applySync(sample, { donors: late })).toThrowError(
      expect.objectContaining({ code: "async_backend" }),
    );
    await expect(registry.getPipeline(spec)(sample, { donors: late })).resolves.toBeDefined();
    expect(() => registry.getPipeline({ ...spec, stage: "teacher" })).toThrowError(
      expect.objectContaining({ code: "invalid_config", path: "distillation" }),
    );
    expect(() => registry.getPipeline({ ...spec, distillation: { masks: "single-map" } })).toThrowError(
      expect.objectContaining({ path: "distillation.mixup" }),
    );
  });
});

describe("bad input has its typed error", () => {
  const pipeline = loadPipeline("schemaVersion: 1\ntransforms: []\n");
  const image = canvas(10, 10).image;
  const cases: [string, unknown, string][] = [
    ["float pixels", { image: { ...image, data: new Float32Array(300) } }, "unsupported_image"],
    ["too few bytes", { image: { ...image, data: new Uint8Array(299) } }, "unsupported_image"],
    ["no size", { image: { ...image, width: 0 } }, "unsupported_image"],
    ["turned annotations", { image, annotationSize: { width: 10, height: 20 } }, "size_mismatch"],
    ["unequal lengths", { image, bboxes: [[0, 0, 5, 5]], labels: [] }, "target_mismatch"],
    ["NaN box", { image, bboxes: [[0, Number.NaN, 5, 5]] }, "invalid_box"],
    ["three numbers", { image, bboxes: [[0, 0, 5]] }, "invalid_box"],
    ["odd polygon", { image, masks: [[[0, 0, 5, 5, 1]]] }, "invalid_mask"],
    ["endless polygon", { image, masks: [[[0, 0, 5, 5, 1, Number.POSITIVE_INFINITY]]] }, "invalid_mask"],
    ["mask of another size", { image, masks: [{ size: [5, 5], counts: [25] }] }, "invalid_mask"],
    ["short runs", { image, masks: [{ size: [10, 10], counts: [25] }] }, "invalid_mask"],
    ["small bitmap", { image, masks: [{ data: new Uint8Array(4), width: 2, height: 2 }] }, "invalid_mask"],
    ["visibility 3", { image, keypoints: [[[1, 1, 3]]] }, "invalid_keypoint"],
  ];
  test.each(cases)("%s", (_, sample, code) => {
    expect(() => pipeline.applySync(sample as PipelineSample)).toThrowError(expect.objectContaining({ code }));
  });
  test("reflect borders with annotations; a sharp step in applySync", async () => {
    const mirror = loadPipeline("schemaVersion: 1\nborder: reflect\ntransforms: [{type: Affine, rotate: [10, 10]}]\n");
    expect(mirror.applySync(canvas(10, 10)).image.data).toHaveLength(300);
    expect(() => mirror.applySync(canvas(10, 10, { bboxes: [[1, 1, 5, 5]] }))).toThrowError(
      expect.objectContaining({ code: "invalid_config", path: "border" }),
    );
    const sharp = loadPipeline(
      "schemaVersion: 1\ntransforms: [{type: GaussianBlur, sigma: [40, 40], backend: sharp}]\n",
    );
    expect(() => sharp.applySync(canvas(10, 10))).toThrowError(expect.objectContaining({ code: "async_backend" }));
    expect((await sharp(inkScene())).image.data).toHaveLength(inkScene().image.data.length);
  });
});
