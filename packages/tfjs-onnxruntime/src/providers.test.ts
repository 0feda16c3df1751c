import { createRequire } from "node:module";
import * as tf from "@tensorflow/tfjs";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { configure, EngineError, engineInfo, ops } from "./index.js";
import { contribOperators } from "./providers.js";

beforeAll(() => tf.setBackend("onnxruntime"));

afterEach(() => {
  configure({ executionProviders: ["cpu"], strict: false });
  vi.restoreAllMocks();
});

const caught = (fn: () => unknown): EngineError => {
  try {
    fn();
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    return error as EngineError;
  }
  throw new Error("nothing was thrown");
};
const works = () => expect(Array.from(tf.add(tf.tensor1d([1, 2]), 1).dataSync())).toEqual([2, 3]);

// Neither exists on Linux; where the test runs elsewhere the other one is missing.
const missing = process.platform === "darwin" ? "dml" : "coreml";

describe("execution providers", () => {
  test("cpu by default", () => {
    works();
    const info = engineInfo();
    expect(info).toMatchObject({ requestedProviders: ["cpu"], executionProviders: ["cpu"], refusedProviders: [] });
    expect(info.nodesByProvider["cpu"]).toBeGreaterThan(0);
    expect(info.knownProviders.map((p) => p.name)).toContain("cpu");
  });

  test("one that does not start is skipped, reported once with its reason, and work goes on", () => {
    const warning = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    configure({ executionProviders: [missing, "cpu"] });
    works();
    works();
    const info = engineInfo();
    expect(info.executionProviders).toEqual(["cpu"]);
    expect(info.requestedProviders).toEqual([missing, "cpu"]);
    expect(info.refusedProviders).toHaveLength(1);
    expect(info.refusedProviders[0]).toMatchObject({ provider: missing });
    expect(info.refusedProviders[0]!.reason).toMatch(/unsupported/);
    expect(info.refusedProviders[0]!.hint).toMatch(/only/);
    expect(warning).toHaveBeenCalledTimes(1);
    expect(String(warning.mock.calls[0]![0])).toContain(missing);
  });

  test("strict refuses at configure and changes nothing", () => {
    const error = caught(() => configure({ executionProviders: [missing], strict: true, threads: 1 }));
    expect(error.code).toBe("ENGINE_PROVIDER");
    expect(error.message).toContain(missing);
    expect(engineInfo()).toMatchObject({ executionProviders: ["cpu"], refusedProviders: [] });
    works();
  });

  test("strict accepts what starts", () => {
    configure({ executionProviders: ["cpu"], strict: true });
    works();
  });

  test.each([
    [["gpu"], /"gpu".*"cpu"/],
    [["cudа"], /did you mean "cuda"/],
    [[{ name: "cuda", device: 0 }], /"device".*"deviceId"/],
    [["cpu", "cpu"], /twice/],
    [[], /list of providers/],
    ["cuda", /list of providers/],
  ])("refuses %j by name", (executionProviders, message) => {
    const error = caught(() => configure({ executionProviders: executionProviders as never }));
    expect(error.code).toBe("ENGINE_CONFIG");
    expect(error.message).toMatch(message);
    works();
  });
});

/**
 * No accelerator is here, so its rules are shown on a runtime that pretends: sessions for "webgpu" load on the cpu, and graphs of the
 * pretended provider fail as told.
 */
describe("an accelerator that starts and refuses graphs", () => {
  const { binding } = createRequire(import.meta.url)("onnxruntime-node/dist/binding.js") as {
    binding: { InferenceSession: new () => { loadModel(...args: unknown[]): void } };
  };
  const Native = binding.InferenceSession;
  afterEach(() => {
    binding.InferenceSession = Native;
  });
  const pretend = (refuses: () => boolean) => {
    binding.InferenceSession = class extends Native {
      override loadModel(...args: unknown[]): void {
        const options = args.at(-1) as { executionProviders?: readonly string[] };
        const pretended = options.executionProviders?.[0] === "webgpu";
        if (pretended && refuses()) throw new Error("cannot build a pipeline for this graph");
        super.loadModel(...args.slice(0, -1), pretended ? { ...options, executionProviders: ["cpu"] } : options);
      }
    };
    vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  };

  test("counts nodes by provider from the first run of a session", () => {
    pretend(() => false);
    const before = engineInfo().nodesByProvider["cpu"] ?? 0;
    configure({ executionProviders: ["webgpu"] });
    works();
    works();
    // One Add ran; a second run of the session adds nothing.
    expect(engineInfo().nodesByProvider["cpu"]).toBe(before + 1);
    expect(engineInfo().executionProviders).toEqual(["webgpu", "cpu"]);
  });

  test("gets the contrib operators that it implements, and plain ones instead of the others", () => {
    pretend(() => false);
    configure({ executionProviders: ["webgpu"] });
    expect([...contribOperators()].sort()).toEqual(["Gelu", "QuickGelu"]);
    const product = () =>
      tf.tidy(() => {
        const x = tf.tensor3d([1, 2, 3, 4], [1, 2, 2]);
        return Array.from(ops.silu(tf.matMul(x, x, false, true)).dataSync()) as never;
      }) as unknown as number[];
    const here = product();
    configure({ executionProviders: ["cpu"] });
    expect([...contribOperators()].sort()).toEqual(["CropAndResize", "FusedMatMul", "Gelu", "QuickGelu"]);
    for (const [i, value] of product().entries()) expect(here[i]).toBeCloseTo(value, 4);
    configure({ contrib: false });
    expect([...contribOperators()]).toEqual([]);
    configure({ contrib: true });
  });

  test("falls back for the graph and says so", () => {
    let probing = true;
    pretend(() => !probing);
    configure({ executionProviders: ["webgpu"] });
    expect(engineInfo().executionProviders).toEqual(["webgpu", "cpu"]);
    probing = false;
    works();
    const { executionProviders, refusedProviders } = engineInfo();
    expect(executionProviders).toEqual(["cpu"]);
    expect(refusedProviders).toEqual([
      { provider: "webgpu", reason: "refused a graph: cannot build a pipeline for this graph", hint: null },
    ]);
  });

  test("with strict that is an error, and the values stay pending", () => {
    let probing = true;
    pretend(() => !probing);
    configure({ executionProviders: ["webgpu"], strict: true });
    const y = tf.add(tf.tensor1d([1, 2]), 1);
    engineInfo();
    probing = false;
    expect(caught(() => y.dataSync()).code).toBe("ENGINE_PROVIDER");
    configure({ executionProviders: ["cpu"], strict: false });
    expect(Array.from(y.dataSync())).toEqual([2, 3]);
  });
});
