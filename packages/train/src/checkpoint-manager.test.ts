import * as nodeFs from "node:fs";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readSafetensors, type StateDict } from "@seg/nn";
import { afterAll, describe, expect, test } from "vitest";
import { type CheckpointConfig, resolveCheckpointConfig } from "./checkpoint-config.js";
import { type CheckpointContent, CheckpointManager } from "./checkpoint-manager.js";
import { formatCheckpointName } from "./checkpoint-name.js";
import type { WriteFileSystem } from "./durable-file.js";
import { CheckpointCorruptError, CheckpointWriteError, ConfigError } from "./errors.js";

const root = mkdtempSync(join(tmpdir(), "seg-train-checkpoint-"));
afterAll(() => rmSync(root, { recursive: true }));
let runs = 0;
const freshDirectory = () => join(root, `run${runs++}`);

function content(
  epoch: number,
  { value = epoch, size = 4 }: { value?: number; size?: number } = {},
): CheckpointContent {
  const model: StateDict = new Map([
    ["w", { dtype: "F32", shape: [2, size / 2], data: new Float32Array(size).fill(value) }],
    ["num_batches_tracked", { dtype: "I64", shape: [], data: BigInt64Array.of(BigInt(epoch)) }],
  ]);
  const optim = new Map([
    ["exp_avg/w", new Float32Array(size).fill(-value)],
    ["step/w", Float32Array.of(epoch)],
  ]);
  return {
    epoch,
    step: epoch * 10,
    tensors: { model, ema: model, optim },
    state: { rng: { seed: 7 }, scheduler: { t: epoch }, mapping_hash: "abc" },
  };
}

const weights = (dir: string) =>
  existsSync(join(dir, "weights")) ? readdirSync(join(dir, "weights")).sort() : ([] as string[]);

/** Saves epochs 1.. with the given metric values; null means not evaluated. */
async function saveAll(manager: CheckpointManager, values: readonly (number | null)[], metric = "mAP50") {
  for (const [i, value] of values.entries()) {
    await manager.save(content(i + 1), value === null ? null : { [metric]: value });
  }
}

describe("CheckpointManager.save and load", () => {
  test("round-trips tensors and state under the documented names", async () => {
    const dir = freshDirectory();
    const manager = new CheckpointManager(dir);
    const report = await manager.save(content(1), { mAP50: 0.5 });
    expect(report.improved).toBe(true);
    const file = readSafetensors(join(dir, "weights/last.safetensors"));
    expect(file.names().sort()).toEqual([
      "ema/num_batches_tracked",
      "ema/w",
      "model/num_batches_tracked",
      "model/w",
      "optim/exp_avg/w",
      "optim/step/w",
    ]);
    expect(file.metadata["format"]).toBe("seg-checkpoint-1");
    expect(file.info("optim/exp_avg/w").shape).toEqual([2, 2]);
    const loaded = manager.load("last");
    expect(loaded).toMatchObject({ epoch: 1, step: 10, lost: [] });
    expect(loaded.state).toMatchObject({
      bit_exact: true,
      best: { epoch: 1, value: 0.5, metric: "mAP50" },
      mapping_hash: "abc",
      rng: { seed: 7 },
    });
    expect(loaded.tensors.model).toEqual(content(1).tensors.model);
    expect(loaded.tensors.optim).toEqual(content(1).tensors.optim);
    expect(loaded.tensors.projector).toBeNull();
  });

  test("names, keeps and indexes files as the options say", async () => {
    const dir = freshDirectory();
    const manager = new CheckpointManager(dir, { save_interval: 2, max_keep_checkpoints: 2 });
    await saveAll(manager, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, null, 0.45]);
    expect(weights(dir)).toEqual([
      "best.safetensors",
      "epoch_0006_map0.6000.safetensors",
      "epoch_0008_map0.4500.safetensors",
      "last.safetensors",
    ]);
    const index = JSON.parse(readFileSync(join(dir, "checkpoints.json"), "utf8"));
    expect(index.best).toMatchObject({ epoch: 6, value: 0.6 });
    expect(index.files.map((f: { file: string }) => f.file).sort()).toEqual(weights(dir));
    expect(manager.load("best").epoch).toBe(6);
    expect(manager.load("best.pt").epoch).toBe(6);
    expect(manager.load("epoch_0008_map0.4500.safetensors").epoch).toBe(8);
  });

  test.each([
    [0, []],
    [null, [1, 2, 3]],
    [1, [3]],
  ])("max_keep_checkpoints %s keeps epochs %j", async (keep, epochs) => {
    const dir = freshDirectory();
    const manager = new CheckpointManager(dir, { save_interval: 1, max_keep_checkpoints: keep });
    await saveAll(manager, [0.1, 0.2, 0.3]);
    const kept = weights(dir).filter((name) => name.startsWith("epoch_"));
    expect(kept.map((name) => Number(name.slice(6, 10)))).toEqual(epochs);
    expect(weights(dir)).toContain("best.safetensors");
  });

  test("goes on pruning after a resume", async () => {
    const dir = freshDirectory();
    const config: CheckpointConfig = { save_interval: 1, max_keep_checkpoints: 2 };
    await saveAll(new CheckpointManager(dir, config), [0.1, 0.2, 0.3]);
    const manager = new CheckpointManager(dir, config);
    expect(manager.resumeLatest()?.epoch).toBe(3);
    await manager.save(content(4), { mAP50: 0.4 });
    expect(weights(dir).filter((name) => name.startsWith("epoch_"))).toEqual([
      "epoch_0003_map0.3000.safetensors",
      "epoch_0004_map0.4000.safetensors",
    ]);
  });

  test("a format without the epoch numbers its files", async () => {
    const dir = freshDirectory();
    const manager = new CheckpointManager(dir, { save_interval: 1, checkpoint_format: "map{mAP50:.1f}" });
    await saveAll(manager, [0.5, 0.5]);
    expect(weights(dir)).toContain("map0.5.safetensors");
    expect(weights(dir)).toContain("map0.5-2.safetensors");
  });

  test("flags and reports what was left out", async () => {
    const dir = freshDirectory();
    const manager = new CheckpointManager(dir, { save_optimizer: false, save_rng_state: false });
    await manager.save(content(1), null);
    const loaded = manager.load("last");
    expect(loaded.lost).toEqual(["optimizer", "rng"]);
    expect(loaded.state.bit_exact).toBe(false);
    expect(loaded.tensors.optim).toBeNull();
    expect(loaded.state["rng"]).toBeUndefined();
    expect(loaded.warnings[0]).toMatch(/optimizer, rng/);
  });

  test("falls back to the mask metric when there is no box metric", async () => {
    const manager = new CheckpointManager(freshDirectory(), { save_interval: 1 });
    const { files } = await manager.save(content(1), { mask_mAP50: 0.25 });
    expect(manager.best).toMatchObject({ value: 0.25, metric: "mAP50" });
    expect(files.some((file) => file.endsWith("epoch_0001_map0.2500.safetensors"))).toBe(true);
  });
});

