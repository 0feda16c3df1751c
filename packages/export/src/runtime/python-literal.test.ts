import { describe, expect, test } from "vitest";
import { parsePythonLiteral, toPythonLiteral } from "./python-literal.js";

describe("toPythonLiteral", () => {
  test("writes what ast.literal_eval reads", () => {
    expect(
      toPythonLiteral(
        new Map([
          [0, "person"],
          [1, "it's \\ a\nline"],
        ]),
      ),
    ).toBe("{0: 'person', 1: 'it\\'s \\\\ a\\nline'}");
    expect(toPythonLiteral([640, 640])).toBe("[640, 640]");
    expect(
      toPythonLiteral(
        new Map<string, boolean | number | null>([
          ["half", false],
          ["opset", 17],
          ["x", null],
        ]),
      ),
    ).toBe("{'half': False, 'opset': 17, 'x': None}");
  });

  test("is undone by parsePythonLiteral", () => {
    const names = new Map([
      [0, "Ohr \u00e4 \u{1f4e6}"],
      [1, "\"double\" and 'single'"],
      [2, "tab\tnul\u0000"],
      [3, ""],
    ]);
    expect(parsePythonLiteral(toPythonLiteral(names))).toEqual(names);
    expect(parsePythonLiteral("{'a': [1, -2.5e3], 'b': (True, None)}")).toEqual(
      new Map<string, unknown>([
        ["a", [1, -2500]],
        ["b", [true, null]],
      ]),
    );
  });

  test.each(["{0: 'a'", "[1, 2", "'open", "{0 'a'}", "1 2", ""])("rejects %j", (text) => {
    expect(() => parsePythonLiteral(text)).toThrow(SyntaxError);
  });
});
