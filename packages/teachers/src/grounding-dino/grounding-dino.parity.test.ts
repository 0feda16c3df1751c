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
  test.each(["cpu", "onnxruntime"])("every recorded stage on %s", async (backend) => {
    await tf.setBackend(backend);
    const failures: string[] = [];
    const skipped: string[] = [];
    let passed = 0;
    await run(fixture, {
      ok: (name, pass, detail) => (pass ? passed++ : failures.push(`${name}: ${detail}`)),
      skip: (name, reason) => skipped.push(`${name}: ${reason}`),
    });
    expect(failures).toEqual([]);
    expect(skipped).toEqual([]);
    expect(passed).toBeGreaterThanOrEqual(80);
  });
});
