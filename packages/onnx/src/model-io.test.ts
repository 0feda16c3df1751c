import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  DataType,
  decodeModel,
  encodeModel,
  GraphBuilder,
  loadModel,
  type Model,
  saveModel,
  tensorData,
} from "./index.js";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "seg-onnx-"));
});
afterEach(() => rm(folder, { recursive: true }));

function scaled(): Model {
  const b = new GraphBuilder();
  const x = b.input("x", DataType.FLOAT, [1, 500]);
  const w = b.initializer(
    "w",
    DataType.FLOAT,
    [500],
    Float32Array.from({ length: 500 }, (_, i) => i),
  );
  const v = b.initializer("v", DataType.FLOAT, [1, 500], new Float32Array(500).fill(2));
  const s = b.initializer("small", DataType.FLOAT, [255], new Float32Array(255));
  const [y] = b.node("Mul", [b.node("Mul", [x, w])[0]!, v]);
  b.node("Identity", [s]);
  b.output(y!, DataType.FLOAT, [1, 500]);
  return b.build();
}

async function run(path: string): Promise<number[]> {
  const session = await ort.InferenceSession.create(path);
  const out = await session.run({ x: new ort.Tensor("float32", new Float32Array(500).fill(1), [1, 500]) });
  return [...(Object.values(out)[0]!.data as Float32Array)];
}

describe("saveModel, loadModel", () => {
  test("inline by default, and no temporary file stays", async () => {
    const path = join(folder, "m.onnx");
    await saveModel(scaled(), path);
    expect(await readdir(folder)).toEqual(["m.onnx"]);
    expect(Buffer.compare(await readFile(path), encodeModel(scaled()))).toBe(0);
    expect(await loadModel(path)).toEqual(scaled());
  });

  test("external data: pages of 4096, small tensors inline, the same model back, onnxruntime reads it", async () => {
    const path = join(folder, "m.onnx");
    const model = scaled();
    await saveModel(model, path, { externalData: true });
    expect(model).toEqual(scaled());
    expect((await readdir(folder)).sort()).toEqual(["m.onnx", "m.onnx.data"]);
    const references = await loadModel(path, { externalData: false });
    const entries = references.graph.initializers.map(({ externalData }) => externalData?.map(({ value }) => value));
    expect(entries).toEqual([["m.onnx.data", "0", "2000"], ["m.onnx.data", "4096", "2000"], undefined]);
    expect(await loadModel(path)).toEqual(model);
    const values = await run(path);
    expect(values[3]).toBe(6);
    expect(values[499]).toBe(998);
  });

  test("a failed write leaves the old file and no rubbish", async () => {
    const path = join(folder, "m.onnx");
    await saveModel(scaled(), path);
    await mkdir(join(folder, "d.onnx"));
    await expect(saveModel(scaled(), join(folder, "d.onnx"))).rejects.toThrow();
    expect((await readdir(folder)).sort()).toEqual(["d.onnx", "m.onnx"]);
  });

  const referring = async (location: string, more: Record<string, string> = {}): Promise<string> => {
    const model = scaled();
    const entries = { location, ...more };
    const externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
    const initializers = model.graph.initializers.map(({ rawData, ...tensor }, i) =>
      i === 0 ? { ...tensor, externalData } : { ...tensor, rawData: rawData! },
    );
    const path = join(folder, "ref.onnx");
    await writeFile(path, encodeModel({ ...model, graph: { ...model.graph, initializers } }));
    return path;
  };

  test.each(["../x", "/etc/hostname", "a/../../x", "C:\\x", ""])("refuses location %j", async (location) => {
    const path = await referring(location);
    await expect(loadModel(path)).rejects.toMatchObject({ code: "EXTERNAL_DATA_PATH", tensor: "w", location });
    const model = decodeModel(await readFile(path));
    await expect(saveModel(model, join(folder, "out.onnx"))).rejects.toMatchObject({ code: "EXTERNAL_DATA_PATH" });
    expect(existsSync(join(folder, "out.onnx"))).toBe(false);
  });

  test("refuses a symbolic link that leaves the folder", async () => {
    const outside = await mkdtemp(join(tmpdir(), "seg-outside-"));
    await writeFile(join(outside, "secret"), new Uint8Array(2000));
    await symlink(join(outside, "secret"), join(folder, "inside"));
    await expect(loadModel(await referring("inside"))).rejects.toMatchObject({ code: "EXTERNAL_DATA_PATH" });
    await rm(outside, { recursive: true });
  });

  test("names data that is absent, cut short, of another length or checksum", async () => {
    await expect(loadModel(await referring("w.bin"))).rejects.toMatchObject({
      code: "EXTERNAL_DATA_MISSING",
      location: "w.bin",
    });
    await writeFile(join(folder, "w.bin"), new Uint8Array(2000));
    expect(tensorData((await loadModel(await referring("w.bin"))).graph.initializers[0]!).length).toBe(500);
    for (const more of [{ offset: "1" }, { length: "1999" }, { offset: "x" }, { checksum: "00" }])
      await expect(loadModel(await referring("w.bin", more as Record<string, string>))).rejects.toMatchObject({
        code: "EXTERNAL_DATA_MISSING",
      });
    await truncate(join(folder, "w.bin"), 1999);
    await expect(loadModel(await referring("w.bin"))).rejects.toMatchObject({ code: "EXTERNAL_DATA_MISSING" });
    expect((await stat(join(folder, "w.bin"))).size).toBe(1999);
  });
});
