import { gzipSync } from "node:zlib";
import { checkModel, encodeModel, type Model, tensorData } from "@seg/onnx";
import { describe, expect, test } from "vitest";
import { yoloGraph } from "../../test/yolo-graph.js";
import { ExportError } from "../errors.js";
import { pruneUnstructured } from "./prune-unstructured.js";

const graph = yoloGraph({ imgsz: 64, width: 0.125 });
const weight = (model: Model, name: string): Float32Array =>
  tensorData(model.graph.initializers.find((tensor) => tensor.name === name)!) as Float32Array;

describe("pruneUnstructured", () => {
  test("zeroes exactly the asked share, the smallest weights of all layers together", () => {
    const { model, report } = pruneUnstructured(graph, { amount: 0.5 });
    expect(report.zeros).toBe(Math.floor(report.weights / 2));
    expect(checkModel(model)).toEqual([]);
    let largestGone = 0;
    let smallestLeft = Number.POSITIVE_INFINITY;
    for (const { name } of graph.graph.initializers) {
      if (!/conv\.weight$|upsample\.weight$/.test(name) || name.includes("dfl")) continue;
      const [before, after] = [weight(graph, name), weight(model, name)];
      // Layers that are left alone hold small weights too.
      if (!after.includes(0)) continue;
      before.forEach((value, i) => {
        if (after[i] === 0) largestGone = Math.max(largestGone, Math.abs(value));
        else smallestLeft = Math.min(smallestLeft, Math.abs(value));
      });
    }
    expect(largestGone).toBeLessThanOrEqual(smallestLeft);
    // float32 noise is hard to compress; half of it as zeros is not.
    expect(gzipSync(encodeModel(model)).length / gzipSync(encodeModel(graph)).length).toBeLessThan(0.65);
  });

  test("leaves the last layer of each branch, the decoder and biases alone", () => {
    const { model, report } = pruneUnstructured(graph);
    expect([...report.skipped].sort()).toEqual(
      ["cv2", "cv3", "cv4"]
        .flatMap((branch) => [0, 1, 2].map((level) => `model.22.${branch}.${level}.2.weight`))
        .concat("model.22.proto.cv3.conv.weight"),
    );
    for (const name of [...report.skipped, "model.22.dfl.conv.weight", "model.0.conv.bias"]) {
      expect(weight(model, name)).toEqual(weight(graph, name));
    }
  });

  test("the 2:4 pattern leaves the two largest of four along the input channels", () => {
    const { model } = pruneUnstructured(graph, { pattern: "2:4" });
    const name = "model.1.conv.weight";
    const [before, after] = [weight(graph, name), weight(model, name)];
    for (let tap = 0; tap < 9; tap++) {
      const four = [0, 1, 2, 3].map((channel) => channel * 9 + tap);
      const kept = four.filter((at) => after[at] !== 0);
      expect(kept.length).toBe(2);
      const gone = four.filter((at) => after[at] === 0);
      const size = (at: number): number => Math.abs(before[at]!);
      expect(Math.min(...kept.map(size))).toBeGreaterThanOrEqual(Math.max(...gone.map(size)));
    }
  });

  test.each([[{ amount: 0 }], [{ amount: 1 }], [{ amount: 0.5, pattern: "2:4" as const }]])(
    "%j is PRUNE_CONFIG",
    (options) => {
      try {
        pruneUnstructured(graph, options);
        expect.unreachable();
      } catch (error) {
        expect(ExportError.is(error, "PRUNE_CONFIG")).toBe(true);
      }
    },
  );
});
