import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CsvSchema } from "../datasets/types.js";
import { checkCsv } from "./check-csv.js";
import { formatBytes, formatDecimal, formatDuration, formatPercent, formatRate } from "./format.js";
import { readCsv } from "./read-csv.js";
import { countScale, powerScale, rateScale } from "./slider-scale.js";

describe("readCsv", () => {
  test.each([
    ["", []],
    ["a,b", [{ line: 1, cells: ["a", "b"] }]],
    [
      "\ufeffa\r\n\r\n1\r\n",
      [
        { line: 1, cells: ["a"] },
        { line: 3, cells: ["1"] },
      ],
    ],
    [
      '"x,""1""\ny",2\n3,',
      [
        { line: 1, cells: ['x,"1"\ny', "2"] },
        { line: 3, cells: ["3", ""] },
      ],
    ],
  ])("%j", (text, rows) => {
    expect(readCsv(text)).toEqual(rows);
  });

  test("reads back what quoting wrote", () => {
    const quote = (cell: string) => `"${cell.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.string({ unit: "grapheme" }), { minLength: 2, maxLength: 4 }), { minLength: 1 }),
        (rows) => {
          const text = rows.map((cells) => cells.map(quote).join(",")).join("\n");
          expect(readCsv(text).map(({ cells }) => cells)).toEqual(rows);
        },
      ),
    );
  });
});

const diabetes: CsvSchema = {
  id: "diabetes",
  description: "",
  columns: [
    { name: "HbA1c", type: "float", required: true },
    { name: "AGE", type: "int", required: true, min: 0 },
    { name: "BMI", type: "float", required: true },
    { name: "Gender", type: "string", required: true, values: { M: "M", F: "F" } },
    { name: "CLASS", type: "string", required: true, values: { N: "N", P: "P", Y: "Y" } },
  ],
};

describe("checkCsv", () => {
  test("accepts the columns in any order and counts rows", () => {
    const check = checkCsv("CLASS,Gender,AGE,BMI,HbA1c\nN,M,40,22.5,5.1\nY,F,61,31,8\n", diabetes);
    expect(check).toEqual({ records: 2, problems: [] });
  });

  test("names every missing column", () => {
    expect(checkCsv("HbA1c,AGE\n1,2\n", diabetes).problems).toEqual(["Missing columns: BMI, Gender, CLASS."]);
  });

  test("names line and value", () => {
    const { problems } = checkCsv("HbA1c,AGE,BMI,Gender,CLASS\nx,1.5,1,M,N\n1,-1,1,X,Y\n1,2\n", diabetes);
    expect(problems).toEqual([
      'Line 2: HbA1c is "x", not a number',
      "Line 2: AGE is 1.5, not a whole number",
      "Line 3: AGE is -1, below 0",
      'Line 3: Gender is "X", not one of M, F',
      "Line 4: 2 values for 5 columns",
    ]);
  });

  test("counts images, not lines, where there is a file_name", () => {
    const schema: CsvSchema = {
      id: "s",
      description: "",
      columns: [{ name: "file_name", type: "string", required: true }],
    };
    expect(checkCsv("file_name,class\na.jpg,1\na.jpg,2\nb.jpg,1\n", schema).records).toBe(2);
  });

  test("leaves the cut line of a beginning out and does not count", () => {
    expect(checkCsv("HbA1c,AGE,BMI,Gender,CLASS\n1,2,3,M,N\n1,2,3", diabetes, { isWhole: false })).toEqual({
      records: null,
      problems: [],
    });
  });

  test("stops at 20 problems", () => {
    const rows = Array.from({ length: 100 }, () => "x,x,x,x,x").join("\n");
    expect(checkCsv(`HbA1c,AGE,BMI,Gender,CLASS\n${rows}`, diabetes).problems).toHaveLength(20);
  });

  test("an empty file is a problem", () => {
    expect(checkCsv("", diabetes).problems).toEqual(["The file is empty."]);
    expect(checkCsv("HbA1c,AGE,BMI,Gender,CLASS\n", diabetes).problems).toEqual(["There is no line below the header."]);
  });
});

describe("formats", () => {
  test("rates as percent, F1 with four decimals, unknown as a dash", () => {
    expect([formatPercent(0.92345), formatPercent(null), formatDecimal(0.5), formatDecimal(undefined)]).toEqual([
      "92.3 %",
      "–",
      "0.5000",
      "–",
    ]);
  });
  test("durations, sizes, learning rates", () => {
    expect([0.42, 45, 75, 120, 7300].map(formatDuration)).toEqual([
      "0.4 s",
      "45 s",
      "1 min 15 s",
      "2 min",
      "2 h 1 min",
    ]);
    expect([0, 999, 1500, 6_549_796].map(formatBytes)).toEqual(["0 B", "999 B", "1.5 kB", "6.5 MB"]);
    expect([0.001, 0.0125, 3.2e-5, 1e-5].map(formatRate)).toEqual(["0.001", "0.0125", "3.2e-5", "1e-5"]);
  });
});

describe("slider scales", () => {
  test("powers of two are exact", () => {
    const scale = powerScale({ min: 1, max: 1024 });
    expect(Array.from({ length: scale.steps + 1 }, (_, i) => scale.valueAt(i))).toEqual(
      Array.from({ length: 11 }, (_, i) => 2 ** i),
    );
  });

  test.each([
    ["counts", countScale({ min: 1, max: 10_000, steps: 200 })],
    ["powers", powerScale({ min: 1, max: 4096 })],
    ["rates", rateScale({ min: 1e-6, max: 1 })],
  ])("%s reach both ends and never fall", (_, scale) => {
    const values = Array.from({ length: scale.steps + 1 }, (_, i) => scale.valueAt(i));
    expect(values[0]).toBe(scale.min);
    expect(values.at(-1)).toBe(scale.max);
    for (let i = 1; i < values.length; i++) expect(values[i]).toBeGreaterThanOrEqual(values[i - 1]!);
    for (const value of values) expect(scale.valueAt(scale.stepOf(value))).toBe(value);
  });
});
