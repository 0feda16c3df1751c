import { describe, expect, test } from "vitest";
import { parseResultsCsv } from "./parse-results-csv.js";

describe("parseResultsCsv", () => {
  test("reads numbers and leaves empty cells null", () => {
    expect(parseResultsCsv("epoch,time,metrics/mAP50(B)\n1,10.5,\n2,21,0.25\n3,3.1e1,1e-05\n")).toEqual({
      columns: ["epoch", "time", "metrics/mAP50(B)"],
      rows: [
        [1, 10.5, null],
        [2, 21, 0.25],
        [3, 31, 1e-5],
      ],
    });
  });

  test("accepts an empty text, a header alone, a byte order mark, CRLF and padded cells", () => {
    expect(parseResultsCsv("")).toEqual({ columns: [], rows: [] });
    expect(parseResultsCsv("epoch,loss\n")).toEqual({ columns: ["epoch", "loss"], rows: [] });
    expect(parseResultsCsv("\ufeff  epoch,   loss\r\n   1,  0.5\r\n\r\n")).toEqual({
      columns: ["epoch", "loss"],
      rows: [[1, 0.5]],
    });
  });

  test("keeps nan and infinities, which are measured, apart from null, which is not", () => {
    expect(parseResultsCsv("a,b,c,d\nnan,inf,-Infinity,\n").rows).toEqual([[Number.NaN, Infinity, -Infinity, null]]);
  });

  test("fills short lines with null but drops a last line that was cut off while writing", () => {
    expect(parseResultsCsv("a,b,c\n1,2\n3,4,5\n").rows).toEqual([
      [1, 2, null],
      [3, 4, 5],
    ]);
    expect(parseResultsCsv("a,b,c\n1,2,3\n4,0.1").rows).toEqual([[1, 2, 3]]);
    expect(parseResultsCsv("a,b\n1,2").rows).toEqual([[1, 2]]);
  });

  test("names line and column of what is not a number", () => {
    expect(() => parseResultsCsv("epoch,loss\n1,2\n2,0x10\n")).toThrow(
      expect.objectContaining({
        code: "cli/results-csv",
        message: expect.stringMatching(/line 3, column "loss".*0x10/),
      }),
    );
    expect(() => parseResultsCsv("epoch,loss\n1,2,3\n")).toThrow(expect.objectContaining({ code: "cli/results-csv" }));
  });
});
