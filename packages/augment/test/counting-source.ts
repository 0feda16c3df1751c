import type { SampleSource } from "../src/loader/sample-source.js";
import { inkScene } from "./pipeline-support.js";

/** Indices in the order in which they were loaded. */
export const loaded: number[] = [];

export function createSource(): SampleSource {
  return {
    count: 20,
    load(index) {
      loaded.push(index);
      return inkScene();
    },
  };
}
