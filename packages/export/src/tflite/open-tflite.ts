import type { ModelMetadata } from "../runtime/metadata.js";
import type { Session } from "../runtime/ort-session.js";
import { adaptTfliteSession, type IntegerPorts } from "../runtime/tflite-session.js";
import { createLiteRtSession } from "./litert-session.js";
import type { TfliteModel } from "./model.js";
import { readTflite } from "./read-tflite.js";
import { readTfliteMetadata } from "./tflite-metadata.js";

/** A TFLite file before it runs. */
export interface OpenedTflite {
  model: TfliteModel;
  metadata: ModelMetadata;
  /** Starts LiteRT; the session has the ONNX contract. */
  open(): Promise<Session>;
}

/** Scale and zero point of the int8 inputs and outputs of the first subgraph. */
function integerPorts({ subgraphs, signatures }: TfliteModel): IntegerPorts {
  const [signature] = signatures;
  const tensors = subgraphs[signature?.subgraph ?? 0]?.tensors ?? [];
  return Object.fromEntries(
    [...(signature?.inputs ?? []), ...(signature?.outputs ?? [])].flatMap(([name, index]) => {
      const { type, quantization } = tensors[index]!;
      if (type !== "int8" || quantization === undefined) return [];
      return [[name, { scale: quantization.scale[0]!, zeroPoint: quantization.zeroPoint[0]! }]];
    }),
  );
}

/**
 * Reads a TFLite file of `exportTflite`.
 * @throws ExportError `MALFORMED_TFLITE`, `METADATA_MISSING`; `open` throws `RUNTIME_UNAVAILABLE` and `RUNTIME_FAILED`
 */
export function openTflite(bytes: Uint8Array): OpenedTflite {
  const model = readTflite(bytes);
  return {
    model,
    metadata: readTfliteMetadata(model.metadata),
    open: async () => adaptTfliteSession(await createLiteRtSession(bytes), integerPorts(model)),
  };
}