describe("CheckpointManager trackers", () => {
  test("patience 15 with the best at epoch 1 stops after epoch 16", async () => {
    const manager = new CheckpointManager(freshDirectory(), { save_interval: null });
    let stopped = 0;
    for (let epoch = 1; epoch <= 20 && stopped === 0; epoch++) {
      await manager.save(content(epoch), { mAP50: epoch === 1 ? 0.5 : 0.4 });
      if (manager.shouldStop) stopped = epoch;
    }
    expect(stopped).toBe(16);
  });

  test("an improvement must exceed min_delta", async () => {
    const manager = new CheckpointManager(freshDirectory(), { min_delta: 0.01 });
    await saveAll(manager, [0.5, 0.51, 0.505]);
    expect(manager.best?.epoch).toBe(1);
    await manager.save(content(4), { mAP50: 0.5101 });
    expect(manager.best?.epoch).toBe(4);
  });

  test("losses improve downwards", async () => {
    const manager = new CheckpointManager(freshDirectory(), { monitor_metric: "val_loss" });
    await saveAll(manager, [3, 2, 2.5], "val_loss");
    expect(manager.best).toMatchObject({ epoch: 2, value: 2 });
  });

  test("NaN is never better and warns; the first finite value is the first best", async () => {
    const manager = new CheckpointManager(freshDirectory());
    const first = await manager.save(content(1), { mAP50: Number.NaN });
    expect(first).toMatchObject({ improved: false, warnings: [expect.stringContaining("NaN")] });
    expect(manager.best).toBeNull();
    await manager.save(content(2), { mAP50: 0 });
    expect(manager.best).toMatchObject({ epoch: 2, value: 0 });
    await manager.save(content(3), { mAP50: Number.NaN });
    expect(manager.best?.epoch).toBe(2);
  });

  test("epochs without metrics neither improve nor stop", async () => {
    const manager = new CheckpointManager(freshDirectory(), { early_stopping: { patience: 3 } });
    await saveAll(manager, [0.5, null, null, null, null]);
    expect(manager.shouldStop).toBe(false);
    await manager.save(content(6), { mAP50: 0.5 });
    expect(manager.shouldStop).toBe(true);
  });

  test("survive a resume", async () => {
    const dir = freshDirectory();
    const config: CheckpointConfig = { early_stopping: { patience: 4 } };
    await saveAll(new CheckpointManager(dir, config), [0.5, 0.4, 0.4]);
    const manager = new CheckpointManager(dir, config);
    expect(manager.resumeLatest()?.epoch).toBe(3);
    expect(manager.best).toMatchObject({ epoch: 1, value: 0.5 });
    await manager.save(content(4), { mAP50: 0.4 });
    expect(manager.shouldStop).toBe(false);
    await manager.save(content(5), { mAP50: 0.4 });
    expect(manager.shouldStop).toBe(true);
  });
});

