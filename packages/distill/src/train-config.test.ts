import { describe, expect, test } from "vitest";
import { closedEpochs, kdRampAt } from "./train-config.js";

describe("closedEpochs", () => {
  test.each([
    [30, undefined, 3],
    [300, undefined, 10],
    [5, undefined, 1],
    [30, 0, 0],
    [3, 10, 3],
  ])("%i epochs, closeMosaic %s -> %i", (epochs, closeMosaic, expected) =>
    expect(closedEpochs({ epochs, closeMosaic })).toBe(expected),
  );
});

describe("kdRampAt", () => {
  const at = (step: number) => kdRampAt({ step, stepsPerEpoch: 10, warmupSteps: 30, epochs: 20, closed: 2 });
  test("rises over the warm-up, holds, falls over the closed epochs and is never 0", () => {
    expect([at(0), at(14), at(29), at(100), at(180), at(190)]).toEqual([1 / 30, 0.5, 1, 1, 1, 0.5]);
    expect(at(199)).toBeGreaterThan(0);
  });
  test("is 1 throughout without warm-up and closed epochs", () => {
    expect(kdRampAt({ step: 0, stepsPerEpoch: 1, warmupSteps: 0, epochs: 1, closed: 1 })).toBe(1);
  });
});
