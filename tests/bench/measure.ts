import { loadavg } from "node:os";
import process from "node:process";
import { median } from "./result.js";

/** Medians of one contestant: CPU time of the process (all threads) and wall time. */
export interface Measured {
  readonly cpuMs: number;
  readonly wallMs: number;
  /** Smallest and largest CPU time. */
  readonly spread: readonly [number, number];
  /** Counted rounds. */
  readonly rounds: number;
}

/** Rounds that are thrown away, and counted ones. */
export const WARM_UP = 2;
export const ROUNDS = 7;
/** Who needs longer for the first call (tfjs's cpu backend, a thousand times slower) is called in three counted rounds only. */
const SLOW_MS = 400;
const SLOW_ROUNDS = 3;

/**
 * Runs the contestants in turns (the order rotates, so that a busy moment of the machine hits all of them) and takes medians of
 * {@link ROUNDS} rounds after {@link WARM_UP}.
 *
 * @param repeat - calls per round, for functions of microseconds. Times are per call. @defaultValue 1
 */
export async function interleave<Name extends string>(
  contestants: Readonly<Record<Name, () => unknown>>,
  { repeat = 1, rounds = ROUNDS }: { repeat?: number; rounds?: number } = {},
): Promise<Record<Name, Measured>> {
  const names = Object.keys(contestants) as Name[];
  const cpu = new Map<Name, number[]>(names.map((name) => [name, []]));
  const wall = new Map<Name, number[]>(names.map((name) => [name, []]));
  const slow = new Set<Name>();
  for (let round = 0; round < WARM_UP + rounds; round++) {
    for (let k = 0; k < names.length; k++) {
      const name = names[(round + k) % names.length]!;
      if (slow.has(name) && (round < WARM_UP || round >= WARM_UP + SLOW_ROUNDS)) continue;
      const before = process.cpuUsage();
      const start = performance.now();
      for (let i = 0; i < repeat; i++) await contestants[name]();
      const elapsed = performance.now() - start;
      const { user, system } = process.cpuUsage(before);
      if (round === 0 && elapsed > SLOW_MS) slow.add(name);
      if (round < WARM_UP) continue;
      cpu.get(name)!.push((user + system) / 1000 / repeat);
      wall.get(name)!.push(elapsed / repeat);
    }
  }
  const summary = (name: Name): Measured => {
    const values = cpu.get(name)!;
    return {
      cpuMs: median(values),
      wallMs: median(wall.get(name)!),
      spread: [Math.min(...values), Math.max(...values)],
      rounds: values.length,
    };
  };
  return Object.fromEntries(names.map((name) => [name, summary(name)])) as Record<Name, Measured>;
}

/** "wall 12.3 ms, CPU 11.9-13.1 ms, load 0.8": what stands beside a CPU time. */
export function remark({ wallMs, spread }: Measured): string {
  const digits = wallMs < 1 ? 3 : 1;
  const [low, high] = spread.map((ms) => ms.toFixed(digits));
  return `wall ${wallMs.toFixed(digits)} ms, CPU ${low}-${high} ms, load ${loadavg()[0]!.toFixed(1)}`;
}
