import { resolve } from "node:path";
import { expect, test } from "vitest";
import { commonParent } from "./files.js";

test.each([
  [["/a/b/c"], "/a/b/c"],
  [["/a/b/c", "/a/b"], "/a/b"],
  [["/a/b", "/a/bc"], "/a"],
  [["/a/..b/x", "/a/..b"], "/a/..b"],
  [["/a", "/b"], "/"],
])("commonParent(%j) is %s", (folders, parent) => {
  expect(commonParent(folders)).toBe(resolve(parent));
});
