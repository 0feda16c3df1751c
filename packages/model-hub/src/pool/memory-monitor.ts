import { type HubClock, systemClock } from "../internal/clock.js";
import { type MemorySample, readMemory } from "./memory.js";
import type { ModelPool } from "./model-pool.js";

/** Options of {@link MemoryMonitor}. */
export interface MemoryMonitorOptions {
  readonly pool: ModelPool;
  /** Share of a device's budget in use above which idle models go. @defaultValue 0.85 */
  readonly cleanupThreshold?: number;
  /** Share of the budget that is left in use afterwards, where enough is idle. @defaultValue 0.70 */
  readonly cleanupTarget?: number;
  /** @defaultValue 1000 */
  readonly intervalMs?: number;
  readonly read?: () => Promise<MemorySample>;
  readonly clock?: HubClock;
}

/** What {@link MemoryMonitor.check} saw and did. */
export interface MemoryReport {
  readonly sample: MemorySample;
  /** Keys of models that were dropped: idle for too long, or because memory was short. */
  readonly dropped: readonly string[];
}

/**
 * Compares measured memory (this process on the cpu, the whole GPU on accelerators) with the budgets of a pool and drops idle
 * models where it is short.
 */
export class MemoryMonitor {
  readonly #options: Required<MemoryMonitorOptions>;
  #stop: AbortController | null = null;

  constructor({
    cleanupThreshold = 0.85,
    cleanupTarget = 0.7,
    intervalMs = 1000,
    read = readMemory,
    clock = systemClock,
    pool,
  }: MemoryMonitorOptions) {
    if (!(cleanupTarget > 0 && cleanupTarget < cleanupThreshold && cleanupThreshold <= 1)) {
      throw new RangeError(
        `Cleaning up from ${cleanupThreshold} to ${cleanupTarget} of the budget: expected 0 < target < threshold <= 1.`,
      );
    }
    this.#options = { cleanupThreshold, cleanupTarget, intervalMs, read, clock, pool };
  }

  /** One look at the memory. Below the threshold only models that were idle for too long go. */
  async check(): Promise<MemoryReport> {
    const { pool, read, cleanupThreshold, cleanupTarget } = this.#options;
    const expired = await pool.expire();
    const sample = await read();
    const measured = new Map([["cpu", sample.rssBytes], ...sample.gpus.map((gpu) => [gpu.id, gpu.usedBytes] as const)]);
    const used: Record<string, number> = {};
    for (const { id, budgetBytes, usedBytes } of pool.status().devices) {
      const bytes = Math.max(measured.get(id) ?? 0, usedBytes);
      // 0: nothing to do on this device.
      used[id] = bytes > cleanupThreshold * budgetBytes ? bytes : 0;
    }
    const evicted = await pool.cleanup({ target: cleanupTarget, used });
    return { sample, dropped: [...expired, ...evicted] };
  }

  /** Checks every `intervalMs` until {@link MemoryMonitor.stop}; keeps no process alive. */
  start(onReport: (report: MemoryReport) => void = () => undefined): void {
    if (this.#stop !== null) return;
    const stop = new AbortController();
    this.#stop = stop;
    const { clock, intervalMs } = this.#options;
    const loop = async () => {
      while (!stop.signal.aborted) {
        onReport(await this.check());
        await clock.sleep(intervalMs, stop.signal);
      }
    };
    loop().catch((error: unknown) => {
      if (stop.signal.aborted) return;
      process.emitWarning(`The memory monitor stopped: ${String(error)}`, { code: "SEG_MEMORY_MONITOR" });
    });
  }

  stop(): void {
    this.#stop?.abort();
    this.#stop = null;
  }
}
