import type { RgbImage } from "@seg/coco-dataset";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Colour, noise, pixel, rectangle, scene } from "../test/support.js";
import { applyAffine, IDENTITY } from "./affine.js";
import { type AugmentOptions, augmentSample, mosaicIsOpen } from "./augment-sample.js";
import { flipHorizontal, flipVertical } from "./flip.js";
import { clipInstances, transformInstances } from "./instances.js";
import { affineSample, mosaic } from "./mosaic.js";
import { CounterRandom } from "./philox.js";
import { rasterizePolygons } from "./rasterize.js";
import type { Sample, SampleInstance } from "./sample.js";

const SIZE = 64;
const BACKGROUNDS: Colour[] = [
  [10, 10, 10],
  [40, 40, 40],
  [70, 70, 70],
  [20, 50, 80],
  [80, 50, 20],
];

/** Pictures of different sizes, each with two bright rectangles whose red channel (200 or more) is found nowhere else. */
function dataset(polygons = true): Sample[] {
  return BACKGROUNDS.map((background, k) =>
    scene({
      width: 64 - 4 * k,
      height: 48 + 4 * k,
      background,
      rectangles: [
        { at: [6 + k, 5, 26 + k, 21], colour: [200 + k, 0, 0] },
        { at: [34, 24, 50 - k, 44], colour: [220 + k, 255, 0] },
      ],
      polygons,
    }),
  );
}

const hash = ({ data }: RgbImage) => data.reduce((sum, byte, i) => (sum * 31 + byte + i) >>> 0, 7);

function run(samples: readonly Sample[], index: number, epoch: number, options: AugmentOptions = {}): Sample {
  return augmentSample({
    load: (i) => samples[i]!,
    index,
    count: samples.length,
    seed: 42,
    epoch,
    size: SIZE,
    options,
  });
}

/**
 * Every pixel deeper than a pixel inside a label is at least half object, every pixel farther than one outside of all labels at most
 * half: bilinear sampling and block averages blend across outlines, but the middle of the blend is the outline. Half way between the
 * brightest background (80) and the darkest object (200) is 140.
 */
function contentAgrees({ image, instances }: Sample): string | null {
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < image.width; x++) {
      const red = pixel(image, x, y)[0]!;
      let inside = false;
      let near = false;
      for (const { box } of instances) {
        const depth = Math.min(x + 0.5 - box[0], y + 0.5 - box[1], box[2] - x - 0.5, box[3] - y - 0.5);
        if (depth > 1) inside = true;
        if (depth > -1) near = true;
      }
      if (inside && red < 140) return `(${x}, ${y}) is ${red}, labelled as an object`;
      if (!near && red > 140) return `(${x}, ${y}) is ${red}, not labelled`;
    }
  }
  return null;
}

describe("transformInstances", () => {
  const instance: SampleInstance = { classId: 3, box: [1, 2, 5, 4], matrix: IDENTITY, sourceId: 9 };
  test("moves boxes, polygons and the matrix, keeps the rest", () => {
    const withPolygon = { ...instance, polygons: [rectangle([1, 2, 5, 4])] };
    const [moved] = transformInstances([withPolygon], [2, 0, 10, 0, 3, 20]);
    expect(moved).toMatchObject({ classId: 3, sourceId: 9, box: [12, 26, 20, 32], matrix: [2, 0, 10, 0, 3, 20] });
    expect([...moved!.polygons![0]!]).toEqual([12, 26, 20, 26, 20, 32, 12, 32]);
    expect(withPolygon.box).toEqual([1, 2, 5, 4]);
  });
  test("bounds the corners under rotation, or the polygon where there is one", () => {
    const turn = [Math.SQRT1_2, -Math.SQRT1_2, 0, Math.SQRT1_2, Math.SQRT1_2, 0] as const;
    const box = [-1, -1, 1, 1] as const;
    const [corners] = transformInstances([{ ...instance, box }], turn);
    expect(corners!.box[2]).toBeCloseTo(Math.SQRT2, 12);
    const diamond = Float64Array.of(0, -1, 1, 0, 0, 1, -1, 0);
    const [tight] = transformInstances([{ ...instance, box, polygons: [diamond] }], turn);
    expect(tight!.box[2]).toBeCloseTo(Math.SQRT1_2, 12);
  });
});

