import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { meterGpuPower } from "./gpu-power.js";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "seg-gpu-power-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Prints readings and waits to be ended, as the real program does; `ready` is written once they are out. */
async function watts(name: string, lines: readonly string[]): Promise<number | null> {
  const path = join(directory, name);
  const ready = join(directory, `${name}.ready`);
  const print = lines.map((line) => `printf '%s\\n' '${line}'`).join("\n");
  writeFileSync(path, `#!/bin/sh\n${print}\nprintf '9'\n: > '${ready}'\nexec sleep 30\n`, { mode: 0o755 });
  const meter = meterGpuPower(path);
  while (!existsSync(ready)) await new Promise((resolve) => setTimeout(resolve, 5));
  return meter.stop();
}

describe("meterGpuPower", () => {
  test("is the mean of the readings, without a last one that is cut off", async () => {
    expect(await watts("numbers", ["40.5", "41.5", "62.0"])).toBe(48);
  });

  test("is null where the GPU reports none", async () => {
    expect(await watts("none", ["[N/A]", "[N/A]"])).toBeNull();
  });

  test("is null without the program", async () => {
    expect(await meterGpuPower(join(directory, "missing")).stop()).toBeNull();
  });
});