describe("CheckpointManager.resumeLatest", () => {
  test("gives null for a new run", () => {
    expect(new CheckpointManager(freshDirectory()).resumeLatest()).toBeNull();
  });

  const damage = {
    truncated: (bytes: Buffer) => bytes.subarray(0, bytes.length - 5),
    "cut inside the header": (bytes: Buffer) => bytes.subarray(0, 40),
    empty: () => Buffer.alloc(0),
    "bit-flipped in the data": (bytes: Buffer) => {
      bytes[bytes.length - 3]! ^= 4;
      return bytes;
    },
    "bit-flipped in the state": (bytes: Buffer) => {
      const at = bytes.indexOf("mapping_hash");
      bytes[at + 2]! ^= 1;
      return bytes;
    },
  };

  test.each(Object.entries(damage))(
    "a last file that is %s is set aside, the newest valid one is used",
    async (_, harm) => {
      const dir = freshDirectory();
      await saveAll(new CheckpointManager(dir, { save_interval: 2 }), [0.1, 0.2, 0.15]);
      const last = join(dir, "weights/last.safetensors");
      writeFileSync(last, harm(readFileSync(last)));
      const manager = new CheckpointManager(dir, { save_interval: 2 });
      const resumed = manager.resumeLatest();
      expect(resumed?.epoch).toBe(2);
      expect(resumed?.warnings[0]).toContain("last.safetensors is damaged");
      expect(existsSync(`${last}.corrupt`)).toBe(true);
      // The set is whole again.
      expect(manager.load("last").epoch).toBe(2);
    },
  );

  test("fails when every file is damaged", async () => {
    const dir = freshDirectory();
    await new CheckpointManager(dir, { save_interval: null, save_best: false }).save(content(1), null);
    const last = join(dir, "weights/last.safetensors");
    writeFileSync(last, readFileSync(last).subarray(0, 100));
    expect(() => new CheckpointManager(dir).resumeLatest()).toThrow(CheckpointCorruptError);
  });

  test("completes the files of an epoch that a kill cut short", async () => {
    const dir = freshDirectory();
    const config: CheckpointConfig = { save_interval: 1 };
    const first = new CheckpointManager(dir, config);
    await saveAll(first, [0.1]);
    const lastBefore = readFileSync(join(dir, "weights/last.safetensors"));
    await first.save(content(2), { mAP50: 0.9 });
    const whole = weights(dir);
    // Killed after `best`: neither the interval file nor `last` of epoch 2 exist.
    writeFileSync(join(dir, "weights/last.safetensors"), lastBefore);
    rmSync(join(dir, "weights/epoch_0002_map0.9000.safetensors"));
    const second = new CheckpointManager(dir, config);
    expect(second.resumeLatest()?.epoch).toBe(2);
    expect(weights(dir)).toEqual(whole);
    expect(second.load("last").epoch).toBe(2);
  });

  test("prefers a newer step file to the last epoch", async () => {
    const dir = freshDirectory();
    const manager = new CheckpointManager(dir);
    await manager.save(content(1), null);
    await manager.saveStep({ ...content(1), step: 15 }, 15);
    expect(weights(dir)).toContain("step_00000015.safetensors");
    expect(new CheckpointManager(dir).resumeLatest()).toMatchObject({ epoch: 1, step: 15 });
  });

  test("removes the temporary files of an interrupted run, and ignores foreign files", async () => {
    const dir = freshDirectory();
    await new CheckpointManager(dir).save(content(1), null);
    writeFileSync(join(dir, "weights/.last.safetensors.tmp-1-0"), "half");
    writeFileSync(join(dir, ".checkpoints.json.tmp-1-1"), "half");
    writeFileSync(join(dir, "weights/class_mapping.json"), "{}");
    const manager = new CheckpointManager(dir);
    expect(existsSync(join(dir, "weights/.last.safetensors.tmp-1-0"))).toBe(false);
    expect(existsSync(join(dir, ".checkpoints.json.tmp-1-1"))).toBe(false);
    expect(manager.resumeLatest()?.epoch).toBe(1);
  });
});

