// One process, the package once by import and once by require: one backend, one state.
import { createRequire } from "node:module";
import * as first from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

const warnings = [];
console.warn = (...words) => warnings.push(words.join(" "));
const second = createRequire(import.meta.url)("@seg/tfjs-onnxruntime");
await tf.setBackend("onnxruntime");
first.configure({ threads: 1, cacheSize: 7 });
const w = tf.tensor2d([1, 2, 3, 4], [2, 2]);
const nodesOf = (engine) =>
  engine
    .trace(({ x }) => ({ y: engine.ops.silu(tf.matMul(x, w)) }), { x: { shape: [1, 2] } })
    .graph.nodes.map((n) => n.opType);
const pending = tf.mul(w, 2);
second.flush();
console.log(
  JSON.stringify({
    distinct: first.trace !== second.trace,
    warnings,
    nodes: [nodesOf(first), nodesOf(second)],
    product: Array.from(tf.matMul(pending, w).dataSync()),
    threads: second.engineInfo().threads,
    runs: [first.engineInfo().runs, second.engineInfo().runs],
  }),
);
