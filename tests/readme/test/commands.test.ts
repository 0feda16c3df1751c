import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { commands } from "../../../packages/cli/src/index.js";

test("the README of @seg/cli lists every command", () => {
  const readme = readFileSync(new URL("../../../packages/cli/README.md", import.meta.url), "utf8");
  const rows = readme.split("\n").filter((line) => line.startsWith("| `seg "));
  const listed = rows.flatMap((row) => [...row.split("|")[1]!.matchAll(/`seg ([a-z-]+)`/g)].map(([, name]) => name));
  expect(listed.sort()).toEqual(Object.keys(commands).sort());
});
