import { certifyTflitePromptFree, ExportError, readTflite, type TfliteModel, writeTflite } from "@seg/export";
import { damageBytes } from "./damage-bytes.js";
import type { Fuzzer, FuzzRandom } from "./fuzzer.js";

/** A file of some hundred bytes must not become more objects than it has bytes. */
function size({ subgraphs, signatures }: TfliteModel): number {
  return subgraphs.reduce((sum, graph) => sum + graph.tensors.length + graph.operators.length, 0) + signatures.length;
}

/** The TFLite reader on damaged files: `MALFORMED_TFLITE`, or a model that the prompt-free check can judge and the writer can write again. */
export const tflite: Fuzzer = async (random) => {
  const bytes = damageBytes(random, writeTflite(model(random)));
  try {
    const read = readTflite(bytes);
    if (size(read) > bytes.length) throw new Error(`${bytes.length} bytes became ${size(read)} objects`);
    certifyTflitePromptFree(read);
    return "accepted";
  } catch (error) {
    if (ExportError.is(error, "MALFORMED_TFLITE") || ExportError.is(error, "NOT_PROMPT_FREE")) return "refused";
    throw error;
  }
};

function model(random: FuzzRandom): TfliteModel {
  const side = 1 + random.below(4);
  const quantization = { scale: [0.5], zeroPoint: [3], dimension: 0 };
  const isInt8 = random.chance(0.5);
  const type = isInt8 ? "int8" : "float32";
  const tensor = (name: string, shape: number[]) =>
    ({ name, shape, type, ...(isInt8 ? { quantization } : {}) }) as const;
  const operators = Array.from({ length: 1 + random.below(4) }, () =>
    random.pick([
      { op: "CONCATENATION", version: 1, inputs: [0, 0], outputs: [1], options: { axis: 1, activation: 0 } },
      { op: "RESHAPE", version: 1, inputs: [0, 2], outputs: [1], options: { newShape: [side, 3] } },
      { op: "LOGISTIC", version: 1, inputs: [0], outputs: [1], options: {} },
      { op: "GATHER", version: 1, inputs: [0, 2], outputs: [1], options: { axis: 0, batchDims: 0 } },
    ]),
  );
  return {
    description: random.pick(["", "a model", "ä\u{1f4e6}"]),
    subgraphs: [
      {
        name: "main",
        tensors: [
          tensor("images", [1, side, side, 3]),
          tensor("y", [1, side, side, 3]),
          { name: "c", shape: [2], type: "int32", data: new Uint8Array(8) },
          {
            name: "w",
            shape: [side],
            type: "int8",
            data: new Uint8Array(side),
            quantization: {
              scale: Array.from({ length: side }, () => 0.1),
              zeroPoint: Array.from({ length: side }, () => 0),
              dimension: 0,
            },
          },
        ],
        operators,
        inputs: [0],
        outputs: [1],
      },
    ],
    signatures: [{ key: "serving_default", subgraph: 0, inputs: [["images", 0]], outputs: [["y", 1]] }],
    ...(random.chance(0.7) ? { metadata: { names: { "0": "ear" }, imgsz: [side, side] } } : {}),
  };
}
