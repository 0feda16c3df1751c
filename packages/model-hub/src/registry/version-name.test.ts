import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nextVersionMs, VERSION_NAME, versionName } from "./version-name.js";

const AT = Date.UTC(2025, 10, 11, 15, 30, 45);

describe("versionName", () => {
  test("is the UTC second", () => {
    expect(versionName(AT)).toBe("v20251111_153045");
    expect(versionName(AT + 999)).toBe("v20251111_153045");
  });
  test("matches the pattern and sorts as time does", () => {
    const second = fc.integer({ min: 0, max: 253402300799 });
    fc.assert(
      fc.property(second, second, (a, b) => {
        expect(versionName(a * 1000)).toMatch(VERSION_NAME);
        expect(Math.sign(a - b)).toBe(versionName(a * 1000) < versionName(b * 1000) ? -1 : a === b ? 0 : 1);
      }),
    );
  });
});

describe("nextVersionMs", () => {
  test("a second version in the same second gets the next one", () => {
    const first = nextVersionMs(AT + 300, 0);
    expect(versionName(first)).toBe("v20251111_153045");
    expect(versionName(nextVersionMs(AT + 400, first))).toBe("v20251111_153046");
  });
  test("a clock that goes back does not reuse a name", () => {
    expect(nextVersionMs(AT - 3600_000, AT)).toBe(AT + 1000);
  });
});
