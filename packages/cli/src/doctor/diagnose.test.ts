import { describe, expect, test } from "vitest";
import { type Diagnosis, diagnose, isUsable } from "./diagnose.js";
import type { Machine } from "./machine.js";

const GB = 1e9;
/** A machine on which nothing is wrong: two cores, no GPU. */
const SOUND: Machine = {
  node: "20.20.0",
  npm: "10.8.2",
  platform: "linux x64",
  packages: {
    "@seg/cli": "0.1.0",
    "onnxruntime-node": "1.30.0",
    "@tensorflow/tfjs": "4.22.0",
    sharp: "0.35.5",
    "@tensorflow/tfjs-node": null,
    "@tensorflow/tfjs-node-gpu": null,
  },
  runtime: { version: "1.30.0", providers: [{ name: "cpu", bundled: true }], tried: { cpu: null } },
  images: { vips: "8.18.0", formats: ["jpeg", "png", "webp", "tiff"] },
  wasmSimd: true,
  cpu: { model: "Some CPU", features: ["avx2", "avx512_vnni"], cores: 2, quota: null },
  memory: { rssBytes: 0.1 * GB, totalBytes: 16 * GB, availableBytes: 8 * GB, gpus: [] },
  gpus: null,
  nvcc: null,
  cudart: null,
  cudnn: null,
  trtexec: null,
  folders: {
    work: { path: "/work", freeBytes: 50 * GB, isWritable: true },
    cache: { path: "/cache", freeBytes: 50 * GB, isWritable: true },
  },
  models: [],
  tokens: { "Hugging Face": false },
  isOffline: false,
};
const WORK = { what: "training yolov8n at 320 px in batches of 8", memoryBytes: 1.2 * GB, diskBytes: 0.3 * GB };
const GPU = ["NVIDIA H100"];

/** The line about `what`, of a machine that is sound but for `changes`. */
const line = (what: string, changes: Partial<Machine>, work: typeof WORK | null = null): Diagnosis =>
  diagnose({ ...SOUND, ...changes }, { work }).find((found) => found.what === what)!;