describe("clipInstances", () => {
  const box = (x1: number, y1: number, x2: number, y2: number): SampleInstance => ({
    classId: 0,
    box: [x1, y1, x2, y2],
    matrix: IDENTITY,
  });
  test("clips, and drops what is too small or mostly hidden", () => {
    const limits = [0, 0, 100, 100] as const;
    const clip = (instance: SampleInstance) => clipInstances([instance], limits).map((kept) => kept.box);
    expect(clip(box(-10, 5, 20, 30))).toEqual([[0, 5, 20, 30]]);
    expect(clip(box(-10, 5, 1.9, 30))).toEqual([]);
    expect(clip(box(-90, 5, 10, 30))).toEqual([[0, 5, 10, 30]]);
    expect(clip(box(-95, 5, 10, 30))).toEqual([]);
    expect(clip({ ...box(-95, 5, 10, 30), ignore: true })).toEqual([[0, 5, 10, 30]]);
    expect(clip(box(200, 5, 210, 30))).toEqual([]);
  });
  test("takes the box from the polygons that are left", () => {
    const limits = [0, 0, 100, 100] as const;
    const polygons = [rectangle([-40, 10, -20, 30]), rectangle([10, 40, 60, 70])];
    const [kept] = clipInstances([{ ...box(-40, 10, 60, 70), polygons }], limits);
    expect(kept!.box).toEqual([10, 40, 60, 70]);
    expect(kept!.polygons).toHaveLength(1);
    expect(clipInstances([{ ...box(0, 0, 50, 50), polygons: [] }], limits)).toHaveLength(1);
  });
});

describe("flips", () => {
  test("COCO [10, 20, 30, 40] of 640 px lands on [600, 20, 30, 40]", () => {
    const image = { width: 640, height: 100, data: new Uint8Array(640 * 300) };
    const flipped = flipHorizontal({ image, instances: [{ classId: 0, box: [10, 20, 40, 60], matrix: IDENTITY }] });
    expect(flipped.instances[0]!.box).toEqual([600, 20, 630, 60]);
  });
  test.each([
    ["horizontal", flipHorizontal],
    ["vertical", flipVertical],
  ])("%s twice is the identity", (_name, flip) => {
    for (const sample of dataset()) {
      const back = flip(flip(sample));
      expect(back.image).toEqual(sample.image);
      expect(back.instances).toEqual(sample.instances);
      expect(contentAgrees(flip(sample))).toBeNull();
    }
  });
});

describe("mosaic", () => {
  const random = (path = "mosaic#0") => new CounterRandom({ seed: 5, path });
  /** The same picture by way of the doubled canvas, with the drawn centre. */
  test("without scale and shift it is the middle of the doubled canvas, byte by byte", () => {
    const samples = dataset().slice(0, 4);
    const out = mosaic({ samples, size: SIZE, random: random(), scale: 0, translate: 0 });
    const draws = random();
    const cx = Math.floor(draws.uniform(0.5, 1.5) * SIZE);
    const cy = Math.floor(draws.uniform(0.5, 1.5) * SIZE);
    const canvas = { width: 2 * SIZE, height: 2 * SIZE, data: new Uint8Array(12 * SIZE * SIZE).fill(114) };
    samples.forEach(({ image }, tile) => {
      for (let y = 0; y < image.height; y++) {
        for (let x = 0; x < image.width; x++) {
          const X = x + cx - (tile % 2 === 0 ? image.width : 0);
          const Y = y + cy - (tile < 2 ? image.height : 0);
          const onCanvas = X >= 0 && Y >= 0 && X < 2 * SIZE && Y < 2 * SIZE;
          if (onCanvas) canvas.data.set(pixel(image, x, y), (Y * canvas.width + X) * 3);
        }
      }
    });
    for (let y = 0; y < SIZE; y++) {
      for (let x = 0; x < SIZE; x++) {
        expect(pixel(out.image, x, y)).toEqual(pixel(canvas, x + SIZE / 2, y + SIZE / 2));
      }
    }
  });
  test.each([true, false])("labels agree with the picture (polygons: %s)", (polygons) => {
    const samples = dataset(polygons).slice(0, 4);
    let instances = 0;
    for (let i = 0; i < 40; i++) {
      const at = new CounterRandom({ seed: i, path: "mosaic#0" });
      // Slivers that the rules drop are visible but not labelled; keep them all to compare.
      const out = mosaic({ samples, size: SIZE, random: at, rules: { minSide: 0, minVisibility: 0 } });
      expect(contentAgrees(out), `seed ${i}`).toBeNull();
      instances += out.instances.length;
    }
    expect(instances).toBeGreaterThan(100);
  });
  test("objects stay within their own tile", () => {
    const wide = scene({
      width: 64,
      height: 64,
      background: [9, 9, 9],
      rectangles: [{ at: [0, 0, 64, 64], colour: [200, 0, 0] }],
    });
    // Annotated beyond the picture: must not reach into the neighbour.
    const instance = {
      ...wide.instances[0]!,
      box: [-20, -20, 90, 90] as const,
      polygons: [rectangle([-20, -20, 90, 90])],
    };
    const sample = { ...wide, instances: [instance] };
    const out = mosaic({
      samples: [sample, sample, sample, sample],
      size: SIZE,
      random: random(),
      scale: 0,
      translate: 0,
    });
    const [first, ...rest] = out.instances;
    for (const other of rest) {
      const overlapX = Math.min(first!.box[2], other.box[2]) - Math.max(first!.box[0], other.box[0]);
      const overlapY = Math.min(first!.box[3], other.box[3]) - Math.max(first!.box[1], other.box[1]);
      expect(Math.min(overlapX, overlapY)).toBeLessThanOrEqual(1e-9);
    }
  });
  test("needs four samples and sane options", () => {
    const samples = dataset();
    expect(() => mosaic({ samples: samples.slice(0, 3), size: SIZE, random: random() })).toThrowError(
      expect.objectContaining({ code: "missing_donor" }),
    );
    const four = samples.slice(0, 4);
    expect(() => mosaic({ samples: four, size: SIZE, random: random(), scale: 1 })).toThrowError(
      expect.objectContaining({ code: "invalid_option" }),
    );
    expect(() => mosaic({ samples: four, size: 0, random: random() })).toThrowError(
      expect.objectContaining({ code: "invalid_option" }),
    );
    const bad = { ...four[0]!, instances: [{ classId: 0, box: [0, 0, Number.NaN, 1] as const, matrix: IDENTITY }] };
    expect(() => mosaic({ samples: [bad, ...four.slice(1)], size: SIZE, random: random() })).toThrowError(
      expect.objectContaining({ code: "invalid_instance" }),
    );
  });
});

