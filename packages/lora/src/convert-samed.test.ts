import type { StateTensor } from "@seg/nn";
import { describe, expect, test } from "vitest";
import { convertSamedAdapter } from "./convert-samed.js";

const tensor = (shape: [number, number], start: number): StateTensor => ({
  dtype: "F32",
  shape,
  data: Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => start + i),
});

/** Two blocks of width 3 and rank 1. */
const samed = () =>
  new Map<string, StateTensor>([
    ["w_a_000", tensor([1, 3], 1)],
    ["w_a_001", tensor([1, 3], 10)],
    ["w_b_000", tensor([3, 1], 100)],
    ["w_b_001", tensor([3, 1], 200)],
    ["w_a_002", tensor([1, 3], 2)],
    ["w_a_003", tensor([1, 3], 20)],
    ["w_b_002", tensor([3, 1], 300)],
    ["w_b_003", tensor([3, 1], 400)],
    ["prompt_encoder.x", tensor([1, 1], 0)],
  ]);

describe("convertSamedAdapter", () => {
  test("q and v become one product on qkv, k stays", () => {
    const { config, tensors, rest } = convertSamedAdapter(samed());
    expect(config).toMatchObject({
      r: 2,
      lora_alpha: 2,
      target_modules: ["vision_encoder.layers.0.attn.qkv", "vision_encoder.layers.1.attn.qkv"],
    });
    expect(rest).toEqual(["prompt_encoder.x"]);
    const prefix = "base_model.model.vision_encoder.layers.0.attn.qkv";
    expect([...tensors.get(`${prefix}.lora_A.weight`)!.data]).toEqual([1, 2, 3, 10, 11, 12]);
    expect(tensors.get(`${prefix}.lora_B.weight`)).toMatchObject({ shape: [9, 2] });
    expect([...tensors.get(`${prefix}.lora_B.weight`)!.data]).toEqual([
      ...[100, 0, 101, 0, 102, 0],
      ...[0, 0, 0, 0, 0, 0],
      ...[0, 200, 0, 201, 0, 202],
    ]);
  });

  test.each<[string, (dict: Map<string, StateTensor>) => void, RegExp]>([
    ["nothing of SAMed", (dict) => dict.clear(), /no keys/],
    ["an incomplete block", (dict) => dict.delete("w_b_003"), /four per block/],
    ["other shapes", (dict) => dict.set("w_b_001", tensor([3, 2], 0)), /block 0 has shapes/],
    ["another rank", (dict) => dict.set("w_a_002", tensor([2, 3], 0)).set("w_a_003", tensor([2, 3], 0)), /block 1/],
  ])("refuses %s", (_, change, message) => {
    const dict = samed();
    change(dict);
    expect(() => convertSamedAdapter(dict)).toThrow(
      expect.objectContaining({ code: "lora/unsupported", message: expect.stringMatching(message) }),
    );
  });
});
