import { configure, engineInfo, ops as fused } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import { interleave, remark } from "./measure.js";
import type { BenchResult } from "./result.js";

type Maker = () => tf.Tensor[];
type Program = (inputs: tf.Tensor[]) => tf.Tensor;

/** One operation on tensors of one size: its value, and the gradients of the listed inputs. */
interface Row {
  readonly name: string;
  /** Elements of the largest input or output. */
  readonly elements: number;
  readonly make: Maker;
  readonly run: Program;
  /** Inputs that get a gradient; empty: forward only. */
  readonly wrt: readonly number[];
}

/** Pseudo-random values in -1..1 without a generator: the speed of none of these kernels depends on them. */
const filled = (...shape: number[]): tf.Tensor =>
  tf.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (((i * 7919) % 2001) - 1000) / 1000),
    shape,
  );

function conv(size: number, channels: number, kernel: number): Row[] {
  const make: Maker = () => [filled(1, size, size, channels), filled(kernel, kernel, channels, channels)];
  const run: Program = ([x, w]) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, "same");
  const name = `conv ${kernel}x${kernel} [1,${size},${size},${channels}]`;
  const elements = size * size * channels;
  return [
    { name: `${name} + dX`, elements, make, run, wrt: [0] },
    { name: `${name} + dX + dW`, elements, make, run, wrt: [0, 1] },
  ];
}

function matmul(m: number, k: number, n: number): Row {
  return {
    name: `matMul [${m},${k}]x[${k},${n}] + dA + dB`,
    elements: Math.max(m * k, k * n, m * n),
    make: () => [filled(m, k), filled(k, n)],
    run: ([a, b]) => tf.matMul(a!, b!),
    wrt: [0, 1],
  };
}

function unary(name: string, shape: readonly number[], run: (x: tf.Tensor) => tf.Tensor): Row {
  return {
    name: `${name} [${shape.join()}] + dX`,
    elements: shape.reduce((a, b) => a * b, 1),
    make: () => [filled(...shape)],
    run: ([x]) => run(x!),
    wrt: [0],
  };
}

function binary(name: string, shape: readonly number[], run: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): Row {
  return {
    name: `${name} [${shape.join()}] + dA + dB`,
    elements: shape.reduce((a, b) => a * b, 1),
    make: () => [filled(...shape), filled(...shape)],
    run: ([a, b]) => run(a!, b!),
    wrt: [0, 1],
  };
}

const rows: readonly Row[] = [
  ...conv(32, 16, 3),
  ...conv(80, 16, 3),
  ...conv(40, 64, 1),
  matmul(128, 128, 128),
  matmul(512, 512, 512),
  matmul(1576, 384, 384),
  binary("add", [100, 100], tf.add),
  binary("add", [1000, 1000], tf.add),
  binary("mul", [1000, 1000], tf.mul),
  binary("mul bias", [8, 64, 64, 32], (a, b) => tf.mul(tf.add(a, tf.slice(b, 0, 1)), b)),
  unary("sigmoid", [1000, 1000], tf.sigmoid),
  unary("relu", [1000, 1000], tf.relu),
  unary("silu", [1000, 1000], fused.silu),
  unary("exp", [1000, 1000], tf.exp),
  unary("sum all", [1000, 1000], (x) => tf.sum(x)),
  unary("sum axis -1", [1000, 1000], (x) => tf.sum(x, -1)),
  unary("mean axes 1,2", [8, 64, 64, 32], (x) => tf.mean(x, [1, 2])),
  unary("max axis -1", [1000, 1000], (x) => tf.max(x, -1)),
  unary("softmax", [1000, 1000], (x) => tf.softmax(x)),
];

/** Runs a row and reads one element of every result: nothing can be left out, and no large array is copied to be looked at. */
function call({ run, wrt }: Row, inputs: tf.Tensor[], dy: tf.Tensor): void {
  tf.tidy(() => {
    const results: tf.Tensor[] = [];
    const loss = (...args: tf.Tensor[]): tf.Tensor => {
      const all = inputs.map((t, i) => (wrt.includes(i) ? args[wrt.indexOf(i)]! : t));
      const y = run(all);
      results.push(tf.keep(y.clone()));
      return y;
    };
    results.push(
      ...tf.grads(loss)(
        wrt.map((i) => inputs[i]!),
        dy,
      ),
    );
    tf.concat(results.map((t) => tf.slice(tf.reshape(t, [-1]), [0], [1]))).dataSync();
    results[0]!.dispose();
  });
}

const BACKENDS = ["onnxruntime", "wasm", "cpu"] as const;

/** The kernel that a backend has not, null if it can run the row. */
function missing(row: Row, backend: string): string | null {
  const needed = row.name.startsWith("conv") && row.wrt.includes(1) ? ["Conv2DBackpropFilter"] : [];
  return needed.find((kernelName) => !tf.getKernel(kernelName, backend)) ?? null;
}

/** CPU-milliseconds of single operations, forward and backward, against tfjs's wasm (SIMD, one thread) and cpu backends. */
export async function ops(): Promise<BenchResult[]> {
  tf.env().set("PROD", true);
  configure({ threads: 1 });
  const results: BenchResult[] = [];
  for (const row of rows) {
    const able = BACKENDS.filter((backend) => missing(row, backend) === null);
    const prepared = new Map<string, { inputs: tf.Tensor[]; dy: tf.Tensor }>();
    for (const backend of able) {
      await tf.setBackend(backend);
      const inputs = row.make();
      const dy = tf.tidy(() => tf.onesLike(row.run(inputs)));
      // Pending values become data before the clock starts.
      dy.dataSync();
      prepared.set(backend, { inputs, dy });
    }
    const contestant = (backend: string) => async (): Promise<void> => {
      await tf.setBackend(backend);
      const { inputs, dy } = prepared.get(backend)!;
      call(row, inputs, dy);
    };
    const times = await interleave(Object.fromEntries(able.map((backend) => [backend, contestant(backend)])));
    for (const { inputs, dy } of prepared.values()) tf.dispose([inputs, dy]);
    const own = times["onnxruntime"]!;
    const others = able.filter((backend) => backend !== "onnxruntime");
    const best = others.reduce((a, b) => (times[a]!.cpuMs <= times[b]!.cpuMs ? a : b));
    const list = BACKENDS.slice(1)
      .map((backend) =>
        able.includes(backend)
          ? `${backend} ${times[backend]!.cpuMs.toFixed(2)}`
          : `${backend} has no ${missing(row, backend)}`,
      )
      .join(", ");
    results.push({
      bench: "ops",
      case: `${row.name} (${row.elements.toExponential(1)} elements)`,
      value: own.cpuMs,
      unit: "CPU-ms",
      peer: best,
      peerValue: times[best]!.cpuMs,
      ratio: own.cpuMs / times[best]!.cpuMs,
      note: `${list}; ${remark(own)}, 1 thread, onnxruntime ${engineInfo().version}`,
    });
  }
  return results;
}
