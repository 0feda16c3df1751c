import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parse } from "yaml";
import { createHub } from "../hub.js";
import { decodeSafetensors, encodeSafetensors } from "../internal/safetensors.js";
import { SamModelManager } from "./sam-model-manager.js";
import type { SimulationEvent } from "./simulate-fine-tune.js";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "simulate-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));
const manager = () =>
  new SamModelManager({
    hub: createHub({
      env: {},
      environment: { hfCache: join(root, "hf"), segHome: join(root, "seg") },
      fetch: async () => {
        throw new Error("a simulation must not use the network");
      },
    }),
  });

test("walks every step in order and leaves a PEFT folder whose base stayed frozen", async () => {
  const seen: SimulationEvent[] = [];
  const { path, losses, files } = await manager().simulate("sam-vit-base", {
    dataset: "ct",
    outputDirectory: root,
    onStep: (event) => seen.push(event),
  });
  expect([...new Set(seen.map(({ step }) => step))]).toEqual(["cache", "download", "load", "adapter", "train", "save"]);
  expect(seen[0]!.message).toContain("sam_vit_b is absent on this machine");
  expect(seen[0]!.message).toContain("then hf:facebook/sam-vit-base");
  expect(path).toBe(join(root, "finetuned-sam_vit_b-lora-ct"));
  expect(await readdir(path)).toEqual([...files].sort());
  expect(losses).toHaveLength(9);
  for (let i = 1; i < losses.length; i++) expect(losses[i]!).toBeLessThan(losses[i - 1]!);
  expect(losses.at(-1)!).toBeLessThan(0.5 * losses[0]!);
  expect(JSON.parse(await readFile(join(path, "adapter_config.json"), "utf8"))).toMatchObject({
    peft_type: "LORA",
    base_model_name_or_path: "facebook/sam-vit-base",
    r: 4,
    target_modules: ["q_proj", "v_proj"],
  });
  const tensors = decodeSafetensors(await readFile(join(path, "adapter_model.safetensors")));
  expect(Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, shape]))).toEqual({
    "base_model.model.q_proj.lora_A.weight": [4, 16],
    "base_model.model.q_proj.lora_B.weight": [16, 4],
    "base_model.model.v_proj.lora_A.weight": [4, 16],
    "base_model.model.v_proj.lora_B.weight": [16, 4],
  });
  expect(parse((await readFile(join(path, "README.md"), "utf8")).split("---\n")[1]!)).toMatchObject({
    base_model_relation: "adapter",
    tags: ["simulated", "lora"],
  });
});

test("the same words give the same bytes, another method others", async () => {
  const bytes = async (name: string, method: "lora" | "qlora") => {
    const { path } = await manager().simulate("sam_vit_b", { method, epochs: 3, outputDirectory: join(root, name) });
    return (await readFile(join(path, "adapter_model.safetensors"))).toString("hex");
  };
  const first = await bytes("a", "lora");
  expect(await bytes("b", "lora")).toBe(first);
  expect(await bytes("c", "qlora")).not.toBe(first);
});

test("refuses what is no data set or model; stops when told to, without a folder", async () => {
  await expect(manager().simulate("sam_vit_b", { dataset: "../x" })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  await expect(manager().simulate("sam_vit_q")).rejects.toMatchObject({ code: "NOT_FOUND" });
  const stop = new AbortController();
  const onStep = ({ step }: SimulationEvent) => step === "train" && stop.abort(new Error("enough"));
  await expect(
    manager().simulate("sam_vit_b", { outputDirectory: join(root, "out"), signal: stop.signal, onStep }),
  ).rejects.toThrow("enough");
  expect(await readdir(root)).toEqual([]);
});

test("safetensors round trip; damaged files are refused", () => {
  const tensors = { a: { shape: [2, 1], data: Float32Array.of(1, -2) }, b: { shape: [], data: Float32Array.of(3) } };
  const bytes = encodeSafetensors(tensors);
  expect(decodeSafetensors(bytes)).toEqual(tensors);
  for (const damaged of [bytes.subarray(0, 4), bytes.subarray(0, 20), bytes.subarray(0, bytes.length - 1)])
    expect(() => decodeSafetensors(damaged)).toThrow("no safetensors");
});
