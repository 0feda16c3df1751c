import type { SampleSource } from "../src/loader/sample-source.js";
import { inkScene } from "./pipeline-support.js";

/** Twelve scenes; index `bad` fails. Counts how many were loaded. */
export function createSource({ bad = -1, count = 12 }: { bad?: number; count?: number } = {}): SampleSource {
  return {
    count,
    load(index) {
      if (index === bad) throw new Error(`image ${index} is damaged`);
      return inkScene({ shift: 2 * index });
    },
  };
}
