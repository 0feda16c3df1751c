import { describe, expect, test } from "vitest";
import { type MemorySample, type MemorySources, readMemory } from "./memory.js";
import { MemoryMonitor } from "./memory-monitor.js";
import { ModelPool } from "./model-pool.js";
import { planPlacement } from "./plan-placement.js";
import { reserveBytes } from "./reserve-bytes.js";
import { chooseVictims } from "./victims.js";

const GIB = 2 ** 30;
const MIB = 2 ** 20;

function sources(files: Record<string, string>, smi: string | null = null): MemorySources {
  return {
    file: async (path) => files[path] ?? null,
    nvidiaSmi: async () => smi,
    rssBytes: () => 123,
    totalBytes: () => 8 * GIB,
    freeBytes: () => 2 * GIB,
  };
}

describe("readMemory", () => {
  const meminfo = "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:   10485760 kB\n";

  test("the machine without a control group, and without /proc", async () => {
    expect(await readMemory(sources({ "/proc/meminfo": meminfo, "/sys/fs/cgroup/memory.max": "max\n" }))).toEqual({
      rssBytes: 123,
      totalBytes: 16 * GIB,
      availableBytes: 10 * GIB,
      gpus: [],
    });
    expect(await readMemory(sources({}))).toMatchObject({ totalBytes: 8 * GIB, availableBytes: 2 * GIB });
  });

  test("a control group's limit, with page cache that it can give back", async () => {
    const group = {
      "/proc/meminfo": meminfo,
      "/sys/fs/cgroup/memory.max": `${4 * GIB}\n`,
      "/sys/fs/cgroup/memory.current": `${3 * GIB}\n`,
      "/sys/fs/cgroup/memory.stat": `anon 5\ninactive_file ${GIB}\n`,
    };
    expect(await readMemory(sources(group))).toMatchObject({ totalBytes: 4 * GIB, availableBytes: 2 * GIB });
  });

  test("GPUs by nvidia-smi; a line that is no numbers is left out", async () => {
    const sample = await readMemory(sources({}, "0, 24576, 1024\n1, 81920, 40960\n[N/A], [N/A], [N/A]\n"));
    expect(sample.gpus).toEqual([
      { id: "cuda:0", totalBytes: 24576 * MIB, usedBytes: GIB },
      { id: "cuda:1", totalBytes: 80 * GIB, usedBytes: 40 * GIB },
    ]);
  });

  test("this machine", async () => {
    const { rssBytes, totalBytes, availableBytes } = await readMemory();
    expect(rssBytes).toBeGreaterThan(10 * MIB);
    expect(totalBytes).toBeGreaterThan(rssBytes);
    expect(availableBytes).toBeLessThanOrEqual(totalBytes);
  });
});

describe("MemoryMonitor", () => {
  async function poolWith(keys: readonly string[]) {
    const pool = new ModelPool({ devices: [{ id: "cpu", totalBytes: 100, reserveBytes: 0 }] });
    for (const key of keys) {
      const load = async () => ({ model: key, bytes: 20, dispose: () => undefined });
      (await pool.acquire(key, { weightBytes: 10, load })).release();
    }
    return pool;
  }
  const sample = (rssBytes: number): MemorySample => ({ rssBytes, totalBytes: 200, availableBytes: 1, gpus: [] });

  test("drops nothing below the threshold, and down to the target above it, by what was measured", async () => {
    const pool = await poolWith(["a", "b", "c"]);
    let rss = 85;
    const monitor = new MemoryMonitor({ pool, read: async () => sample(rss) });
    expect((await monitor.check()).dropped).toEqual([]);
    rss = 95;
    // 95 - 70 = 25 bytes: two models of 20.
    expect((await monitor.check()).dropped).toHaveLength(2);
    expect(pool.status().models).toHaveLength(1);
    // What is not idle cannot go; nothing is wrong with that.
    rss = 1000;
    expect((await monitor.check()).dropped).toHaveLength(1);
    expect((await monitor.check()).dropped).toEqual([]);
  });

  test("checks again and again until it is stopped", async () => {
    const pool = await poolWith([]);
    let ticks = 0;
    const monitor = new MemoryMonitor({ pool, intervalMs: 1, read: async () => sample(1) });
    await new Promise<void>((resolve) => {
      monitor.start(() => {
        if (++ticks === 3) resolve();
      });
      monitor.start();
    });
    monitor.stop();
    monitor.stop();
    expect(ticks).toBe(3);
  });

  test("refuses a target that is not below the threshold", async () => {
    const pool = await poolWith([]);
    expect(() => new MemoryMonitor({ pool, cleanupThreshold: 0.5, cleanupTarget: 0.6 })).toThrow(RangeError);
  });
});

describe("choices", () => {
  const model = (key: string, bytes: number, lastUse: number, reloadMs: number | null = null) => ({
    key,
    bytes,
    lastUse,
    reloadMs,
  });

  test("the least recently used goes; of equals what reloads fastest, then the larger", () => {
    const keys = (bytes: number, ...models: ReturnType<typeof model>[]) =>
      chooseVictims(models, bytes)?.map(({ key }) => key);
    expect(keys(5, model("young", 9, 2), model("old", 9, 1))).toEqual(["old"]);
    expect(keys(5, model("slow", 9, 1, 500), model("fast", 9, 1, 10))).toEqual(["fast"]);
    expect(keys(5, model("small", 6, 1), model("large", 9, 1))).toEqual(["large"]);
    expect(keys(5, model("b", 9, 1), model("a", 9, 1))).toEqual(["a"]);
  });

  test("just enough: a small old model stays where the next one is enough alone", () => {
    const models = [model("old", 2, 1), model("mid", 9, 2), model("young", 9, 3)];
    expect(chooseVictims(models, 8)?.map(({ key }) => key)).toEqual(["mid"]);
    expect(chooseVictims(models, 11)?.map(({ key }) => key)).toEqual(["old", "mid"]);
    expect(chooseVictims(models, 21)).toBeNull();
  });

  test("reserve of a device", () => {
    expect(reserveBytes(8 * GIB, "linux")).toBe(400 * MIB);
    expect(reserveBytes(24 * GIB, "linux")).toBe(500 * MIB);
    expect(reserveBytes(24 * GIB, "win32")).toBe(700 * MIB);
  });

  test("placement of components", () => {
    const components = [
      { name: "image_encoder", weightBytes: 400, isHeavy: true },
      { name: "text_encoder", weightBytes: 200, isHeavy: false },
      { name: "decoder", weightBytes: 20, isHeavy: false },
    ];
    expect(planPlacement({ components, freeBytes: 930 })).toMatchObject({ strategy: "none", acceleratorBytes: 930 });
    expect(planPlacement({ components, freeBytes: 929 })).toEqual({
      strategy: "balanced",
      placements: { image_encoder: "accelerator", text_encoder: "cpu", decoder: "cpu" },
      acceleratorBytes: 600,
    });
    expect(planPlacement({ components, freeBytes: 599 }).placements["decoder"]).toBe("accelerator while it runs");
    expect(planPlacement({ components, freeBytes: 0, strategy: "none" }).strategy).toBe("none");
  });
});
