import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { BadImageError, ConfigError, StudentDataMismatchError } from "@seg/distill";
import { HubError } from "@seg/model-hub";
import { describe, expect, test } from "vitest";
import { CommandError, exitCodeOf, UsageError } from "./errors.js";
import { explainError } from "./explain-error.js";

const caught = async (run: () => unknown): Promise<unknown> => {
  try {
    await run();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
};

describe("explainError", () => {
  test("errors of the project keep code and message, on one line", () => {
    const error = new CommandError({ code: "cli/x", message: "Two\n  lines." });
    expect(explainError(error)).toEqual({ code: "cli/x", message: "Two lines." });
  });

  test("a configuration field becomes an option", () => {
    const error = new ConfigError({ field: "closeMosaic", expected: "an integer", actual: 0.5 });
    expect(explainError(error).message).toBe("--close-mosaic: expected an integer, got 0.5.");
  });

  test("advice of a library that has no option is left out", () => {
    const hint =
      "Choose a detection student, annotate masks, or let a mask teacher supply them (allowTeacherMasks: true).";
    const { message } = explainError(
      new StudentDataMismatchError({ student: "yolov8n-seg", boxes: 3, masks: 0, hint }),
    );
    expect(message).toBe(
      'Student "yolov8n-seg" does not fit annotations with 3 boxes and 0 masks. Choose a detection student or annotate masks.',
    );
  });

  test("a bad image is named once, and --on-bad-image only where the command has it", () => {
    const cause = new Error("Cannot decode a.jpg: cut off. Replace it.");
    const error = new BadImageError({ file: "a.jpg", reason: cause.message, cause });
    expect(explainError(error, { command: "evaluate" }).message).toBe("Cannot decode a.jpg: cut off. Replace it.");
    expect(explainError(error, { command: "train-student" }).message).toBe(
      "Cannot decode a.jpg: cut off. Replace it. Or leave it out with --on-bad-image skip.",
    );
  });

  test.each([
    ["ENOENT", () => readFileSync("/nowhere/a.json"), "/nowhere/a.json was not found."],
    ["EISDIR", () => readFile(tmpdir()), "The file is a folder where a file is needed."],
    ["ENOTDIR", () => readFileSync("/dev/null/a.json"), "A part of /dev/null/a.json is a file"],
  ])("%s is a sentence", async (code, run, start) => {
    const explained = explainError(await caught(run));
    expect(explained.code).toBe(code);
    expect(explained.message.startsWith(start)).toBe(true);
    expect(explained.message).not.toContain(code);
  });

  test("the unforeseen says so", async () => {
    const error = await caught(() => (undefined as unknown as { a: { b: number } }).a.b);
    expect(explainError(error)).toEqual({
      code: "unexpected",
      message:
        "Unexpected TypeError: Cannot read properties of undefined (reading 'a') (a fault of this program; SEG_DEBUG=1 shows where).",
    });
    expect(explainError("a string")).toEqual({ code: "unknown", message: "a string" });
  });
});

test("exit codes tell wrong usage, failures and broken artefacts apart", () => {
  expect(exitCodeOf(new UsageError("x"))).toBe(2);
  expect(exitCodeOf(new CommandError({ code: "cli/x", message: "x" }))).toBe(1);
  expect(exitCodeOf(new CommandError({ code: "cli/x", message: "x", exitCode: 3 }))).toBe(3);
  expect(exitCodeOf(new HubError({ code: "INTEGRITY", message: "x" }))).toBe(3);
  expect(exitCodeOf(new HubError({ code: "NOT_FOUND", message: "x" }))).toBe(1);
  expect(exitCodeOf("a string")).toBe(1);
});
