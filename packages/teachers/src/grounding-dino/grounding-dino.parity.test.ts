import "@seg/tfjs-onnxruntime";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { run } from "../../../../tests/parity/groups/grounding-dino.js";

const shared = process.env["SEG_SHARED"] ?? fileURLToPath(new URL("../../../../../shared", import.meta.url));
const fixture = join(shared, "fixtures/grounding-dino");

describe.skipIf(!existsSync(fixture))("parity with transformers 4.57.6 (fixtures/grounding-dino)", () => {
  // Losses and gradients are compared in train/gradients.test.ts, and by `npm run parity`.
  test.each(["cpu", "onnxruntime"])("every recorded stage on %s", async (backend) => {
    await tf.setBackend(backend);
    const failures: string[] = [];
    const skipped: string[] = [];
    let passed = 0;
    const check = {
      ok: (name: string, pass: boolean, detail?: string) => (pass ? passed++ : failures.push(`${name}: ${detail}`)),
      skip: (name: string, reason: string) => skipped.push(`${name}: ${reason}`),
    };
    await run(fixture, check, { training: false });
    expect(failures).toEqual([]);
    expect(skipped).toEqual([]);
    expect(passed).toBeGreaterThanOrEqual(230);
  });
});
