import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataType, encodeModel, type Model, type Node } from "@seg/onnx";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ExportError } from "../errors.js";
import { buildTensorRt } from "./build-tensorrt.js";
import { findTrtexec } from "./find-trtexec.js";
import { trtexecArguments } from "./trtexec-arguments.js";
import { parseTrtexecLog, parseTrtVersion } from "./trtexec-log.js";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "seg-trt-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const LOG = `[I] Selected Device: NVIDIA Orin
[I] Compute Capability: 8.7
[I] Throughput: 431.7 qps
[I] Latency: min = 2.4 ms, max = 3.1 ms, mean = 2.5 ms, median = 2.49 ms, percentile(90%) = 2.6 ms
[I] GPU Compute Time: min = 2.21 ms, max = 2.91 ms, mean = 2.32 ms, median = 2.3 ms, percentile(90%) = 2.4 ms
`;

/** A trtexec that prints a banner and, unless it is asked for help, writes its arguments as the engine. */
function stub(name: string, { version = "v100500", exit = 0 }: { version?: string; exit?: number } = {}): string {
  const path = join(directory, name);
  const script = `#!/bin/sh
echo "&&&& RUNNING TensorRT.trtexec [TensorRT ${version}] # $0 $*"
[ "$1" = "--help" ] && exit 0
for argument in "$@"; do case "$argument" in --saveEngine=*) printf '%s\\n' "$@" > "\${argument#--saveEngine=}";; esac; done
cat <<'END'
${LOG}END
echo "[E] Error[4]: something is wrong" >&2
exit ${exit}
`;
  writeFileSync(path, script, { mode: 0o755 });
  return path;
}

function model({ zeroPoint }: { zeroPoint?: number } = {}): Model {
  const value = (name: string) => ({ name, dataType: DataType.FLOAT, shape: [1, 3, 4, 4] });
  const pair = (opType: string, input: string, output: string): Node => ({
    opType,
    domain: "",
    name: opType,
    inputs: [input, "s", "z"],
    outputs: [output],
    attributes: [],
  });
  const sigmoid = (input: string): Node => ({
    opType: "Sigmoid",
    domain: "",
    name: "a",
    inputs: [input],
    outputs: ["y"],
    attributes: [],
  });
  const scale = { name: "s", dataType: DataType.FLOAT, dims: [], rawData: new Uint8Array(Float32Array.of(0.1).buffer) };
  return {
    irVersion: 8,
    opsetImport: [{ domain: "", version: 17 }],
    graph: {
      name: "g",
      inputs: [value("images")],
      outputs: [value("y")],
      valueInfo: [],
      nodes:
        zeroPoint === undefined
          ? [sigmoid("images")]
          : [pair("QuantizeLinear", "images", "q"), pair("DequantizeLinear", "q", "d"), sigmoid("d")],
      initializers:
        zeroPoint === undefined
          ? []
          : [scale, { name: "z", dataType: DataType.INT8, dims: [], rawData: Uint8Array.of(zeroPoint) }],
    },
    metadataProps: [{ key: "names", value: "{0: 'ear'}" }],
  };
}

function write(name: string, content: Model): string {
  const path = join(directory, name);
  writeFileSync(path, encodeModel(content));
  return path;
}

async function rejection(promise: Promise<unknown>): Promise<ExportError> {
  const error: unknown = await promise.then(
    () => expect.unreachable("must fail"),
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(ExportError);
  return error as ExportError;
}

describe("findTrtexec", () => {
  test("an empty PATH finds nothing and says where it looked", () => {
    const { path, searched } = findTrtexec({ env: { PATH: "", TRT_ROOT: "/opt/trt" } });
    expect(path).toBeNull();
    expect(searched).toEqual(["/usr/src/tensorrt/bin/trtexec", "/opt/trt/bin/trtexec"]);
  });

  test("the option comes before TRTEXEC, TRTEXEC before PATH", () => {
    const own = stub("own");
    stub("trtexec");
    expect(findTrtexec({ trtexec: own, env: { TRTEXEC: "/x", PATH: directory } }).path).toBe(own);
    expect(findTrtexec({ env: { TRTEXEC: own, PATH: directory } }).path).toBe(own);
    expect(findTrtexec({ env: { PATH: directory } }).path).toBe(join(directory, "trtexec"));
    expect(findTrtexec({ env: { TRTEXEC: "/nowhere", PATH: directory } }).path).toBeNull();
  });
});

describe("trtexec's log", () => {
  test.each([
    ["v8601", { major: 8, minor: 6, patch: 1 }],
    ["v100500", { major: 10, minor: 5, patch: 0 }],
    ["v101303", { major: 10, minor: 13, patch: 3 }],
    ["v110000", { major: 11, minor: 0, patch: 0 }],
  ])("%s is a version", (text, version) => {
    expect(parseTrtVersion(`&&&& RUNNING TensorRT.trtexec [TensorRT ${text}] [b18] # trtexec`)).toEqual(version);
  });

  test("the median is that of the GPU, not of the latency", () => {
    expect(parseTrtexecLog(LOG)).toEqual({
      version: null,
      medianMs: 2.3,
      throughput: 431.7,
      device: "NVIDIA Orin",
      computeCapability: "8.7",
    });
    expect(parseTrtexecLog("").medianMs).toBeNull();
  });
});

