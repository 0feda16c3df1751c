import { createYolov8, loadStateDict } from "@seg/nn";
import { encodeModel, optimizeModel } from "@seg/onnx";
import "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { randomImages } from "../../test/random-images.js";
import { ExportError } from "../errors.js";
import { createSession } from "../runtime/session.js";
import { traceStudent } from "../trace-student.js";
import { type PruneRound, pruneAndFineTune } from "./prune-and-fine-tune.js";
import { pruneStructured } from "./prune-structured.js";
import { pruneStudent } from "./prune-student.js";

const options = { scale: "p", classes: 3, segment: true, seed: 3 } as const;

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
});

describe("pruneStudent", () => {
  test("gives weights that load strictly into the narrower network, which computes what the pruned graph does", async () => {
    const model = createYolov8(options);
    const traced = traceStudent({ model, imgsz: 64 });
    const { weights, widths, report } = pruneStudent({ model, imgsz: 64, prune: { ratio: 0.4 } });
    model.dispose();
    const narrow = createYolov8({ ...options, widths: JSON.parse(JSON.stringify(widths)) });
    loadStateDict(narrow, weights);
    const rebuilt = traceStudent({ model: narrow, imgsz: 64 });
    narrow.dispose();
    expect(report.macsAfter / report.macsBefore).toBeLessThan(0.75);
    const [data] = randomImages(1, 64);
    const outputs = await Promise.all(
      [pruneStructured(traced, { ratio: 0.4 }).model, rebuilt].map(async (graph) => {
        const session = await createSession({ model: encodeModel(optimizeModel(graph).model) });
        const { output0 } = await session.run({ images: { data: data!, dims: [1, 3, 64, 64] } });
        await session.dispose();
        return output0!.data;
      }),
    );
    expect(outputs[1]).toEqual(outputs[0]);
  });
});

describe("pruneAndFineTune", () => {
  const nothing = { weights: new Map(), widths: {} };
  const report = { groups: [], parametersBefore: 0, parametersAfter: 0, macsBefore: 0, macsAfter: 0 };
  const prune = () => ({ ...nothing, report });

  test("removes equal shares of what is left, 0.36 in two rounds as 0.2 and 0.2", async () => {
    const ratios: number[] = [];
    const fineTune = async ({ ratio }: PruneRound) => {
      ratios.push(ratio);
      return { ...nothing, score: 0.9 };
    };
    const result = await pruneAndFineTune({ ...nothing, ratio: 0.36, score: 0.95, rounds: 2, prune, fineTune });
    expect(ratios.map((ratio) => ratio.toFixed(10))).toEqual(["0.2000000000", "0.2000000000"]);
    expect(result.rounds.length).toBe(2);
    expect(result.score).toBe(0.9);
  });

  test("stops in the round that loses too much", async () => {
    let rounds = 0;
    const fineTune = async () => {
      rounds++;
      return { ...nothing, score: 0.7 };
    };
    const run = pruneAndFineTune({ ...nothing, ratio: 0.5, score: 0.95, rounds: 3, maxDrop: 0.2, prune, fineTune });
    await expect(run).rejects.toSatisfy((error) => ExportError.is(error, "GATE_FAILED"));
    expect(rounds).toBe(1);
  });
});
