import { expect, test } from "vitest";
import { freeBuffers } from "./free-buffers.js";

test("freed buffers are detached, however often", () => {
  for (let i = 0; i < 3; i++) {
    const arrays = [new Float32Array(5), new Float32Array(0), new Int32Array(1000)];
    freeBuffers(arrays.map(({ buffer }) => buffer));
    expect(arrays.map(({ length }) => length)).toEqual([0, 0, 0]);
  }
  freeBuffers([]);
});

test("memory comes back without a collection", () => {
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 20; i++) {
    const array = new Float32Array(1_000_000).fill(i);
    freeBuffers([array.buffer]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8_000_000);
  }
});
