import { injectLora, mergeAndUnload } from "@seg/lora";
import { parseSamConfig, Sam, samTargets } from "@seg/teachers";
import { compile, configure, freeze } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { interleave, remark } from "../measure.js";
import type { BenchResult } from "../result.js";

const BOXES = 8;

/** Masks of eight boxes by SAM-B's decoder with random weights: bare, with rank 8 beside 32 layers, and with the adapter merged. */
export async function* adapterOverhead(): AsyncGenerator<BenchResult> {
  await tf.setBackend("onnxruntime");
  configure({ threads: 1 });
  const embedding = tf.tensor4d(
    Float32Array.from({ length: 64 * 64 * 256 }, (_, i) => ((i * 7919) % 2003) / 1001 - 1),
    [1, 64, 64, 256],
  );
  const boxes = tf.tensor3d(
    Float32Array.from({ length: BOXES * 4 }, (_, i) => (i % 4 < 2 ? 100 : 500) + ((i * 37) % 91)),
    [1, BOXES, 4],
  );
  const decoder = (adapter: "none" | "beside" | "merged") => {
    // The encoder does not run; one layer of it saves memory.
    const sam = new Sam(parseSamConfig({ vision_config: { num_hidden_layers: 1, global_attn_indexes: [0] } }), {
      seed: 0,
    });
    if (adapter !== "none") {
      const targetModules = samTargets("decoder-attn-mlp");
      injectLora(sam, { r: 8, loraAlpha: 16, targetModules, initLoraWeights: false }, { seed: 0 });
      if (adapter === "merged") mergeAndUnload(sam);
    }
    freeze([...sam.namedParameters().values()].map(({ variable }) => variable));
    const run = compile((image: tf.Tensor, prompts: tf.Tensor) => {
      const { lowResMasks } = sam.predictMasks({
        imageEmbeddings: image as tf.Tensor4D,
        boxes: prompts as tf.Tensor3D,
      });
      return lowResMasks;
    });
    return () => {
      const masks = run(embedding, boxes);
      masks.dataSync();
      masks.dispose();
    };
  };
  const contestants = { none: decoder("none"), beside: decoder("beside"), merged: decoder("merged") };
  // Frozen weights become constants with the fourth call.
  for (let i = 0; i < 4; i++) for (const call of Object.values(contestants)) call();
  const measured = await interleave(contestants, { rounds: 5 });
  for (const kind of ["beside", "merged"] as const) {
    yield {
      bench: "lora-step",
      case: `SAM-B decoder, ${BOXES} boxes, adapter of rank 8 on 32 layers ${kind === "beside" ? "beside the weights" : "merged"}`,
      value: measured[kind].cpuMs,
      unit: "CPU-ms",
      peer: "without adapter",
      peerValue: measured.none.cpuMs,
      ratio: measured[kind].cpuMs / measured.none.cpuMs,
      note: remark(measured[kind]),
    };
  }
}
