import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { freemem, totalmem } from "node:os";
import { promisify } from "node:util";

const run = promisify(execFile);
const MIB = 2 ** 20;

/** Memory as it is now; bytes. */
export interface MemorySample {
  /** Of this process. */
  readonly rssBytes: number;
  /** Of the machine, or the control group's limit where that is lower. */
  readonly totalBytes: number;
  /** What can still be allocated without swapping. */
  readonly availableBytes: number;
  readonly gpus: readonly { readonly id: string; readonly totalBytes: number; readonly usedBytes: number }[];
}

/** Where {@link readMemory} looks; replaced in tests. */
export interface MemorySources {
  /** Text of a file, null where it does not exist. */
  readonly file: (path: string) => Promise<string | null>;
  /** Output of `nvidia-smi`, null where there is none. */
  readonly nvidiaSmi: () => Promise<string | null>;
  readonly rssBytes: () => number;
  readonly totalBytes: () => number;
  readonly freeBytes: () => number;
}

/** A machine without the tool is asked once. */
let hasNvidiaSmi = true;

const systemSources: MemorySources = {
  file: (path) => readFile(path, "utf8").catch(() => null),
  async nvidiaSmi() {
    if (!hasNvidiaSmi) return null;
    const query = ["--query-gpu=index,memory.total,memory.used", "--format=csv,noheader,nounits"];
    try {
      return (await run("nvidia-smi", query, { timeout: 5000 })).stdout;
    } catch (error) {
      hasNvidiaSmi = (error as NodeJS.ErrnoException).code !== "ENOENT";
      return null;
    }
  },
  rssBytes: () => process.memoryUsage.rss(),
  totalBytes: totalmem,
  freeBytes: freemem,
};

/** Value of `name: 123 kB` in bytes, null without such a line. */
function kilobytes(text: string | null, name: string): number | null {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text ?? "");
  return found === null ? null : Number(found[1]) * 1024;
}

/** A number of a control group's file; `max` and a missing file are no limit. */
function limit(text: string | null): number {
  const value = Number.parseInt(text ?? "", 10);
  return Number.isNaN(value) ? Number.POSITIVE_INFINITY : value;
}

/**
 * Memory of the process, of the machine or its control group (version 2), and of NVIDIA GPUs. Page cache that the group can give back
 * (`inactive_file`) counts as available.
 */
export async function readMemory(sources: MemorySources = systemSources): Promise<MemorySample> {
  const group = "/sys/fs/cgroup/memory";
  const [meminfo, max, current, stat, smi] = await Promise.all([
    sources.file("/proc/meminfo"),
    sources.file(`${group}.max`),
    sources.file(`${group}.current`),
    sources.file(`${group}.stat`),
    sources.nvidiaSmi(),
  ]);
  const machine = kilobytes(meminfo, "MemTotal") ?? sources.totalBytes();
  const available = kilobytes(meminfo, "MemAvailable") ?? sources.freeBytes();
  const groupLimit = limit(max);
  const inactive = Number(/^inactive_file (\d+)$/m.exec(stat ?? "")?.[1] ?? 0);
  const groupUsed = Math.max(0, Number.parseInt(current ?? "0", 10) - inactive);
  return {
    rssBytes: sources.rssBytes(),
    totalBytes: Math.min(machine, groupLimit),
    availableBytes: Math.max(0, Math.min(available, groupLimit - groupUsed)),
    gpus: (smi ?? "").split("\n").flatMap((line) => {
      const [index, total, used] = line.split(",").map((field) => Number.parseInt(field, 10));
      if (used === undefined || Number.isNaN(used)) return [];
      return [{ id: `cuda:${index}`, totalBytes: total! * MIB, usedBytes: used * MIB }];
    }),
  };
}
