import { describe, expect, test } from "vitest";
import { groundingDinoAdapterKeys } from "./grounding-dino-adapter-keys.js";

describe("groundingDinoAdapterKeys", () => {
  test("both spellings of Swin lead to one path, everything else passes", () => {
    const block = "encoder.layers.2.blocks.5";
    const five = (part: string) => `model.backbone.conv_encoder.model.swin.${block}.${part}.lora_A.weight`;
    const four = (part: string) => `model.backbone.conv_encoder.model.${block}.${part}.lora_A.weight`;
    const keys = ["attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "mlp.fc1", "mlp.fc2"];
    const old = ["self.query", "self.key", "self.value", "output.dense"].map((part) => `attention.${part}`);
    const names = [...old, "intermediate.dense", "output.dense"].map(four);
    expect([...groundingDinoAdapterKeys.plan(keys.map(five)).origins.keys()]).toEqual(names);
    expect([...groundingDinoAdapterKeys.plan(names).origins.keys()]).toEqual(names);
    const other = "model.decoder.layers.0.self_attn.query.lora_A.weight";
    expect([...groundingDinoAdapterKeys.plan([other]).origins.keys()]).toEqual([other]);
  });
});
