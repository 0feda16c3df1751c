import { expect, test } from "vitest";
import { docCoverage } from "../../../scripts/check-doc-coverage.mjs";

test("every symbol that a package exports has a comment", () => {
  const { count, missing } = docCoverage();
  expect(missing).toEqual([]);
  // The entry points are found at all.
  expect(count).toBeGreaterThan(1500);
});
