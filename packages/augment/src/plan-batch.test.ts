import { describe, expect, test } from "vitest";
import { inkScene, sameBytes } from "../test/pipeline-support.js";
import { donorsFrom, loadNumbered, type SampleSource } from "./loader/sample-source.js";
import { sourceMap } from "./pipeline/source-map.js";
import type { Keypoint, PipelineResult } from "./pipeline/types.js";
import { planBatch } from "./plan-batch.js";
import { pipelineFromConfig, registry } from "./registry.js";

const bank = Array.from({ length: 6 }, (_, k) => ({
  ...inkScene({ shift: 3 * k }),
  bboxes: inkScene({ shift: 3 * k }).bboxes!,
}));
const source: SampleSource = { count: bank.length, load: (index) => bank[index]! };
/** The same without pixels: a plan must not need them. */
const outlines = {
  count: bank.length,
  load: (index: number) => {
    const { image, ...rest } = bank[index]!;
    return { ...rest, image: { width: image.width, height: image.height, channels: image.channels } };
  },
};
const pipeline = registry.getPipeline({
  characteristics: registry.getAvailableCharacteristics(),
  intensity: "high",
  distillation: { mosaic: 0.5, mixup: 0.5, copy_paste: 0.5, epochs: 10 },
  instances: { flipIdx: [0] },
  seed: 9,
});
const indices = [3, 0, 5, 1, 2, 4];

const render = async (epoch: number, index: number): Promise<PipelineResult> =>
  pipeline(await loadNumbered(source, index), { epoch, index, donors: donorsFrom(source, index) });

describe("planBatch", () => {
  test("plans what the pipeline does, without a pixel", async () => {
    for (const epoch of [0, 1, 2]) {
      const planned = await planBatch({ pipeline, source: outlines, epoch, indices });
      for (const { index, photometric, ...outline } of planned) {
        const { image: _, ...rest } = await render(epoch, index);
        expect(outline).toEqual(rest);
        expect(photometric.every((step) => rest.trace.some((other) => other.path === step.path))).toBe(true);
      }
    }
  });
  test("an empty batch is an empty plan; the order of the indices changes nothing", async () => {
    expect(await planBatch({ pipeline, source: outlines, epoch: 0, indices: [] })).toEqual([]);
    const there = await planBatch({ pipeline, source: outlines, epoch: 1, indices });
    const back = await planBatch({ pipeline, source: outlines, epoch: 1, indices: indices.toReversed() });
    expect(back.toReversed()).toEqual(there);
  });
  test("the record replays to the picture that the pipeline makes", async () => {
    const [planned] = await planBatch({ pipeline, source: outlines, epoch: 0, indices: [2] });
    const again = await pipeline.replay(planned!.replay, bank[2]!, { donors: donorsFrom(source, 2) });
    expect(sameBytes(again.image.data, (await render(0, 2)).image.data)).toBe(true);
  });
  test("sources name their dataset index and take every annotation to where the result has it", async () => {
    const kinds = new Set<string>();
    let moved = 0;
    for (const epoch of [0, 1, 2, 3]) {
      for (const plan of await planBatch({ pipeline, source: outlines, epoch, indices })) {
        const own = plan.sources[0]!;
        expect(own).toMatchObject({ path: "", source: plan.index, instance: null });
        const size = { width: 160, height: 120 };
        plan.kept.forEach((kept, i) => {
          const origin = plan.origins?.[i] ?? `:${kept}`;
          const at = origin.lastIndexOf(":");
          const from = plan.sources.find(({ path }) => path === origin.slice(0, at))!;
          kinds.add(from.path.replace(/\d+$/, ""));
          const [x, y] = (bank[from.source!]!.keypoints as readonly (readonly Keypoint[])[])[
            Number(origin.slice(at + 1))
          ]![0]!;
          const [u, v, seen] = (plan.keypoints as Keypoint[][])[i]![0]!;
          if (seen === 0) return;
          const map = sourceMap(from, size);
          const [fx, fy] = map.forward(x + 0.5, y + 0.5);
          expect(Math.hypot(fx - u - 0.5, fy - v - 0.5)).toBeLessThan(0.06);
          const [bx, by] = map.backward(fx, fy);
          expect(Math.hypot(bx - x - 0.5, by - y - 0.5)).toBeLessThan(0.1);
          if (from.matrix !== null) {
            const m = from.matrix;
            const w = m[6] * (x + 0.5) + m[7] * (y + 0.5) + m[8];
            expect((m[0] * (x + 0.5) + m[1] * (y + 0.5) + m[2]) / w).toBeCloseTo(fx, 6);
          }
          moved++;
        });
        // Shares of the pixels: mixup divides them, pastes and tiles lie side by side.
        const whole = plan.sources.filter(({ path }) => path === "" || path.startsWith("mixup"));
        expect(whole.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 9);
      }
    }
    expect([...kinds].sort()).toEqual(["", "copy_paste#0/paste", "mixup#0/donor", "mosaic#0/tile"]);
    expect(moved).toBeGreaterThan(50);
  });
  test("geometry after a step that needed the pixels goes on from there", async () => {
    const listed = pipelineFromConfig({
      schemaVersion: 1,
      transforms: [
        { type: "HorizontalFlip", p: 1 },
        { type: "Blur", p: 1 },
        { type: "ElasticTransform", p: 1, rmsFrac: [0.005, 0.005] },
        { type: "RandomScale", p: 1, scaleLimit: [0.5, 0.5] },
      ],
      instances: { flipIdx: [0] },
    });
    const [plan] = await planBatch({ pipeline: listed, source: outlines, epoch: 0, indices: [0] });
    const [own] = plan!.sources;
    expect(own!.maps.map(({ kind }) => kind)).toEqual(["matrix", "field", "matrix"]);
    expect(own!.matrix).toBeNull();
    expect(plan!.photometric.map(({ type }) => type)).toEqual(["Blur"]);
  });
  test("stops when the signal says so", async () => {
    const signal = AbortSignal.abort();
    await expect(planBatch({ pipeline, source: outlines, epoch: 0, indices, signal })).rejects.toMatchObject({
      name: "AbortError",
    });
  });
});
