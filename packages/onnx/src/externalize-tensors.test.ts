import { describe, expect, test } from "vitest";
import { ExternalDataPathError, externalizeTensors, type Model } from "./index.js";

const tensor = (name: string, length: number) => ({
  name,
  dataType: 2,
  dims: [length],
  rawData: new Uint8Array(length).fill(length % 251),
});

const model: Model = {
  irVersion: 8,
  producerName: "test",
  opsetImport: [{ domain: "", version: 17 }],
  metadataProps: [],
  graph: {
    name: "g",
    nodes: [],
    initializers: [tensor("small", 1023), tensor("a", 1024), tensor("b", 5000)],
    inputs: [],
    outputs: [],
    valueInfo: [],
  },
};

describe("externalizeTensors", () => {
  test("moves tensors from 1024 bytes on to multiples of 4096, without copying them", () => {
    const { model: references, chunks, sizeBytes } = externalizeTensors(model, { location: "w.data" });
    expect(references.graph.initializers.map((t) => t.externalData?.map((e) => e.value))).toEqual([
      undefined,
      ["w.data", "0", "1024"],
      ["w.data", "4096", "5000"],
    ]);
    expect(references.graph.initializers.map((t) => t.rawData?.length)).toEqual([1023, undefined, undefined]);
    expect(chunks.map((c) => c.length)).toEqual([1024, 3072, 5000]);
    expect(chunks[2]).toBe(model.graph.initializers[2]!.rawData);
    expect(sizeBytes).toBe(9096);
    expect(model.graph.initializers[1]!.rawData).toBeDefined();
  });

  test("takes another threshold; nothing to move is an empty file", () => {
    expect(externalizeTensors(model, { location: "w.data", minBytes: 6000 })).toMatchObject({
      chunks: [],
      sizeBytes: 0,
    });
  });

  test("refuses a location outside the folder", () => {
    expect(() => externalizeTensors(model, { location: "../w.data" })).toThrow(ExternalDataPathError);
  });
});