describe("affineSample", () => {
  const [sample] = dataset();
  test("without scale and shift it centres the picture, byte by byte", () => {
    const random = new CounterRandom({ seed: 1, path: "Affine#0" });
    const image = noise(61, 40);
    const out = affineSample({ sample: { image, instances: [] }, size: SIZE, random, scale: 0, translate: 0 });
    for (let y = 0; y < 40; y++)
      for (let x = 0; x < 61; x++) expect(pixel(out.image, x + 1, y + 12)).toEqual(pixel(image, x, y));
    expect(pixel(out.image, 0, 12)).toEqual([114, 114, 114]);
    expect(pixel(out.image, 1, 11)).toEqual([114, 114, 114]);
  });
  test("labels agree with the picture", () => {
    for (let i = 0; i < 40; i++) {
      const random = new CounterRandom({ seed: i, path: "Affine#0" });
      const out = affineSample({ sample: sample!, size: SIZE, random, rules: { minSide: 0, minVisibility: 0 } });
      expect(contentAgrees(out), `seed ${i}`).toBeNull();
    }
  });
});

describe("augmentSample", () => {
  const samples = dataset();
  test("same key same bytes, in any order", () => {
    const keys = Array.from({ length: 10 }, (_, i) => [i % 5, Math.floor(i / 5)] as const);
    const forward = keys.map(([index, epoch]) => run(samples, index, epoch));
    const backward = [...keys].reverse().map(([index, epoch]) => run(samples, index, epoch));
    backward.reverse().forEach((out, i) => {
      expect(out).toEqual(forward[i]);
    });
    expect(new Set(forward.map((out) => hash(out.image))).size).toBe(10);
  });
  test("changes none of its inputs", () => {
    const before = structuredClone(samples);
    for (let i = 0; i < 5; i++) run(samples, i, 3);
    expect(samples).toEqual(before);
  });
  test("donors are others, drawn apart from the rest", () => {
    const loaded: number[][] = [];
    for (let epoch = 0; epoch < 30; epoch++) {
      const indices: number[] = [];
      augmentSample({
        load: (i) => {
          indices.push(i);
          return samples[i]!;
        },
        index: 2,
        count: 5,
        seed: 42,
        epoch,
        size: SIZE,
      });
      loaded.push(indices);
    }
    const donors = loaded.flatMap((indices) => indices.filter((i) => i !== 2));
    expect(donors.length).toBe(90);
    expect(new Set(donors)).toEqual(new Set([0, 1, 3, 4]));
    // The donors' pixels do not move the other draws: same place of the first object whatever the donors hold.
    const others = samples.map((sample, i) => (i === 2 ? sample : { image: noise(50, 50, i), instances: [] }));
    for (let epoch = 0; epoch < 10; epoch++) {
      const own = (all: Sample[]) =>
        run(all, 2, epoch).instances.filter(
          ({ matrix, classId, sourceId }) => matrix && classId === 0 && sourceId === 100,
        );
      const alone = own(others);
      const among = own(samples).filter((a) => alone.some((b) => b.box.every((v, k) => v === a.box[k])));
      expect(among.length).toBe(alone.length);
    }
  });
  test("another setting leaves the other draws alone", () => {
    for (let epoch = 0; epoch < 5; epoch++) {
      const plain = run(samples, 1, epoch, { fliplr: 0, hsv: false });
      expect(run(samples, 1, epoch, { fliplr: 0, hsv: {} }).instances).toEqual(plain.instances);
      expect(run(samples, 1, epoch, { fliplr: 1, hsv: false })).toEqual(flipHorizontal(plain));
      expect(run(samples, 1, epoch, { fliplr: 0, flipud: 1, hsv: false })).toEqual(flipVertical(plain));
    }
  });
  test("matrix maps the source's vertices to the transformed ones, box and polygon and picture agree", () => {
    const options = { flipud: 0.5, hsv: false as const, rules: { minSide: 0, minVisibility: 0 } };
    let whole = 0;
    for (let epoch = 0; epoch < 30; epoch++) {
      for (const mosaicP of [0, 1]) {
        const out = run(samples, epoch % 5, epoch, { ...options, mosaic: mosaicP });
        expect([out.image.width, out.image.height, out.image.data.length]).toEqual([SIZE, SIZE, SIZE * SIZE * 3]);
        expect(contentAgrees(out)).toBeNull();
        for (const { box, polygons, matrix, classId, sourceId } of out.instances) {
          expect(sourceId).toBe(100 + classId);
          const xs = polygons!.flatMap((part) => [...part].filter((_, i) => i % 2 === 0));
          expect([Math.min(...xs), Math.max(...xs)]).toEqual([box[0], box[2]]);
          // Whole objects: their four corners are those of one of the data set's rectangles of the class.
          const corners = samples.map((sample) => {
            const [x1, y1, x2, y2] = sample.instances[classId]!.box;
            const [ax, ay] = applyAffine(matrix, x1, y1);
            const [bx, by] = applyAffine(matrix, x2, y2);
            return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
          });
          const distance = (c: number[]) => Math.max(...c.map((v, k) => Math.abs(v - box[k]!)));
          if (corners.some((c) => distance(c) < 1e-9)) whole++;
          else expect(Math.min(box[0], box[1], SIZE - box[2], SIZE - box[3]) < 1e-9 || mosaicP === 1).toBe(true);
        }
      }
    }
    expect(whole).toBeGreaterThan(30);
  });
  test("rasterised polygons cover the object's pixels", () => {
    for (let epoch = 0; epoch < 10; epoch++) {
      const out = run(samples, 0, epoch, { hsv: false, rules: { minSide: 0, minVisibility: 0 } });
      const polygons = out.instances.flatMap((instance) => instance.polygons ?? []);
      const grid = rasterizePolygons({ polygons, width: SIZE, height: SIZE });
      let wrong = 0;
      for (let p = 0; p < SIZE * SIZE; p++) if (out.image.data[p * 3]! > 150 !== (grid[p] === 1)) wrong++;
      // Blended pixels along the outlines may fall on either side.
      expect(wrong).toBeLessThan(0.05 * SIZE * SIZE);
    }
  });
  test("every result is within the canvas and large enough", () => {
    fc.assert(
      fc.property(fc.nat(4), fc.nat(1000), fc.double({ min: 0, max: 0.9, noNaN: true }), (index, epoch, scale) => {
        const { instances } = run(samples, index, epoch, { scale, flipud: 0.5 });
        return instances.every(
          ({ box: [x1, y1, x2, y2] }) =>
            x1 >= -1e-9 &&
            y1 >= -1e-9 &&
            x2 <= SIZE + 1e-9 &&
            y2 <= SIZE + 1e-9 &&
            x2 - x1 >= 2 - 1e-9 &&
            y2 - y1 >= 2 - 1e-9,
        );
      }),
      { numRuns: 60, seed: 1 },
    );
  });
  test("a single picture is its own donor", () => {
    const out = augmentSample({ load: () => samples[0]!, index: 0, count: 1, seed: 1, epoch: 0, size: SIZE });
    expect(out.image.width).toBe(SIZE);
  });
  test("refuses probabilities and indices out of range", () => {
    const code = { code: "invalid_option" };
    expect(() => run(samples, 0, 0, { fliplr: 1.5 })).toThrowError(expect.objectContaining(code));
    expect(() => run(samples, 5, 0)).toThrowError(expect.objectContaining(code));
    expect(() => run(samples, 0, 0, { scale: -1 })).toThrowError(expect.objectContaining(code));
  });
});

test("mosaicIsOpen closes for the last tenth, ten epochs at most", () => {
  const open = (epochs: number) => Array.from({ length: epochs }, (_, epoch) => mosaicIsOpen({ epoch, epochs }));
  expect(open(300).filter((on) => !on)).toHaveLength(10);
  expect(open(20)).toEqual([...new Array(18).fill(true), false, false]);
  expect(open(1)).toEqual([false]);
});
