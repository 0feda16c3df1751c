import { describe, expect, test } from "vitest";
import { type OptionSpecs, parseArguments } from "./args.js";
import { UsageError } from "./errors.js";
import { nearest } from "./option-names.js";

const specs: OptionSpecs = {
  data: { type: "string", required: true, help: "annotations" },
  output: { type: "string", help: "folder", aliases: ["output-dir"] },
  epochs: { type: "number", fallback: 100, help: "epochs", range: { integer: true, min: 1 } },
  imgsz: { type: "number", help: "side", range: { integer: true, min: 32, multipleOf: 32 } },
  lr: { type: "number", help: "rate", range: { above: 0 } },
  scale: { type: "number", help: "scale", range: { min: 0, below: 1 } },
  mosaic: { type: "number", help: "share", range: { min: 0, max: 1 } },
  bias: { type: "number", help: "any" },
  format: { type: "list", help: "formats" },
  resume: { type: "boolean", fallback: false, help: "go on" },
  stratify: { type: "boolean", fallback: true, help: "keep shares" },
};
const parse = (...argv: string[]) => parseArguments(["--data", "a.json", ...argv], specs);
const refusal = (...argv: string[]): string => {
  try {
    parse(...argv);
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  throw new Error(`accepted ${argv.join(" ")}`);
};

describe("parseArguments", () => {
  test("fills in what is absent and leaves the rest undefined", () => {
    expect(parse()).toEqual({
      values: { data: "a.json", epochs: 100, resume: false, stratify: true },
      positional: [],
    });
  });

  test.each([
    [["--epochs", "3"], { epochs: 3 }],
    [["--epochs=3"], { epochs: 3 }],
    [["--epochs=1e2"], { epochs: 100 }],
    [["--bias", "-1.5"], { bias: -1.5 }],
    [["--imgsz", "64"], { imgsz: 64 }],
    [["--mosaic", "0"], { mosaic: 0 }],
    [["--output", "a=b"], { output: "a=b" }],
    [["--output=a=b"], { output: "a=b" }],
    [["--output-dir", "x"], { output: "x" }],
    [["--resume"], { resume: true }],
    [["--resume", "false"], { resume: false }],
    [["--stratify=false"], { stratify: false }],
    [["--stratify", "true", "--resume"], { stratify: true, resume: true }],
    [["--format", "onnx,tflite"], { format: ["onnx", "tflite"] }],
    [["--format", "onnx", "tflite", "--resume"], { format: ["onnx", "tflite"], resume: true }],
    [["--format=onnx,", "--resume"], { format: ["onnx"], resume: true }],
    [["--format", "onnx", "--resume", "--format=tflite"], { format: ["onnx", "tflite"], resume: true }],
    [["--epochs", "3", "--epochs", "4"], { epochs: 4 }],
  ])("%j", (argv, expected) => {
    expect(parse(...argv).values).toMatchObject(expected);
  });

  test("keeps positional arguments in order, and everything after --", () => {
    expect(parse("a.jpg", "--resume", "b.jpg", "--", "--c.jpg", "-d").positional).toEqual([
      "a.jpg",
      "b.jpg",
      "--c.jpg",
      "-d",
    ]);
  });

  test.each([
    [["--epoch", "3"], "Unknown option --epoch. Did you mean --epochs? See --help."],
    [["--output-dr", "x"], "Unknown option --output-dr. Did you mean --output-dir? See --help."],
    [["-output", "x"], "Unknown option -output. Did you mean --output? See --help."],
    [["--qqqqqqqq"], "Unknown option --qqqqqqqq. See --help."],
    [["--__proto__", "1"], "Unknown option --__proto__. See --help."],
    [["--output"], "--output needs a value: folder."],
    [["--output", "--resume"], "--output needs a value: folder."],
    [["--output", ""], "--output needs a value: folder."],
    [["--format", ","], "--format needs a value: formats."],
    [["--resume=perhaps"], '--resume is true or false, got "perhaps".'],
    [["--epochs", "many"], '--epochs must be a whole number, at least 1; got "many".'],
    [["--epochs", "0"], '--epochs must be a whole number, at least 1; got "0".'],
    [["--epochs", "1.5"], '--epochs must be a whole number, at least 1; got "1.5".'],
    [["--imgsz", "50"], '--imgsz must be a multiple of 32, at least 32; got "50".'],
    [["--lr", "0"], '--lr must be a number, above 0; got "0".'],
    [["--scale", "1"], '--scale must be a number, at least 0 and below 1; got "1".'],
    [["--mosaic", "1.01"], '--mosaic must be a number, at least 0 and at most 1; got "1.01".'],
    [["--bias", "Infinity"], '--bias must be a number; got "Infinity".'],
    [["--bias", "NaN"], '--bias must be a number; got "NaN".'],
  ])("refuses %j", (argv, message) => {
    expect(refusal(...argv)).toBe(message);
  });

  test("refuses a command line without a required option", () => {
    expect(() => parseArguments([], specs)).toThrow("--data is required: annotations.");
  });
});

describe("nearest", () => {
  test.each([
    ["trian", ["train", "predict"], "train"],
    ["train", ["train", "trains"], "train"],
    ["evalute", ["evaluate", "validate"], "evaluate"],
    ["xyz", ["train", "predict"], null],
    ["anything", [], null],
  ])("%s among %j is %s", (name, known, expected) => {
    expect(nearest(name, known)).toBe(expected);
  });
});
