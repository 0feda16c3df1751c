import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSession } from "@seg/export/runtime";
import {
  DataType,
  encodeModel,
  GraphBuilder,
  loadModel,
  type Model,
  ModelTooLargeError,
  modelHash,
  saveModel,
} from "@seg/onnx";
import { peerPython } from "./peer-python.js";
import type { BenchResult } from "./result.js";

/** Nine square matrices of 256 MiB: 2.4 GB, above what one protobuf message can hold. */
const SIDE = 8192;
const LAYERS = 9;

/** Weights of layer k: multiples of 2^-16, other ones in each layer. */
function matrix(k: number): Float32Array {
  const values = new Float32Array(SIDE * SIDE);
  for (let i = 0; i < values.length; i++) values[i] = (((Math.imul(i, 2654435761) + k * 97) >>> 16) - 32768) / 2 ** 24;
  return values;
}

/** x -> x W_first ... W_last. */
function chain(weights: readonly Float32Array[], first: number): Model {
  const builder = new GraphBuilder("chain");
  let value = builder.input("x", DataType.FLOAT, [1, SIDE]);
  for (const [i, data] of weights.entries()) {
    const w = builder.initializer(`w${first + i}`, DataType.FLOAT, [SIDE, SIDE], data);
    [value] = builder.node("MatMul", [value, w]) as [string];
  }
  builder.output(value, DataType.FLOAT, [1, SIDE]);
  return builder.build();
}

async function run(model: string | Uint8Array, x: Float32Array): Promise<Float32Array> {
  const session = await createSession({ model, threads: 1 });
  const outputs = await session.run({ x: { data: x, dims: [1, SIDE] } });
  const result = outputs[session.outputNames[0]!]!.data.slice();
  await session.dispose();
  return result;
}

/**
 * A model above 2 GB: written with external data of its own accord, read back, run by onnxruntime, and its results equal, bit for bit, those of single
 * layers that are small enough for one message. With `--peer` also the reference checker on the path. Needs 8 GB of memory and 2.4 GB of disk.
 */
export async function* exportLarge({ withPeer }: { withPeer: boolean }): AsyncIterable<BenchResult> {
  const bench = "export-large";
  const folder = await mkdtemp(join(tmpdir(), "seg-bench-large-"));
  try {
    const path = join(folder, "large.onnx");
    const x = Float32Array.from({ length: SIDE }, (_, i) => ((i * 37) % 101) / 101);
    let expected: Float32Array = x;
    const weights: Float32Array[] = [];
    for (let k = 0; k < LAYERS; k++) {
      const layer = matrix(k);
      expected = await run(encodeModel(chain([layer], k)), expected);
      weights.push(layer);
    }
    const model = chain(weights, 0);
    let refused = false;
    try {
      await saveModel(model, join(folder, "inline.onnx"), { externalData: false });
    } catch (error) {
      if (!(error instanceof ModelTooLargeError)) throw error;
      refused = true;
    }
    yield { bench, case: "inline above 2 GiB is refused", value: refused ? 1 : 0, unit: "yes" };
    const started = performance.now();
    await saveModel(model, path);
    const seconds = (performance.now() - started) / 1000;
    const data = statSync(`${path}.data`).size;
    yield {
      bench,
      case: "written",
      value: data / 1e9,
      unit: "GB of external data",
      note: `model file ${statSync(path).size} bytes, ${seconds.toFixed(1)} s`,
    };
    const hash = modelHash(model);
    weights.length = 0;
    const again = modelHash(await loadModel(path));
    yield { bench, case: "read back, same model hash", value: again === hash ? 1 : 0, unit: "yes", note: again };
    const actual = await run(path, x);
    const isEqual = actual.every((value, i) => Object.is(value, expected[i]));
    yield {
      bench,
      case: "onnxruntime, against layers of one message each",
      value: isEqual ? 1 : 0,
      unit: "bit for bit",
      note: `${actual.length} values, first ${actual[0]}`,
    };
    if (!withPeer) return;
    const code = "import onnx, sys; onnx.checker.check_model(sys.argv[1], full_check=True); print('ok')";
    const verdict = execFileSync(peerPython(), ["-c", code, path], { encoding: "utf8" }).trim();
    yield { bench, case: "reference checker", value: verdict === "ok" ? 1 : 0, unit: "passes", note: verdict };
  } finally {
    await rm(folder, { recursive: true });
  }
}
