import { resolve, sep } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { assertSafeRelativePath, isSafeRelativePath } from "./safe-path.js";

test.each(["a", "onnx/model.onnx", ".gitattributes", "a..b", "ü/漢.bin"])("%j stays inside", (path) => {
  expect(isSafeRelativePath(path)).toBe(true);
});

test.each([
  "",
  "/etc/passwd",
  "../x",
  "a/../../x",
  "a/..",
  "./a",
  "a//b",
  "a/",
  "..\\x",
  "a\\b",
  "C:\\x",
  "c:x",
  "a\u0000b",
  "a\nb",
  "x".repeat(256),
  "a/".repeat(600),
])("%j does not pass", (path) => {
  expect(isSafeRelativePath(path)).toBe(false);
  expect(() => assertSafeRelativePath(path, "hf:a/b")).toThrow(
    expect.objectContaining({ code: "UNEXPECTED_CONTENT", details: { path, reason: "path-traversal" } }),
  );
});

test("what passes never leaves its folder", () => {
  const part = fc.oneof(fc.constantFrom("..", ".", "", "a", "\\", "C:", "%2e%2e"), fc.string({ maxLength: 4 }));
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
      const path = parts.join("/");
      if (isSafeRelativePath(path)) expect(resolve("/root/of/it", path).startsWith(`/root/of/it${sep}`)).toBe(true);
    }),
  );
});