describe("trtexecArguments", () => {
  const at = (major: number, minor: number, options: Parameters<typeof trtexecArguments>[0]["options"]) =>
    trtexecArguments({ version: { major, minor, patch: 0 }, onnx: "m.onnx", engine: "m.engine", options }).slice(2);

  test("precision flags follow the version", () => {
    expect(at(8, 6, { precision: "int8" })).toEqual(["--int8", "--fp16", "--memPoolSize=workspace:4096"]);
    expect(at(10, 5, { precision: "fp16" })).toEqual(["--fp16", "--memPoolSize=workspace:4096"]);
    expect(at(10, 5, { precision: "int8", stronglyTyped: true })).toEqual([
      "--stronglyTyped",
      "--memPoolSize=workspace:4096",
    ]);
    expect(at(11, 0, { precision: "int8" })).toEqual(["--memPoolSize=workspace:4096"]);
    expect(at(8, 2, { precision: "fp32", workspaceMb: 512 })).toEqual(["--workspace=512"]);
  });

  test("dynamic batches, caches and profiles are passed on", () => {
    expect(
      at(10, 5, {
        precision: "fp32",
        dynamicBatch: { min: 1, opt: 4, max: 8 },
        imgsz: [320, 640],
        builderOptimizationLevel: 5,
        skipInference: true,
        dlaCore: 0,
      }).slice(1),
    ).toEqual([
      "--minShapes=images:1x3x320x640",
      "--optShapes=images:4x3x320x640",
      "--maxShapes=images:8x3x320x640",
      "--builderOptimizationLevel=5",
      "--skipInference",
      "--useDLACore=0",
      "--allowGPUFallback",
    ]);
  });

  test("options that a version does not have, and a broken release, are errors", () => {
    expect(() => at(8, 5, { precision: "fp32", versionCompatible: true })).toThrow(/needs TensorRT 8.6/);
    expect(() => at(8, 6, { precision: "int8", stronglyTyped: true })).toThrow(/came with 10/);
    expect(() => at(10, 2, { precision: "int8" })).toThrow(/10.2.0 is known/);
  });
});

