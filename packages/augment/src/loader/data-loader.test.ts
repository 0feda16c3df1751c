import { createHash } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import { registry } from "../registry.js";
import { createDataLoader, type DataLoader, type DataLoaderOptions, type LoadedSample } from "./data-loader.js";

const module = new URL("../../test/loader-source.ts", import.meta.url).href;
const pipeline = registry.getPipeline({
  characteristics: ["changes_shape", "low_contrast"],
  distillation: { mosaic: 0.5, mixup: 0.3, copy_paste: 0.3, epochs: 10 },
  seed: 4,
});
const open: DataLoader[] = [];
const loader = (options: Partial<DataLoaderOptions> = {}) => {
  const made = createDataLoader({ source: { module }, pipeline, ...options });
  open.push(made);
  return made;
};
afterEach(async () => {
  await Promise.all(open.splice(0).map((l) => l.close()));
});

const digest = ({ position, index, result: { image, ...rest } }: LoadedSample) =>
  `${position} ${index} ${createHash("sha256").update(image.data).update(JSON.stringify(rest)).digest("hex")}`;

async function all(l: DataLoader, epoch: number, options?: { from?: number }): Promise<string[]> {
  const out: string[] = [];
  for await (const sample of l.epoch(epoch, options)) out.push(digest(sample));
  return out;
}

describe("createDataLoader", () => {
  test("0, 1 and 4 workers give the same bytes in the same order; other epochs others", async () => {
    const none = await all(loader(), 0);
    expect(none).toHaveLength(12);
    expect(await all(loader({ workers: 1 }), 0)).toEqual(none);
    const four = loader({ workers: 4, prefetch: 3 });
    expect(await all(four, 0)).toEqual(none);
    expect(await all(four, 1)).not.toEqual(none);
  });
  test("resumes in the middle of an epoch with what would have come", async () => {
    const whole = await all(loader(), 2);
    expect(await all(loader(), 2, { from: 7 })).toEqual(whole.slice(7));
  });
  test("shuffles by seed and epoch, or keeps the order", async () => {
    const indices = async (l: DataLoader, epoch: number) =>
      (await all(l, epoch)).map((line) => Number(line.split(" ")[1]));
    const shuffled = await indices(loader(), 0);
    expect([...shuffled].sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => i));
    expect(await indices(loader(), 1)).not.toEqual(shuffled);
    expect(await indices(loader({ shuffle: false }), 5)).toEqual(Array.from({ length: 12 }, (_, i) => i));
  });
  test("loads no more than the window ahead", async () => {
    const source = { module: new URL("../../test/counting-source.ts", import.meta.url).href };
    const { loaded } = (await import("../../test/counting-source.js")) as { loaded: number[] };
    const plain = registry.getPipeline({ characteristics: [] });
    const l = createDataLoader({ source, pipeline: plain, shuffle: false });
    const epoch = l.epoch(0);
    await epoch.next();
    await epoch.next();
    // Without workers one sample at a time.
    expect(loaded).toEqual([0, 1]);
    await epoch.return();
  });
  test("an error of the source names itself; the others are not lost", async () => {
    for (const workers of [0, 1]) {
      const l = loader({ source: { module, options: { bad: 3 } }, workers, shuffle: false });
      const seen: number[] = [];
      const run = async () => {
        for await (const { index } of l.epoch(0)) seen.push(index);
      };
      await expect(run()).rejects.toThrowError(/image 3 is damaged/);
      // Donors may be the damaged one too.
      expect(seen.length).toBeLessThanOrEqual(3);
    }
  });
  test("stops when the signal says so", async () => {
    const controller = new AbortController();
    const l = loader();
    const run = async () => {
      for await (const { position } of l.epoch(0, { signal: controller.signal }))
        if (position === 2) controller.abort();
    };
    await expect(run()).rejects.toMatchObject({ name: "AbortError" });
  });
  test("a module without the export and options out of range have their error", async () => {
    const l = loader({ source: { module, exportName: "nothing" } });
    await expect(l.epoch(0).next()).rejects.toMatchObject({ code: "invalid_config", path: "source.exportName" });
    expect(() => loader({ workers: -1 })).toThrowError(expect.objectContaining({ path: "workers" }));
    expect(() => loader({ prefetch: 0 })).toThrowError(expect.objectContaining({ path: "prefetch" }));
  });
});