describe("CheckpointManager on a failing disk", () => {
  const full = (after: number): WriteFileSystem => {
    let written = 0;
    return {
      ...nodeFs,
      writeSync: ((fd: number, buffer: Uint8Array, offset: number, length: number) => {
        if (written + length > after) {
          const part = Math.max(after - written, 0);
          if (part > 0) nodeFs.writeSync(fd, buffer, offset, part);
          throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
        }
        written += length;
        return nodeFs.writeSync(fd, buffer, offset, length);
      }) as typeof nodeFs.writeSync,
    };
  };

  test.each([0, 100, 2000, 5000])("a disk full after %d bytes leaves earlier files intact", async (after) => {
    const dir = freshDirectory();
    await new CheckpointManager(dir).save(content(1), { mAP50: 0.5 });
    const before = weights(dir);
    const manager = new CheckpointManager(dir, {}, { fs: full(after) });
    manager.resumeLatest();
    const error = await manager.save(content(2, { size: 1000 }), { mAP50: 0.6 }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CheckpointWriteError);
    expect(error).toMatchObject({ code: "train/checkpoint-write", cause: { code: "ENOSPC" } });
    expect(weights(dir)).toEqual(before);
    expect(manager.load("last").epoch).toBe(1);
    expect(manager.load("best").epoch).toBe(1);
  });

  test("a file that reads back differently is not renamed", async () => {
    const dir = freshDirectory();
    const lying: WriteFileSystem = {
      ...nodeFs,
      readSync: ((fd: number, buffer: Uint8Array, offset: number, length: number, position: number) => {
        const count = nodeFs.readSync(fd, buffer, offset, length, position);
        buffer[9]! ^= 1;
        return count;
      }) as typeof nodeFs.readSync,
    };
    await expect(new CheckpointManager(dir, {}, { fs: lying }).save(content(1), null)).rejects.toMatchObject({
      code: "train/checkpoint-write",
    });
    expect(weights(dir)).toEqual([]);
  });

  test("a directory that cannot be written is a CheckpointWriteError", async () => {
    const dir = freshDirectory();
    writeFileSync(dir, "a file where the directory should be");
    await expect(new CheckpointManager(dir).save(content(1), null)).rejects.toBeInstanceOf(CheckpointWriteError);
  });
});

describe("CheckpointManager configuration", () => {
  const failure = (config: object): ConfigError => {
    try {
      resolveCheckpointConfig(config);
    } catch (error) {
      if (error instanceof ConfigError) return error;
    }
    throw new Error("accepted");
  };

  test("an unknown key names the nearest one", () => {
    expect(failure({ save_intervall: 3 })).toMatchObject({ key: "save_intervall", nearest: "save_interval" });
    expect(failure({ early_stopping: { patiense: 3 } })).toMatchObject({ nearest: "early_stopping.patience" });
  });

  test("an unknown metric lists the known ones", () => {
    expect(failure({ monitor_metric: "mAP5" })).toMatchObject({ key: "monitor_metric", nearest: "mAP50" });
    expect(failure({ monitor_metric: "mAP5" }).message).toContain("mask_mAP50-95");
    expect(resolveCheckpointConfig({ monitor_metric: "dice" }, { metrics: ["dice"] }).mode).toBe("max");
  });

  test("a contradicting mode is refused", () => {
    expect(failure({ monitor_metric: "val_loss", mode: "max" }).key).toBe("mode");
    expect(failure({ mode: "min" }).key).toBe("mode");
  });

  test.each([
    { save_interval: 0 },
    { save_interval: 1.5 },
    { max_keep_checkpoints: -1 },
    { min_delta: Number.NaN },
    { save_last: "yes" },
    { early_stopping: { patience: 0 } },
    { checkpoint_format: "../{epoch:04d}.safetensors" },
    { checkpoint_format: "{epoch:x}.safetensors" },
    { best_checkpoint_name: "a/b.safetensors" },
  ])("%j is refused", (config) => {
    expect(failure(config).code).toBe("train/config");
  });

  test(".pt and .pth become .safetensors with one notice", () => {
    const resolved = resolveCheckpointConfig({ best_checkpoint_name: "best.pt", last_checkpoint_name: "final.pth" });
    expect([resolved.bestName, resolved.lastName]).toEqual(["best.safetensors", "final.safetensors"]);
    expect(resolved.notices).toHaveLength(2);
  });
});

describe("formatCheckpointName", () => {
  test.each([
    ["epoch_{epoch:04d}_map{mAP50:.4f}.safetensors", { epoch: 7, mAP50: 0.5 }, "epoch_0007_map0.5000.safetensors"],
    ["epoch_{epoch:04d}_map{mAP50:.4f}.safetensors", { epoch: 7 }, "epoch_0007_mapnan.safetensors"],
    ["l{val_loss:.2e}", { val_loss: 0.00012345 }, "l1.23e-04"],
    ["e{epoch}", { epoch: 12 }, "e12"],
    ["m{mAP50-95:.2f}", { "mAP50-95": 0.456 }, "m0.46"],
  ])("%s with %j is %s", (format, values, name) => {
    expect(formatCheckpointName(format, values as Record<string, number>)).toBe(name);
  });
});