describe("buildTensorRt", () => {
  test("without trtexec the error holds the command for the target", async () => {
    const onnx = write("float.onnx", model());
    const error = await rejection(buildTensorRt(onnx, { engine: "x.engine", precision: "fp16", env: { PATH: "" } }));
    expect(error.code).toBe("TRTEXEC_NOT_FOUND");
    expect(error.message).toContain(`trtexec --onnx=${onnx} --saveEngine=x.engine --fp16`);
  });

  test("writes the engine and a sidecar that says what it is bound to", async () => {
    const onnx = write("qdq.onnx", model({ zeroPoint: 0 }));
    const engine = join(directory, "int8.engine");
    const record = await buildTensorRt(onnx, { engine, precision: "int8", trtexec: stub("good") });
    expect(record).toMatchObject({
      tensorRt: "10.5.0",
      device: "NVIDIA Orin",
      computeCapability: "8.7",
      medianMs: 2.3,
      throughput: 431.7,
      metadata: { names: { "0": "ear" } },
    });
    expect(JSON.parse(readFileSync(`${engine}.json`, "utf8"))).toEqual(record);
    expect(readFileSync(engine, "utf8")).toContain("--int8\n--fp16\n");
    expect(existsSync(`${engine}.partial`)).toBe(false);
  });

  test("measures the power of the GPU from the start of inference to the end of trtexec", async () => {
    const ready = join(directory, "power.ready");
    const nvidiaSmi = join(directory, "nvidia-smi-stub");
    const power = `echo 20; echo 30; : > "${ready}"; exec sleep 30`;
    writeFileSync(nvidiaSmi, `#!/bin/sh\ncase "$*" in *driver_version*) echo 560.1;; *) ${power};; esac\n`, {
      mode: 0o755,
    });
    const trtexec = stub("measured");
    const script = readFileSync(trtexec, "utf8");
    const wait = `echo "[I] Starting inference"\nwhile [ ! -e "${ready}" ]; do sleep 0.01; done\n`;
    writeFileSync(trtexec, script.replace("cat <<", `${wait}cat <<`));
    const onnx = write("power.onnx", model());
    const options = { engine: join(directory, "power.engine"), precision: "fp32", trtexec, nvidiaSmi } as const;
    expect(await buildTensorRt(onnx, options)).toMatchObject({ powerWatts: 25, driver: "560.1" });
    const unreported = { ...options, trtexec: stub("unmeasured"), nvidiaSmi: join(directory, "missing") };
    expect(await buildTensorRt(onnx, unreported)).toMatchObject({ powerWatts: null, driver: null });
  });

  test("a failing build leaves no engine and ends with the log", async () => {
    const onnx = write("float.onnx", model());
    const engine = join(directory, "bad.engine");
    const error = await rejection(
      buildTensorRt(onnx, { engine, precision: "fp32", trtexec: stub("bad", { exit: 3 }) }),
    );
    expect(error.code).toBe("TRTEXEC_FAILED");
    expect(error.message).toContain("something is wrong");
    expect(error.details).toMatchObject({ exitCode: 3 });
    expect([engine, `${engine}.partial`, `${engine}.json`].filter(existsSync)).toEqual([]);
  });

  test("INT8 takes int8 pairs with zero point 0 only; float precisions take no pairs", async () => {
    const build = (name: string, content: Model, precision: "fp32" | "fp16" | "int8", version?: string) =>
      rejection(
        buildTensorRt(write(name, content), {
          engine: join(directory, "never.engine"),
          precision,
          trtexec: stub("checked", version === undefined ? {} : { version }),
        }),
      );
    for (const error of [
      await build("a.onnx", model(), "int8"),
      await build("b.onnx", model({ zeroPoint: 3 }), "int8"),
      await build("c.onnx", model({ zeroPoint: 0 }), "fp32"),
      await build("d.onnx", model(), "fp16", "v110000"),
    ]) {
      expect(error.code).toBe("QUANT_CONFIG");
    }
  });

  test("the header holds length and metadata in front of the plan", async () => {
    const engine = join(directory, "header.engine");
    await buildTensorRt(write("float.onnx", model()), {
      engine,
      precision: "fp32",
      ultralyticsHeader: true,
      trtexec: stub("good"),
    });
    const bytes = readFileSync(engine);
    const length = bytes.readUInt32LE(0);
    expect(JSON.parse(bytes.toString("utf8", 4, 4 + length))).toEqual({ names: { "0": "ear" } });
    expect(bytes.toString("utf8", 4 + length)).toContain("--saveEngine=");
  });

  test("an abort ends the build", async () => {
    const controller = new AbortController();
    controller.abort();
    const build = buildTensorRt(write("float.onnx", model()), {
      engine: join(directory, "aborted.engine"),
      precision: "fp32",
      trtexec: stub("good"),
      signal: controller.signal,
    });
    await expect(build).rejects.toThrow(/abort/i);
  });
});
