import { describe, expect, test } from "vitest";
import { GraphBuilder } from "./builder.js";
import { countMacs } from "./count-macs.js";
import { DataType } from "./model.js";

describe("countMacs", () => {
  test("counts convolutions by output and group, transposed ones by input, products by the contracted axis", () => {
    const b = new GraphBuilder("macs");
    const x = b.input("x", DataType.FLOAT, [1, 4, 8, 8]);
    const weight = (name: string, dims: number[]) =>
      b.initializer(name, DataType.FLOAT, dims, new Float32Array(dims.reduce((n, size) => n * size, 1)));
    const pads = { pads: [1, 1, 1, 1], strides: [2, 2] };
    const [conv] = b.node("Conv", [x, weight("w", [6, 2, 3, 3])], { name: "conv", attributes: { ...pads, group: 2 } });
    const up = weight("u", [6, 5, 2, 2]);
    const [wide] = b.node("ConvTranspose", [conv!, up], { name: "up", attributes: { strides: [2, 2] } });
    const shape = b.initializer("s", DataType.INT64, [2], [1, 5 * 8 * 8]);
    const [flat] = b.node("Reshape", [wide!, shape], { name: "flat" });
    const [y] = b.node("Gemm", [flat!, weight("g", [7, 320])], { name: "gemm", attributes: { transB: 1 } });
    b.output(y!, DataType.FLOAT, [1, 7]);
    const { nodes, total, unknown } = countMacs(b.build());
    // conv: 6 x 4 x 4 outputs x 2 inputs x 9 taps; up: 6 x 4 x 4 inputs x 5 outputs x 4 taps; gemm: 7 x 320
    expect(Object.fromEntries(nodes)).toEqual({ conv: 1728, up: 1920, gemm: 2240 });
    expect(total).toBe(5888);
    expect(unknown).toEqual([]);
  });

  test("names what it cannot count", () => {
    const b = new GraphBuilder("unknown");
    const x = b.input("x", DataType.FLOAT, [1, 4, "height", "width"]);
    const w = b.initializer("w", DataType.FLOAT, [2, 4, 1, 1], new Float32Array(8));
    const [y] = b.node("Conv", [x, w], { name: "conv" });
    b.output(y!, DataType.FLOAT);
    expect(countMacs(b.build())).toEqual({ total: 0, nodes: new Map(), unknown: ["conv"] });
  });
});
