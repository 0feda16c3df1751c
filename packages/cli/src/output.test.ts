import { describe, expect, test } from "vitest";
import { createOutput, duration } from "./output.js";

/** An output whose clock is set by hand and whose streams are strings. */
function recorder(options: { json?: boolean; quiet?: boolean; isTTY?: boolean; columns?: number } = {}) {
  const state = { stdout: "", stderr: "", milliseconds: 0 };
  const output = createOutput({
    json: options.json ?? false,
    quiet: options.quiet ?? false,
    now: () => state.milliseconds,
    out: { write: (text) => (state.stdout += text) },
    err: { write: (text) => (state.stderr += text), isTTY: options.isTTY ?? false, columns: options.columns ?? 80 },
  });
  return { state, output };
}

describe("duration", () => {
  test.each([
    [0, "0:00"],
    [-3, "0:00"],
    [5.4, "0:05"],
    [59.6, "1:00"],
    [65, "1:05"],
    [3599.6, "1:00:00"],
    [7389, "2:03:09"],
    [360000, "100:00:00"],
  ])("%d s is %s", (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });
});

describe("progress", () => {
  test("a log gets the first, one every ten seconds, and the last", () => {
    const { state, output } = recorder();
    for (let step = 1; step <= 60; step++) {
      state.milliseconds += 1000;
      output.progress({ label: "steps", done: step, total: 60, etaSeconds: 60 - step, detail: "loss 1.0" });
    }
    expect(state.stderr.split("\n")).toEqual([
      "steps 1/60 1%  ETA 0:59  loss 1.0",
      "steps 11/60 18%  ETA 0:49  loss 1.0",
      "steps 21/60 35%  ETA 0:39  loss 1.0",
      "steps 31/60 51%  ETA 0:29  loss 1.0",
      "steps 41/60 68%  ETA 0:19  loss 1.0",
      "steps 51/60 85%  ETA 0:09  loss 1.0",
      "steps 60/60 100%  loss 1.0",
      "",
    ]);
    expect(state.stdout).toBe("");
  });

  test("without an ETA of its own the time left follows from the pace, once there is one, for each label alone", () => {
    const { state, output } = recorder();
    const at = (seconds: number, label: string, done: number) => {
      state.milliseconds = 1000 * seconds;
      output.progress({ label, done, total: 10 });
    };
    at(0, "a", 1);
    at(20, "a", 3);
    at(40, "b", 1);
    at(60, "b", 2);
    at(80, "b", 5);
    // A second round over the same label begins anew.
    at(100, "b", 1);
    expect(state.stderr.split("\n")).toEqual([
      "a 1/10 10%",
      "a 3/10 30%  ETA 1:10",
      "b 1/10 10%",
      "b 2/10 20%",
      "b 5/10 50%  ETA 0:50",
      "b 1/10 10%",
      "",
    ]);
  });

  test("a terminal gets one line, overwritten at most ten times a second", () => {
    const { state, output } = recorder({ isTTY: true });
    for (const milliseconds of [0, 50, 99, 100, 250]) {
      state.milliseconds = milliseconds;
      output.progress({ label: "a", done: 1, total: 9 });
    }
    expect(state.stderr).toBe("\r\x1b[Ka [##------------------] 1/9 11%".repeat(3));
    output.line("text");
    expect(state.stderr.endsWith("11%\n")).toBe(true);
    expect(state.stdout).toBe("text\n");
  });

  test("an open terminal line is settled once, so that an error starts on its own line", () => {
    const { state, output } = recorder({ isTTY: true });
    output.progress({ label: "a", done: 1, total: 9 });
    output.settle();
    output.settle();
    expect(state.stderr).toBe("\r\x1b[Ka [##------------------] 1/9 11%\n");
  });

  test("a line never wraps in a terminal: what wraps cannot be overwritten", () => {
    const { state, output } = recorder({ isTTY: true, columns: 40 });
    output.progress({ label: "training", done: 9, total: 9, detail: "loss ".repeat(20) });
    expect(state.stderr).toBe("\r\x1b[Ktraining [####################] 9/9 100\n");
    const whole = recorder({ isTTY: true, columns: 56 });
    whole.output.progress({ label: "training", done: 9, total: 9, detail: "0.4 img/s  box 12.345" });
    expect(whole.state.stderr).toBe("\r\x1b[Ktraining [####################] 9/9 100%  0.4 img/s\n");
  });

  test("nothing to do is 100 %", () => {
    const { state, output } = recorder();
    output.progress({ label: "a", done: 0, total: 0 });
    expect(state.stderr).toBe("a 0/0 100%\n");
  });

  test.each([{ quiet: true }, { json: true }])("is left out with %j", (options) => {
    const { state, output } = recorder(options);
    output.progress({ label: "a", done: 9, total: 9 });
    expect(state).toMatchObject({ stdout: "", stderr: "" });
  });
});

describe("text, events and results", () => {
  test("with --json stdout is JSON lines alone; text goes to stderr", () => {
    const { state, output } = recorder({ json: true });
    output.line("for people");
    output.event({ type: "step", loss: 1.5 });
    output.line("more\nlines");
    output.result({ command: "x", metrics: { mAP50: Number.NaN } });
    expect(
      state.stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { type: "step", loss: 1.5 },
      { type: "result", command: "x", metrics: { mAP50: null } },
    ]);
    expect(state.stderr).toBe("for people\nmore\nlines\n");
  });

  test("without --json text goes to stdout and there are no events", () => {
    const { state, output } = recorder();
    output.line("for people");
    output.event({ type: "step" });
    output.result({ command: "x" });
    expect(state).toMatchObject({ stdout: "for people\n", stderr: "" });
  });

  test("--quiet leaves out text", () => {
    const { state, output } = recorder({ quiet: true });
    output.line("for people");
    expect(state).toMatchObject({ stdout: "", stderr: "" });
  });
});
