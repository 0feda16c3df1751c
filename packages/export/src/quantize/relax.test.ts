import { DataType, decodeModel, encodeModel, type Model, tensorData } from "@seg/onnx";
import { beforeAll, describe, expect, test } from "vitest";
import { randomImages } from "../../test/random-images.js";
import { yoloGraph } from "../../test/yolo-graph.js";
import { ExportError } from "../errors.js";
import { type CalibrationTable, calibrate } from "./calibrate.js";
import { headNodes } from "./head.js";
import { layerGroups } from "./layer-groups.js";
import { rankSensitivity } from "./rank-sensitivity.js";
import { quantizeWithin } from "./relax.js";

const images = randomImages(2, 64, 6);
const SPOILED = "model.1.conv.weight";
const HEALTHY = yoloGraph({ imgsz: 64, width: 0.0625 });

/** One layer of which every channel holds one huge weight that meets an almost constant input: the others round to 0. */
function spoiled(): Model {
  const model = decodeModel(encodeModel(HEALTHY));
  const weight = model.graph.initializers.find(({ name }) => name === SPOILED)!;
  const values = (tensorData(weight) as Float32Array).slice();
  const perChannel = values.length / weight.dims[0]!;
  for (let at = 0; at < values.length; at += perChannel) values[at] = values[at]! * 300;
  weight.rawData = new Uint8Array(values.buffer);
  // The first layers are enough, and each layer costs a session.
  const { nodes } = model.graph;
  const last = nodes.filter(({ opType }) => opType === "Conv")[5]!;
  const outputs = [{ name: last.outputs[0]!, dataType: DataType.FLOAT }];
  return { ...model, graph: { ...model.graph, nodes: nodes.slice(0, nodes.indexOf(last) + 1), outputs } };
}

describe("layerGroups", () => {
  test("covers every node outside the head once", () => {
    const float = new Set([...headNodes(HEALTHY.graph).values()].flat());
    const names = layerGroups(HEALTHY.graph, float).flatMap(({ nodes }) => nodes);
    expect(new Set(names).size).toBe(names.length);
    expect([...names].sort()).toEqual(
      HEALTHY.graph.nodes
        .map(({ name }) => name)
        .filter((name) => !float.has(name))
        .sort(),
    );
  });
});

describe("quantizeWithin", () => {
  const model = spoiled();
  let table: CalibrationTable;
  beforeAll(async () => {
    table = await calibrate(model, images);
  });

  test("ranks the spoiled layer worst and leaves it float", async () => {
    const ranking = await rankSensitivity(model, table, { images: images.slice(0, 1), numClasses: 3 });
    expect(ranking[0]!.layer).toBe(SPOILED);
    const result = await quantizeWithin(model, table, {
      images: images.slice(0, 1),
      numClasses: 3,
      gate: "spoiled layer float",
      judge: ({ graph }) => {
        const passed = graph.initializers.some(({ name }) => name === SPOILED);
        return { passed, value: passed ? 0 : 1, limit: 0 };
      },
    });
    expect(result.floatLayers).toEqual([SPOILED]);
    expect(result.attempts.map(({ passed }) => passed)).toEqual([false, true]);
  });

  test("gives up with GATE_FAILED and the worst layer's name", async () => {
    const run = quantizeWithin(model, table, {
      images: images.slice(0, 1),
      numClasses: 3,
      gate: "never",
      judge: () => ({ passed: false, value: 1, limit: 0 }),
      maxLayers: 1,
    });
    await expect(run).rejects.toSatisfy(
      (error) => ExportError.is(error, "GATE_FAILED") && error.details.worst?.[0]?.tensor === SPOILED,
    );
  });

  test("an abort ends the ranking", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(rankSensitivity(model, table, { images, numClasses: 3, signal })).rejects.toThrow("enough");
  });
});
