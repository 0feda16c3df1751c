import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT } from "../../../scripts/doc-texts.mjs";

const config = readFileSync(join(ROOT, "docs/.vitepress/config.mts"), "utf8");
const pagesIn = (folder: string) =>
  readdirSync(join(ROOT, "docs", folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => basename(name, ".md"));

describe("the sidebar names every page", () => {
  test.each(["guide", "how-to", "explanation", "help", "reference"])("of %s", (folder) => {
    const pages = pagesIn(folder);
    expect(pages.length).toBeGreaterThan(2);
    expect(pages.filter((name) => !config.includes(`"${name}"`))).toEqual([]);
  });

  test("beside the folders", () => {
    expect(pagesIn(".").filter((name) => name !== "index" && !config.includes(`"${name}"`))).toEqual([]);
  });
});
