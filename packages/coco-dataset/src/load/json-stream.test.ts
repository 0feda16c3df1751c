import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CocoParseError } from "../errors.js";
import { JsonStream } from "./json-stream.js";
import { locateJsonError } from "./locate-json-error.js";

const encode = (text: string) => new TextEncoder().encode(text);

/** The document put together again from pieces. */
function read(
  bytes: Uint8Array,
  sizes: readonly number[],
  wants: (key: string | null) => boolean = () => true,
): unknown {
  const stream = new JsonStream("doc", { wants });
  const document = new Map<string, unknown>();
  let rows: unknown[] | null = null;
  let position = 0;
  for (let i = 0; position < bytes.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length]!);
    for (const { key, index, value } of stream.push(bytes.subarray(position, position + size))) {
      if (key === null) {
        rows ??= [];
        if (index >= 0) rows.push(value);
      } else if (index < 0) document.set(key, value);
      else (document.get(key) as unknown[]).push(value);
    }
    position += size;
  }
  stream.finish();
  return rows ?? Object.fromEntries(document);
}

const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 });
/** Text with what chunk edges can cut: characters of two to four bytes, escapes, brackets and quotes inside strings. */
const strings = fc.oneof(fc.string(), fc.constantFrom("ä€😀", 'a"]}\\', "\u2028", "{[", "\\\\"));
const values = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    strings,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    tie("list"),
    tie("object"),
  ),
  list: fc.array(tie("value"), { maxLength: 4 }),
  object: fc.dictionary(strings, tie("value"), { maxKeys: 4 }),
}));
const documents = fc.oneof(values.list, values.object).map((value) => value as object);

describe("JsonStream", () => {
  test("gives what JSON.parse gives, for any chunks, indentation and byte order mark", () => {
    fc.assert(
      fc.property(
        documents,
        sizes,
        fc.constantFrom(undefined, 1, "\t"),
        fc.boolean(),
        (value, chunks, space, hasBom) => {
          const text = JSON.stringify(value, null, space);
          expect(read(encode(hasBom ? `\ufeff${text}` : text), chunks)).toEqual(JSON.parse(text));
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("stops where the text stops being JSON, whatever the chunks", () => {
    const edits = fc.record({
      value: documents,
      at: fc.nat(),
      put: fc.constantFrom("", ",", '"', "]", "}", "x", "0", "\\", ":"),
      chunks: sizes,
    });
    fc.assert(
      fc.property(edits, ({ value, at, put, chunks }) => {
        const whole = JSON.stringify(value);
        const index = at % (whole.length + 1);
        // An edit may leave half a surrogate pair, which UTF-8 cannot hold.
        const text = new TextDecoder().decode(encode(whole.slice(0, index) + put + whole.slice(index + 1)));
        const problem = locateJsonError(text);
        let error: CocoParseError | null = null;
        let result: unknown;
        try {
          result = read(encode(text), chunks);
        } catch (caught) {
          error = caught as CocoParseError;
        }
        if (problem === null && /^[{[]/.test(text)) {
          expect(error).toBe(null);
          expect(result).toEqual(JSON.parse(text));
        } else expect(error).toMatchObject({ code: "coco/parse", reason: "json" });
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ['{"images": [1, 2', 16, "cut off"],
    ['{"a": [1,, 2]}', 9, "expected a value"],
    ['{"a": 1 "b": 2}', 8, "expected ',' or '}'"],
    ['{"a": {"b": 01}}', 13, "',' or '}'"],
    ['{"a": "\\q"}', 7, "escape"],
    ['{"a": 1} x', 9, "end of the document"],
    ["{,}", 1, "a key"],
    ["", 0, "expected JSON"],
    ["7", 0, "expected { or ["],
  ])("%s fails at byte %d", (text, byteOffset, what) => {
    expect(() => read(encode(text), [3])).toThrow(
      expect.objectContaining({
        code: "coco/parse",
        reason: "json",
        byteOffset,
        message: expect.stringContaining(what),
      }),
    );
  });

  test("bytes that are not UTF-8 are refused at their value", () => {
    const bytes = Uint8Array.of(...encode('{"a": "'), 0xff, ...encode('"}'));
    expect(() => read(bytes, [4])).toThrow(expect.objectContaining({ reason: "encoding", byteOffset: 6 }));
  });

  test("keys that are not wanted are passed over", () => {
    const text = '{"a": [1, {"b": "]"}], "c": {"d": [2]}, "e": [3]}';
    expect(read(encode(text), [5], (key) => key === "e")).toEqual({ e: [3] });
  });

  test("a value above the limit is a typed error, not a full memory", () => {
    const stream = new JsonStream("doc", { maxValueBytes: 1000 });
    const run = () => {
      for (const _ of stream.push(encode('{"a": [{"b": "')));
      for (let i = 0; i < 11; i++) for (const _ of stream.push(new Uint8Array(100).fill(97)));
    };
    expect(run).toThrow(expect.objectContaining({ code: "coco/parse", reason: "too-large", byteOffset: 7 }));
  });
});
