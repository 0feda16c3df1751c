import { describe, expect, test } from "vitest";
import { GROUNDING_DINO_SIZES } from "./config.js";
import { type GroundingDinoPreset, groundingDinoTargets } from "./lora-presets.js";
import { groundingDinoStateShapes } from "./state-shapes.js";

describe("groundingDinoTargets", () => {
  // The specification's table for the published tiny model, rank 16.
  test.each<[GroundingDinoPreset, number, number]>([
    ["decoder-self", 24, 196_608],
    ["self-attn", 48, 393_216],
    ["decoder-attn", 60, 491_520],
    ["decoder-full", 72, 933_888],
    ["neck-full", 150, 2_506_752],
  ])("%s: %i modules, %i parameters", (preset, modules, parameters) => {
    const patterns = groundingDinoTargets(preset).map(
      (glob) => new RegExp(`^${glob.replaceAll(".", "\\.").replaceAll("*", "[^.]+")}\\.weight$`),
    );
    const adapted = [...groundingDinoStateShapes(GROUNDING_DINO_SIZES.tiny)].filter(([name]) =>
      patterns.some((p) => p.test(name)),
    );
    expect(adapted.length).toBe(modules);
    expect(adapted.reduce((sum, [, [out, input]]) => sum + 16 * (out! + input!), 0)).toBe(parameters);
  });
});