describe("diagnose", () => {
  test("finds a sound machine usable, with nothing to do", () => {
    const list = diagnose(SOUND);
    expect(isUsable(list)).toBe(true);
    expect(list.filter(({ state, todo }) => state !== "ok" || todo !== null)).toEqual([]);
  });

  const cases: [wrong: string, what: string, changes: Partial<Machine>, state: string, todo: RegExp][] = [
    ["Node.js 18", "Node.js", { node: "18.19.1" }, "problem", /Install Node\.js 20\.20 or newer/],
    ["Node.js 20.9", "Node.js", { node: "20.9.0" }, "problem", /20\.20/],
    ["no npm", "npm", { npm: null }, "note", /npm that comes with Node/],
    ["a missing package", "packages", { packages: { ...SOUND.packages, sharp: null } }, "problem", /missing: sharp/],
    ["no native runtime", "ONNX Runtime", { runtime: { error: "no GLIBC_2.28" } }, "problem", /onnxruntime-node/],
    ["no image library", "images (sharp)", { images: { error: "no libvips" } }, "problem", /npm install/],
    ["no SIMD", "WebAssembly", { wasmSimd: false }, "note", /newer CPU/],
    ["an old CPU", "CPU", { cpu: { ...SOUND.cpu, features: [] } }, "note", /Without AVX2/],
    ["a CPU without VNNI", "CPU", { cpu: { ...SOUND.cpu, features: ["avx2"] } }, "note", /no VNNI/],
    ["little memory", "memory", { memory: { ...SOUND.memory, availableBytes: 2 * GB } }, "note", /small batches/],
    ["no memory", "memory", { memory: { ...SOUND.memory, availableBytes: 0.5 * GB } }, "problem", /End other programs/],
    ["a toolkit without GPU", "CUDA", { nvcc: "/usr/local/cuda/bin/nvcc" }, "note", /install its driver/],
    ["a GPU without libraries", "CUDA", { gpus: GPU }, "note", /CUDA 12 and cuDNN 9/],
    ["a GPU that the runtime refuses", "GPU", { gpus: GPU }, "note", /ONNXRUNTIME_NODE_INSTALL/],
    ["a GPU without trtexec", "TensorRT", { gpus: GPU }, "note", /TRTEXEC/],
    [
      "a read-only folder",
      "working folder",
      { folders: { ...SOUND.folders, work: { path: "/ro", freeBytes: GB, isWritable: false } } },
      "problem",
      /--output/,
    ],
    [
      "a full cache disk",
      "model cache",
      { folders: { ...SOUND.folders, cache: { path: "/c", freeBytes: 1e6, isWritable: true } } },
      "problem",
      /Free some space/,
    ],
    [
      "a narrow disk",
      "working folder",
      { folders: { ...SOUND.folders, work: { path: "/w", freeBytes: 2 * GB, isWritable: true } } },
      "note",
      /Keep an eye/,
    ],
    [
      "a download that stopped, offline",
      "models",
      { models: [{ id: "hf:a/b", bytes: GB, incompleteBytes: 5 }], isOffline: true },
      "note",
      /unset HF_HUB_OFFLINE/,
    ],
    ["a cache that cannot be read", "models", { models: { error: "EACCES" } }, "note", /SEG_HUB_HOME/],
  ];
  test.each(cases)("names %s and what to do", (_, what, changes, state, todo) => {
    const found = line(what, changes);
    expect(found.state).toBe(state);
    expect(found.todo).toMatch(todo);
    expect(isUsable([found])).toBe(state !== "problem");
  });

  test("holds memory and disk against planned work where it is known", () => {
    const memory = { ...SOUND.memory, availableBytes: 2 * GB };
    expect(line("memory", { memory }, WORK)).toMatchObject({
      state: "ok",
      detail: "2.0 GB free of 16 GB; training yolov8n at 320 px in batches of 8 takes about 1.2 GB",
    });
    expect(line("memory", { memory }, { ...WORK, memoryBytes: 3 * GB }).state).toBe("problem");
    const work = { ...SOUND.folders.work, freeBytes: 0.25 * GB };
    expect(line("working folder", { folders: { ...SOUND.folders, work } }, WORK)).toMatchObject({
      state: "problem",
      todo: "Free some space: training yolov8n at 320 px in batches of 8 leaves about 0.30 GB.",
    });
  });

  test("says what a GPU needs to be used, and that it can be used", () => {
    const tried = { cpu: null, cuda: null };
    const ready = { gpus: GPU, cudart: "/lib/libcudart.so.12", cudnn: "/lib/libcudnn.so.9", trtexec: "/bin/trtexec" };
    const list = diagnose({ ...SOUND, ...ready, runtime: { version: "1.30.0", providers: [], tried } });
    expect(list.filter(({ state }) => state !== "ok")).toEqual([]);
    const cuda = "Failed to load libcublasLt.so.12";
    const refused = { version: "1.30.0", providers: [], tried: { ...tried, cuda } };
    expect(line("ONNX Runtime", { ...ready, runtime: refused })).toMatchObject({
      state: "note",
      detail: expect.stringContaining(cuda),
    });
  });

  test("lists cached models with their size, and other engines", () => {
    expect(line("models", { models: [{ id: "hf:facebook/sam-vit-base", bytes: 375e6, incompleteBytes: 0 }] })).toEqual({
      what: "models",
      state: "ok",
      detail: "hf:facebook/sam-vit-base 0.38 GB",
      todo: null,
    });
    const packages = { ...SOUND.packages, "@tensorflow/tfjs-node-gpu": "4.22.0" };
    expect(line("other engines", { packages }).detail).toBe(
      "@tensorflow/tfjs-node-gpu 4.22.0 (SEG_ENGINE=tensorflow); ONNX Runtime is the engine unless you say so",
    );
  });
});
