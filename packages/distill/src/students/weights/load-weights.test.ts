import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { traceStudent } from "@seg/export";
import { BatchNorm2d, readTorchCheckpoint, type StateDict, stateDict, weightsHash, writeSafetensors } from "@seg/nn";
import { encodeModel, foldBatchNorm } from "@seg/onnx";
import { samConfigOfWeights, samOriginalKeys } from "@seg/teachers";
import * as tf from "@tensorflow/tfjs";
import { strToU8, zipSync } from "fflate";
import "@seg/tfjs-onnxruntime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createStudent } from "../../student.js";
import { createMobileSamStudent } from "../mobile-sam/student.js";
import { loadWeights } from "./load-weights.js";

const dir = mkdtempSync(join(tmpdir(), "seg-weights-"));
const source = createStudent("yolov8p", { classes: 3, imgsz: 64, seed: 1 });
const target = createStudent("yolov8p", { classes: 3, imgsz: 64, seed: 2 });
beforeAll(async () => {
  await tf.setBackend("onnxruntime");
});
afterAll(() => {
  source.dispose();
  target.dispose();
  rmSync(dir, { recursive: true, force: true });
});

/** Bytes of a `.npy` file, format version 1. */
function npy(type: string, shape: readonly number[], data: Uint8Array): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const text = `{'descr': '${type}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const header = `${text.padEnd(64 * Math.ceil((text.length + 11) / 64) - 11)}\n`;
  const length = Uint8Array.of(header.length & 255, header.length >> 8);
  const start = Buffer.from("\u0093NUMPY\u0001\u0000", "latin1");
  return Buffer.concat([start, length, strToU8(header), data]);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | BigInt64Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

describe("loadWeights", () => {
  test("takes a checkpoint's averaged weights before the plain ones", () => {
    const file = join(dir, "best.safetensors");
    const plain = stateDict(target.net);
    const averaged = stateDict(source.net);
    const dict: StateDict = new Map();
    for (const [key, tensor] of plain) dict.set(`model/${key}`, tensor);
    for (const [key, tensor] of averaged) dict.set(`ema/${key}`, tensor);
    writeSafetensors(file, dict, { metadata: { format: "seg-checkpoint-1" } });
    expect(loadWeights(target, file)).toEqual({ transferred: 355, total: 355, skipped: [], license: null });
    expect(weightsHash(target.net)).toBe(weightsHash(source.net));
  });

  test("reads NumPy archives, compressed or stored", () => {
    const dict = stateDict(source.net);
    const entries = [...dict].map(([key, { dtype, shape, data }]) => [
      `${key}.npy`,
      npy(dtype === "I64" ? "<i8" : "<f4", shape, bytesOf(data)),
    ]);
    for (const level of [0, 6] as const) {
      const file = join(dir, `level${level}.npz`);
      writeFileSync(file, zipSync(Object.fromEntries(entries), { level }));
      const fresh = createStudent("yolov8p", { classes: 3, imgsz: 64, seed: 3 });
      expect(loadWeights(fresh, file, { strict: true }).transferred).toBe(355);
      expect(weightsHash(fresh.net)).toBe(weightsHash(source.net));
      fresh.dispose();
    }
    const damaged = join(dir, "damaged.npz");
    writeFileSync(damaged, Buffer.from("PK, but no archive"));
    expect(() => loadWeights(target, damaged)).toThrow(expect.objectContaining({ code: "distill/config" }));
    const foreign = join(dir, "foreign.npz");
    writeFileSync(foreign, zipSync({ "x.npy": npy("|O", [1], new Uint8Array(8)) }));
    expect(() => loadWeights(target, foreign)).toThrow(/is \|O/);
  });

  test("unfolds the batch normalisations of an ONNX model: the network predicts what the model does", async () => {
    // Statistics as after training, so that folding changes every weight.
    for (const [, module] of source.net.namedModules()) {
      if (!(module instanceof BatchNorm2d)) continue;
      const values = (low: number, step: number) =>
        Float32Array.from({ length: module.weight.size }, (_, i) => low + step * (i % 5));
      module.weight.assign(values(0.8, 0.1));
      module.bias.assign(values(-0.2, 0.1));
      module.running_mean.assign(values(-0.1, 0.05));
      module.running_var.assign(values(0.5, 0.2));
    }
    const model = traceStudent({ model: source.net, deploy: source.deploy, imgsz: 64 });
    const folded = foldBatchNorm(model).model;
    const file = join(dir, "folded.onnx");
    writeFileSync(file, encodeModel(folded));
    const fresh = createStudent("yolov8p", { classes: 3, imgsz: 64, seed: 3 });
    const { skipped, transferred } = loadWeights(fresh, file);
    expect(skipped).toEqual([]);
    expect(transferred).toBeGreaterThan(290);
    const image = Float32Array.from({ length: 3 * 64 * 64 }, (_, i) => ((i * 7919) % 251) / 251);
    const outputs = [source, fresh].map((student) => {
      student.net.train(false);
      return tf.tidy(() => student.deploy(tf.tensor4d(image, [1, 3, 64, 64])).output0.dataSync());
    });
    outputs[0]!.forEach((value, i) => {
      expect(Math.abs(value - outputs[1]![i]!)).toBeLessThan(1e-4 * Math.max(1, Math.abs(value)));
    });
    fresh.dispose();
  });

  test("takes MobileSAM under the names of its authors", () => {
    const checkpoint = fileURLToPath(new URL("../../../../teachers/test/fixtures/mobile-sam-tiny.pt", import.meta.url));
    const file = readTorchCheckpoint(checkpoint);
    const config = samConfigOfWeights(samOriginalKeys.apply(file), { imageSize: 64 });
    const student = createMobileSamStudent({ classes: 2, imgsz: 64, config });
    const { skipped, total, transferred } = loadWeights(student, file.toStateDict());
    expect(skipped.every((key) => key.startsWith("det."))).toBe(true);
    expect(total - transferred).toBe(skipped.length);
    expect(transferred).toBeGreaterThan(200);
    student.dispose();
  });

  test("states the licence, and refuses unknown or copyleft ones on request", () => {
    const dict = stateDict(source.net);
    const file = (license: string | null) => {
      const path = join(dir, `${license ?? "none"}.safetensors`);
      writeSafetensors(path, dict, license === null ? {} : { metadata: { license } });
      return path;
    };
    expect(loadWeights(target, file("AGPL-3.0")).license).toBe("AGPL-3.0");
    expect(loadWeights(target, file("Apache-2.0"), { permissiveOnly: true }).license).toBe("Apache-2.0");
    expect(loadWeights(target, dict, { permissiveOnly: true, license: "MIT" }).license).toBe("MIT");
    for (const name of ["AGPL-3.0", null]) {
      expect(() => loadWeights(target, file(name), { permissiveOnly: true })).toThrow(
        expect.objectContaining({ code: "distill/config", field: "permissive_only" }),
      );
    }
  });

  test("refuses a pickled module and says what to do", () => {
    expect(() => loadWeights(target, join(dir, "yolov8n.pt"))).toThrow(/readTorchCheckpoint/);
  });
});
