import * as ort from "onnxruntime-node";
import type { RawTensor } from "./decode.js";

/** A loaded model that maps named float tensors to named float tensors. */
export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, RawTensor>>): Promise<Record<string, RawTensor>>;
  dispose(): Promise<void>;
}

export interface SessionOptions {
  /** A file (external data resolves beside it) or the bytes of a model. */
  model: string | Uint8Array;
  /** Threads within an operator. @defaultValue 1 */
  threads?: number;
  /** `disabled` keeps every tensor observable, as calibration needs it. @defaultValue "all" */
  optimization?: "disabled" | "basic" | "extended" | "all";
}

/** Opens a model on the CPU provider of onnxruntime-node. */
export async function createSession({ model, threads = 1, optimization = "all" }: SessionOptions): Promise<Session> {
  const options: ort.InferenceSession.SessionOptions = {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: optimization,
    logSeverityLevel: 3,
    executionProviders: ["cpu"],
  };
  const session =
    typeof model === "string"
      ? await ort.InferenceSession.create(model, options)
      : await ort.InferenceSession.create(model, options);
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds) {
      const tensors: Record<string, ort.Tensor> = {};
      for (const [name, { data, dims }] of Object.entries(feeds)) tensors[name] = new ort.Tensor("float32", data, dims);
      const results = await session.run(tensors);
      const outputs: Record<string, RawTensor> = {};
      for (const name of session.outputNames) {
        const tensor = results[name]!;
        outputs[name] = { data: tensor.data as Float32Array, dims: tensor.dims };
      }
      return outputs;
    },
    dispose: () => session.release(),
  };
}
