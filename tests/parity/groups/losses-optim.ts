import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import "@seg/tfjs-onnxruntime";
import type { Check } from "../check.js";
import { type Attributes, compareFunction, type FixtureCase, openCase } from "../losses-optim/fixture-case.js";
import { compareLayer } from "../losses-optim/layers.js";
import { lossOf } from "../losses-optim/losses.js";
import { compareClipping, compareEma, compareSchedules, compareTraces } from "../losses-optim/optimizers.js";

/** Compares losses, layers, optimisers, averages and schedules with PyTorch's, on the engine; shapes and attributes come from the files. */
export async function run(dir: string, check: Check): Promise<void> {
  const index = JSON.parse(readFileSync(join(dir, "index.json"), "utf8")) as Readonly<
    Record<"losses" | "layers" | "optim", Readonly<Record<string, Attributes>>>
  >;
  const before = tf.getBackend();
  await tf.setBackend("onnxruntime");
  try {
    for (const fixture of casesOf(dir, "losses", index.losses)) {
      const forward = lossOf(fixture);
      if (forward === null) check.skip(`losses/${fixture.name}`, "unknown loss");
      else guard(check, fixture, () => compareFunction({ check, fixture, group: "losses", forward }));
    }
    for (const fixture of casesOf(dir, "layers", index.layers))
      guard(check, fixture, () => compareLayer(check, fixture));
    const optim = join(dir, "optim");
    compareTraces(optim, index.optim, check);
    compareClipping(optim, check);
    compareEma(optim, check);
    compareSchedules(optim, check);
  } finally {
    if (before) await tf.setBackend(before);
  }
}

function* casesOf(dir: string, group: string, attributes: Readonly<Record<string, Attributes>>): Iterable<FixtureCase> {
  for (const file of readdirSync(join(dir, group)).sort()) {
    if (!file.endsWith(".safetensors")) continue;
    const name = file.replace(/\.safetensors$/, "");
    yield openCase(join(dir, group, file), name, attributes[name] ?? {});
  }
}

/** An exception fails its own case, not the rest of the group. */
function guard(check: Check, { name }: FixtureCase, compare: () => void): void {
  try {
    compare();
  } catch (error) {
    check.ok(name, false, error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}
