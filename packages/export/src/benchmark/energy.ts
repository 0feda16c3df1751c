import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Running energy counters of the processor packages. */
export interface EnergyMeter {
  /** Joules since an arbitrary moment, all packages together. */
  read(): number;
  /** Joules after which the sum of the counters begins again at 0. */
  readonly wrapsAt: number;
}

/**
 * Energy counters of the Linux power capping interface (RAPL): package domains `intel-rapl:0`, `intel-rapl:1` ..., microjoules.
 *
 * @param root - @defaultValue "/sys/class/powercap"
 * @returns null where there are none or they may not be read (since 2020 only by root)
 */
export function openEnergyMeter(root = "/sys/class/powercap"): EnergyMeter | null {
  try {
    const packages = readdirSync(root)
      .filter((name) => /^intel-rapl:\d+$/.test(name))
      .map((name) => join(root, name));
    const value = (directory: string, file: string): number => {
      const number = Number(readFileSync(join(directory, file), "utf8").trim());
      if (!Number.isFinite(number)) throw new RangeError(`${directory}/${file} holds no number`);
      return number;
    };
    const sum = (file: string): number => packages.reduce((total, path) => total + value(path, file), 0) / 1e6;
    if (packages.length === 0) return null;
    sum("energy_uj");
    return { read: () => sum("energy_uj"), wrapsAt: sum("max_energy_range_uj") };
  } catch {
    return null;
  }
}

/** Joules between two readings of a counter that may have begun again once. */
export function energyBetween(before: number, after: number, wrapsAt: number): number {
  return after >= before ? after - before : after + wrapsAt - before;
}
