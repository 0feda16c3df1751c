import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { syn } from "../test/support.js";
import type { PreprocessConfigInput } from "./config.js";
import { createPreprocessor, type PreparedBatch } from "./create-preprocessor.js";
import type { ModelKey } from "./models.js";
import { prepareGroundingDino } from "./prepare-grounding-dino.js";
import { prepareSam } from "./prepare-sam.js";
import { prepareSam2 } from "./prepare-sam2.js";
import { prepareYolo } from "./prepare-yolo.js";

/** Small inputs: the arithmetic is the same, the test quick. */
const config: PreprocessConfigInput = {
  runtime: { workers: 0 },
  models: {
    grounding_dino: { shortestEdge: 48, longestEdge: 80 },
    sam: { imageSize: 64 },
    mobile_sam: { imageSize: 64 },
    sam2: { imageSize: 64 },
    yolov8: { imageSize: 64 },
    yolov8_seg: { imageSize: 64 },
  },
};
const models: readonly ModelKey[] = ["yolov8_seg", "grounding_dino", "sam2", "sam", "mobile_sam"];

let dir: string;
const files: string[] = [];
let broken: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "seg-preprocess-"));
  for (const [w, h] of [
    [97, 61],
    [40, 90],
    [64, 64],
    [120, 33],
    [50, 51],
  ] as const) {
    const file = join(dir, `${w}x${h}.png`);
    await sharp(syn(w, h).data, { raw: { width: w, height: h, channels: 3 } })
      .png()
      .toFile(file);
    files.push(file);
  }
  broken = join(dir, "broken.png");
  await writeFile(broken, "no picture");
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const bytes = ({ data }: { data: ArrayBufferView }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

describe("createPreprocessor", () => {
  test("refuses an empty list, unknown and repeated keys", () => {
    expect(() => createPreprocessor([])).toThrowError(expect.objectContaining({ name: "PreprocessConfigError" }));
    expect(() => createPreprocessor(["yolov8seg" as ModelKey, "sam", "sam"])).toThrowError(
      expect.objectContaining({
        issues: [
          { path: "models.0", message: expect.stringContaining('"yolov8_seg"') },
          { path: "models.2", message: expect.stringContaining("twice") },
        ],
      }),
    );
  });

  test("gives each model what its own function gives, byte by byte, in the requested order", async () => {
    const pre = createPreprocessor(models, { config });
    const out = await pre.run(files[0]!);
    expect(Object.keys(out)).toEqual([...models, "failures", "warnings"]);
    const image = syn(97, 61);
    const dino = prepareGroundingDino(image, { shortestEdge: 48, longestEdge: 80 });
    const expected = {
      grounding_dino: dino.data,
      sam: prepareSam(image, { size: 64 }).data,
      mobile_sam: prepareSam(image, { size: 64 }).data,
      sam2: prepareSam2(image, { size: 64 }).data,
      yolov8_seg: prepareYolo(image, { size: 64 }).data,
    };
    for (const [model, data] of Object.entries(expected)) {
      const { tensors, meta, resampler } = out[model as ModelKey];
      const pixels = tensors[model === "yolov8_seg" ? "images" : "pixel_values"]!;
      expect(pixels.data, model).toEqual(data);
      expect(pixels.dims).toEqual([1, 3, meta.netH, meta.netW]);
      expect(meta).toMatchObject({ model, origW: 97, origH: 61 });
      expect(resampler).toBe("exact");
    }
    const mask = out.grounding_dino.tensors["pixel_mask"]!;
    expect(mask.dims).toEqual([1, dino.geometry.netH, dino.geometry.netW]);
    expect((mask.data as Uint8Array).every((v) => v === 1)).toBe(true);
    const hashes = models.map((model) => out[model].meta.configHash);
    expect(new Set(hashes).size).toBe(models.length);
  });

  test("one model alone gives the same bytes as among others", async () => {
    const all = await createPreprocessor(models, { config }).run(files[1]!);
    for (const model of models) {
      const alone = await createPreprocessor([model], { config }).run(files[1]!);
      for (const [name, tensor] of Object.entries(alone[model].tensors)) {
        expect(bytes(all[model].tensors[name]!).equals(bytes(tensor)), `${model} ${name}`).toBe(true);
      }
      expect(all[model].meta).toEqual(alone[model].meta);
    }
  });

  test("equal settings share a buffer only on request", async () => {
    const pair = ["sam", "mobile_sam"] as const;
    const apart = await createPreprocessor(pair, { config }).run(files[0]!);
    const data = (set: typeof apart, model: (typeof pair)[number]) => set[model].tensors["pixel_values"]!.data;
    expect(data(apart, "sam")).not.toBe(data(apart, "mobile_sam"));
    expect(data(apart, "sam")).toEqual(data(apart, "mobile_sam"));
    const shared = await createPreprocessor(pair, { config, shareBuffers: true }).run(files[0]!);
    expect(data(shared, "sam")).toBe(data(shared, "mobile_sam"));
  });

  test("resizes of equal size with other statistics are shared and stay right", async () => {
    const pair = ["sam", "mobile_sam"] as const;
    const mean = [1, 2, 3] as [number, number, number];
    const out = await createPreprocessor(pair, {
      config: { ...config, models: { sam: { imageSize: 64 }, mobile_sam: { imageSize: 64, mean } } },
    }).run(files[0]!);
    expect(out.mobile_sam.tensors["pixel_values"]!.data).toEqual(prepareSam(syn(97, 61), { size: 64, mean }).data);
  });

  test("fills given buffers, whatever they held", async () => {
    const pre = createPreprocessor(["sam"], { config });
    const fresh = await pre.run(files[0]!);
    const out = new Float32Array(3 * 64 * 64).fill(7);
    const { sam } = await pre.run(files[0]!, { out: { sam: out } });
    expect(sam.tensors["pixel_values"]!.data).toBe(out);
    expect(out).toEqual(fresh.sam.tensors["pixel_values"]!.data);
  });

  test.each([0, 1])("released buffers serve the next picture, with %i workers", async (workers) => {
    const pre = createPreprocessor(models, { config, workers });
    const seen = new Set<ArrayBufferLike>();
    for (const file of [...files, ...files]) {
      const fresh = await createPreprocessor(models, { config }).run(file);
      const out = await pre.run(file);
      for (const model of models) {
        for (const [name, tensor] of Object.entries(fresh[model].tensors)) {
          expect(bytes(out[model].tensors[name]!).equals(bytes(tensor)), `${file} ${model} ${name}`).toBe(true);
        }
        if (workers === 0) for (const { data } of Object.values(out[model].tensors)) seen.add(data.buffer);
      }
      pre.release(...models.map((model) => out[model]));
    }
    // Ten pictures, five models, one mask each for Grounding DINO.
    if (workers === 0) expect(seen.size).toBeLessThanOrEqual(models.length + 10);
    await pre.close();
  });

  test("batches of models that share buffers stay right", async () => {
    const pair = ["sam", "mobile_sam"] as const;
    const pre = createPreprocessor(pair, { config, shareBuffers: true });
    for await (const { models: got } of pre.batches(files, { batchSize: 2 })) {
      expect(bytes(got.sam!.tensors["pixel_values"]!).equals(bytes(got.mobile_sam!.tensors["pixel_values"]!))).toBe(
        true,
      );
      pre.release(got.sam, got.mobile_sam);
    }
  });

  test("uint8 output keeps the letterbox bytes and is refused where mean and std are needed", async () => {
    const runtime = { workers: 0, output: "uint8" } as const;
    const pre = createPreprocessor(["yolov8"], { config: { models: { yolov8: { imageSize: 64 } }, runtime } });
    const { data } = (await pre.run(files[0]!)).yolov8.tensors["images"]!;
    expect(data).toBeInstanceOf(Uint8Array);
    const floats = prepareYolo(syn(97, 61), { size: 64 }).data;
    expect(Float32Array.from(data as Uint8Array, (v) => v / 255)).toEqual(floats);
    expect(() => createPreprocessor(["sam"], { config: { runtime } })).toThrowError(
      expect.objectContaining({ issues: [{ path: "runtime.output", message: expect.stringContaining("sam") }] }),
    );
  });

  test("checks the annotated size and names the failing model only when others succeed", async () => {
    const pre = createPreprocessor(["sam", "sam2"], { config });
    await expect(pre.run(files[0]!, { expectedSize: { width: 61, height: 60 } })).rejects.toMatchObject({
      code: "size_mismatch",
    });
    const sliver = await sharp(syn(300, 1).data, { raw: { width: 300, height: 1, channels: 3 } })
      .png()
      .toBuffer();
    await expect(pre.run(sliver)).rejects.toMatchObject({ code: "content_too_small", model: "sam" });
    const collect = createPreprocessor(["sam", "sam2"], { config, onError: "collect" });
    const out = await collect.run(sliver);
    expect(out.sam).toBeNull();
    expect(out.sam2?.meta.contentW).toBe(64);
    expect(out.failures).toEqual([expect.objectContaining({ code: "content_too_small", model: "sam" })]);
    expect((await collect.run(broken)).failures).toEqual([
      expect.objectContaining({ code: "decode_failed", source: broken, model: null }),
    ]);
  });

  test("an abort ends a run and a batch", async () => {
    const pre = createPreprocessor(["sam"], { config });
    const signal = AbortSignal.abort(new Error("stop"));
    await expect(pre.run(files[0]!, { signal })).rejects.toThrow("stop");
    const controller = new AbortController();
    const batches = pre.batches(files, { batchSize: 1, signal: controller.signal });
    await batches.next();
    controller.abort(new Error("enough"));
    await expect(batches.next()).rejects.toThrow("enough");
  });

  test("sharp-fast shrinks only, and YOLO stays exact", async () => {
    const runtime = { workers: 0, resampler: "sharp-fast" } as const;
    const pre = createPreprocessor(["sam", "yolov8_seg"], { config: { ...config, runtime } });
    const smooth = Uint8Array.from({ length: 97 * 61 * 3 }, (_, i) => {
      const x = Math.floor(i / 3) % 97;
      return 128 + 100 * Math.sin(x / 9 + i / 5000);
    });
    const raw = { width: 97, height: 61, channels: 3 } as const;
    const out = await pre.run(await sharp(smooth, { raw }).png().toBuffer());
    expect([out.sam.resampler, out.yolov8_seg.resampler]).toEqual(["sharp-fast", "exact"]);
    const exact = prepareSam({ width: 97, height: 61, data: smooth }, { size: 64 }).data;
    const fast = out.sam.tensors["pixel_values"]!.data as Float32Array;
    // At most 2 levels of 1 / 57.12, as specified for photographs; on noise libvips differs by up to 10.
    expect(Math.max(...fast.map((v, i) => Math.abs(v - exact[i]!)))).toBeLessThan(2.5 / 57);
    const other = createPreprocessor(["sam"], { config });
    expect(out.sam.meta.configHash).not.toBe((await other.run(files[0]!)).sam.meta.configHash);
    await expect(pre.run(files[4]!)).rejects.toMatchObject({ code: "config_invalid", model: "sam" });
  });
});

describe("batches", () => {
  const collected = async (workers: number, sources: readonly string[], batchSize = 2) => {
    const pre = createPreprocessor(["grounding_dino", "yolov8_seg"], { config, workers, onError: "collect" });
    const batches: PreparedBatch<"grounding_dino" | "yolov8_seg">[] = [];
    for await (const batch of pre.batches(sources, { batchSize })) batches.push(batch);
    await pre.close();
    return batches;
  };

  test("keeps the order, lists failures, pads Grounding DINO to the largest and marks the content", async () => {
    const batches = await collected(0, [files[0]!, broken, files[1]!, files[2]!], 2);
    expect(batches.map(({ items }) => items.map(({ source }) => source))).toEqual([
      [files[0], broken],
      [files[1], files[2]],
    ]);
    expect(batches[0]!.failures).toEqual([
      { item: 1, error: expect.objectContaining({ code: "decode_failed", source: broken }) },
    ]);
    expect(batches[0]!.models.grounding_dino!.rows).toEqual([0]);
    const { tensors, metas, rows } = batches[1]!.models.grounding_dino!;
    expect(rows).toEqual([0, 1]);
    const [n, , height, width] = tensors["pixel_values"]!.dims as [number, number, number, number];
    expect(n).toBe(2);
    const singles = [prepareGroundingDino(syn(40, 90), dinoEdges), prepareGroundingDino(syn(64, 64), dinoEdges)];
    expect([width, height]).toEqual([
      Math.max(...singles.map(({ geometry }) => geometry.netW)),
      Math.max(...singles.map(({ geometry }) => geometry.netH)),
    ]);
    const pixels = tensors["pixel_values"]!.data as Float32Array;
    const mask = tensors["pixel_mask"]!.data as Uint8Array;
    singles.forEach(({ data, geometry }, i) => {
      const { contentW, contentH } = geometry;
      let ones = 0;
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const inside = x < contentW && y < contentH;
          ones += mask[(i * height + y) * width + x]!;
          for (let c = 0; c < 3; c++) {
            const value = pixels[((i * 3 + c) * height + y) * width + x]!;
            expect(value).toBe(inside ? data[(c * contentH + y) * contentW + x] : 0);
          }
        }
      }
      expect(ones).toBe(contentW * contentH);
      expect(metas[i]).toMatchObject({ contentW, contentH, netW: width, netH: height, padR: width - contentW });
    });
  });

  test("the same bytes for 0, 1 and 4 workers", async () => {
    const sources = [...files, broken, ...files, ...files];
    const reference = await collected(0, sources, 3);
    for (const workers of [1, 4]) {
      const got = await collected(workers, sources, 3);
      expect(got.length).toBe(reference.length);
      got.forEach((batch, b) => {
        const expected = reference[b]!;
        expect(batch.items).toEqual(expected.items);
        expect(batch.failures.map(({ item, error }) => [item, error.code, error.message])).toEqual(
          expected.failures.map(({ item, error }) => [item, error.code, error.message]),
        );
        for (const model of ["grounding_dino", "yolov8_seg"] as const) {
          expect(batch.models[model]?.metas).toEqual(expected.models[model]?.metas);
          for (const [name, tensor] of Object.entries(expected.models[model]?.tensors ?? {})) {
            expect(bytes(batch.models[model]!.tensors[name]!).equals(bytes(tensor))).toBe(true);
          }
        }
      });
    }
  });

  test("reads ahead no further than a batch and the workers", async () => {
    const pre = createPreprocessor(["sam"], { config, workers: 2 });
    let taken = 0;
    function* endless() {
      for (;;) {
        taken++;
        yield files[taken % files.length]!;
      }
    }
    const batches = pre.batches(endless(), { batchSize: 3 });
    await batches.next();
    expect(taken).toBeLessThanOrEqual(3 + 2);
    await batches.next();
    expect(taken).toBeLessThanOrEqual(6 + 2);
    await batches.return();
    await pre.close();
  });

  test("throws at the first failure in order, and ends", async () => {
    const pre = createPreprocessor(["sam"], { config, workers: 1 });
    const batches = pre.batches([files[0]!, broken, files[1]!], { batchSize: 1 });
    expect((await batches.next()).done).toBe(false);
    await expect(batches.next()).rejects.toMatchObject({ code: "decode_failed", source: broken });
    expect((await batches.next()).done).toBe(true);
    await pre.close();
    await expect(pre.batches(files, { batchSize: 0 }).next()).rejects.toMatchObject({ code: "config_invalid" });
  });

  test("val-rect pads a batch centred to the loader's shape", async () => {
    const yolo = { imageSize: 64, mode: "val-rect" } as const;
    const pre = createPreprocessor(["yolov8_seg"], {
      config: { runtime: { workers: 0 }, models: { yolov8_seg: yolo } },
    });
    const { value } = await pre.batches([files[0]!, files[3]!], { batchSize: 2 }).next();
    const { tensors, metas } = (value as PreparedBatch<"yolov8_seg">).models.yolov8_seg!;
    // 61 / 97 of 64 in strides of 32, plus half a stride, rounded up: 64; the long side 96.
    expect(tensors["images"]!.dims).toEqual([2, 3, 64, 96]);
    expect(metas.map(({ contentW, contentH, padL, padT }) => [contentW, contentH, padL, padT])).toEqual([
      [64, 41, 16, 11],
      [64, 18, 16, 23],
    ]);
    const data = tensors["images"]!.data as Float32Array;
    expect(data[0]).toBe(Math.fround(114 / 255));
    expect(data[23 * 96 + 96 * 64 * 3 + 16]).not.toBe(Math.fround(114 / 255));
  });
});

const dinoEdges = { shortestEdge: 48, longestEdge: 80 };
