import fc from "fast-check";
import { expect, test } from "vitest";
import { redact } from "./redact.js";

test.each([
  ["Authorization: Bearer abc.def", "Authorization: Bearer ***"],
  ["authorization: basic dXNlcg==", "authorization: basic ***"],
  ["https://ana:pass@host/x", "https://***@host/x"],
  ["postgres://seg:pass@host/db", "postgres://***@host/db"],
  ["https://h/x?a=1&token=abc&b=2", "https://h/x?a=1&token=***&b=2"],
  [
    "https://h/x?X-Amz-Signature=0a1b&X-Amz-Credential=AK%2F2026&v=1",
    "https://h/x?X-Amz-Signature=***&X-Amz-Credential=***&v=1",
  ],
  ["mail ana@host.org, or https://host/a@b", "mail ana@host.org, or https://host/a@b"],
  ["nothing to hide", "nothing to hide"],
])("%j becomes %j", (text, clean) => {
  expect(redact(text)).toBe(clean);
});

test("a known token appears nowhere, whatever it looks like and stands in", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 4 }), fc.string(), fc.string(), (token, before, after) => {
      // A text that contains it by itself, in the replacement or across the seam, is no leak of it.
      fc.pre(!"***".includes(token) && !`${before}***${after}`.includes(token));
      expect(redact(`${before}${token}${after}`, [token]).includes(token)).toBe(false);
    }),
  );
});

test("words shorter than four letters are no tokens", () => {
  expect(redact("a model", ["a", "", null, undefined])).toBe("a model");
});
