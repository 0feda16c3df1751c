import { describe, expect, test } from "vitest";
import { brokenLinks } from "../../../scripts/verify-links.mjs";

describe("brokenLinks", () => {
  test("finds every broken link of a text, none in code and comments", () => {
    const found = brokenLinks({ files: ["tests/docs/fixtures/links.md"] });
    expect(found.map((line) => line.replace("tests/docs/fixtures/links.md:", "").replace(/; known.*/, ""))).toEqual([
      "5: nothing.md leads to nothing",
      "5: nothing.png leads to nothing",
      "5: #nothing has no such heading",
      "5: ../../../README.md#nothing has no such heading",
      "5: nothing.html leads to nothing",
      "13: ../../../../shared/DESIGN.md leaves the repository",
      "19: #again-2 has no such heading",
      "21: registry.example.org is a package registry; name none",
    ]);
  });

  test("finds none in the texts of the repository", () => {
    expect(brokenLinks()).toEqual([]);
  });
});
