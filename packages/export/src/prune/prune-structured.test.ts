import { checkModel, decodeModel, encodeModel, type Model, optimizeModel, tensorData } from "@seg/onnx";
import { describe, expect, test } from "vitest";
import { randomImages } from "../../test/random-images.js";
import { yoloGraph } from "../../test/yolo-graph.js";
import { ExportError } from "../errors.js";
import { createSession } from "../runtime/session.js";
import { channelGroups } from "./channel-groups.js";
import { forEachChannel } from "./importance.js";
import { planPruning } from "./plan-pruning.js";
import { pruneStructured } from "./prune-structured.js";
import { selectChannels } from "./select-channels.js";

const SIZE = 64;
const segment = yoloGraph({ imgsz: SIZE });

async function outputsOf(model: Model): Promise<Record<string, Float32Array>> {
  const session = await createSession({ model: encodeModel(model) });
  const [data] = randomImages(1, SIZE);
  const outputs = await session.run({ images: { data: data!, dims: [1, 3, SIZE, SIZE] } });
  await session.dispose();
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.data]));
}

describe("selectChannels", () => {
  test("takes the crossing of the kept indices of every axis", () => {
    const data = Float32Array.from({ length: 12 }, (_, i) => i);
    const keep = new Map([
      [0, [1]],
      [1, [0, 2]],
    ]);
    expect(selectChannels(data, [2, 3, 2], keep)).toEqual({ data: Float32Array.of(6, 7, 10, 11), dims: [1, 2, 2] });
  });
});

describe("channelGroups", () => {
  test("ties the residual half of a C2f block to the layers that it is added to, and leaves the head's outputs alone", () => {
    const keys = channelGroups(segment.graph).groups.map(({ key }) => key);
    const residual = keys.filter((key) => key.includes("model.4.m."));
    // Two bottlenecks: their second convolutions and the second half of cv1 are one set; each first convolution is its own.
    expect(residual.length).toBe(3);
    expect(residual.find((key) => key.includes("cv2"))).toMatch(
      /^model\.4\.cv1\.conv\.weight\|.*\.1 \+ model\.4\.m\.0\.cv2\.conv\.weight \+ model\.4\.m\.1\.cv2\.conv\.weight$/,
    );
    const final = /model\.22\.(cv\d\.\d\.2|proto\.cv3|dfl)/;
    expect(keys.filter((key) => final.test(key))).toEqual([]);
    expect(keys.some((key) => key.startsWith("model.22.proto.upsample"))).toBe(true);
  });
});

describe("pruneStructured", () => {
  test("equals the original with the removed channels at zero", async () => {
    const { keep } = planPruning(segment, { ratio: 0.3 });
    const zeroed: Model = decodeModel(encodeModel(segment));
    for (const tensor of zeroed.graph.initializers) {
      // Outputs only: a channel that is zero contributes nothing, whatever its consumers' weights are.
      const axis = tensor.name === "model.22.proto.upsample.weight" ? 1 : 0;
      const kept = keep.get(tensor.name)?.get(axis);
      if (kept === undefined) continue;
      const staying = new Set(kept);
      const values = (tensorData(tensor) as Float32Array).slice();
      forEachChannel(tensor.dims, axis, (channel, at) => {
        if (!staying.has(channel)) values[at] = 0;
      });
      tensor.rawData = new Uint8Array(values.buffer);
    }
    const { model, report } = pruneStructured(segment, { ratio: 0.3 });
    expect(checkModel(model)).toEqual([]);
    const [expected, actual] = [await outputsOf(zeroed), await outputsOf(model)];
    for (const name of ["output0", "output1"]) {
      const [x, y] = [expected[name]!, actual[name]!];
      let largest = 0;
      x.forEach((value, i) => {
        largest = Math.max(largest, Math.abs(value - y[i]!) / Math.max(1, Math.abs(value)));
      });
      // float32 sums in another order
      expect(largest).toBeLessThan(1e-5);
    }
    expect(report.macsAfter / report.macsBefore).toBeLessThan(0.6);
    for (const { after } of report.groups) expect([after % 8, after >= 8]).toEqual([0, true]);
  });

  test("keeps outputs and halves of splits in shape, at any ratio", () => {
    for (const ratio of [0.1, 0.5, 0.75]) {
      const { model } = pruneStructured(segment, { ratio });
      expect(model.graph.outputs).toEqual(segment.graph.outputs);
      for (const node of model.graph.nodes.filter(
        ({ opType, inputs }) => opType === "Split" && inputs[1]!.endsWith("_sizes"),
      )) {
        const sizes = model.graph.initializers.find(({ name }) => name === node.inputs[1])!;
        const [a, b] = tensorData(sizes) as BigInt64Array;
        expect(a).toBe(b);
      }
      expect(checkModel(optimizeModel(model).model)).toEqual([]);
    }
  });

  test("removes the least important channels by the given scores", () => {
    const name = "model.0.conv.weight";
    const tensor = segment.graph.initializers.find((candidate) => candidate.name === name)!;
    const scores = Float32Array.from({ length: tensor.dims.reduce((a, b) => a * b) }, (_, at) => Math.floor(at / 27));
    const { keep } = planPruning(segment, { ratio: 0.5, importance: new Map([[name, scores]]) });
    expect(keep.get(name)!.get(0)).toEqual([8, 9, 10, 11, 12, 13, 14, 15]);
    expect(keep.get("model.1.conv.weight")!.get(1)).toEqual([8, 9, 10, 11, 12, 13, 14, 15]);
  });

  test.each([
    [{ ratio: 0 }, "ratio"],
    [{ ratio: 0.3, roundTo: 0 }, "roundTo"],
    [{ ratio: 0.01 }, "ratio"],
    [{ ratio: 0.3, importance: "gamma" as const }, "importance"],
  ])("%j is PRUNE_CONFIG", (options, option) => {
    try {
      pruneStructured(segment, options);
      expect.unreachable();
    } catch (error) {
      expect(ExportError.is(error, "PRUNE_CONFIG") && error.details.option).toBe(option);
    }
  });
});
