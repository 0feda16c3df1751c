import type { RawTensor } from "./decode.js";

/** A loaded model that maps named float tensors to named float tensors. */
export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, RawTensor>>): Promise<Record<string, RawTensor>>;
  dispose(): Promise<void>;
}

/** What is used of `onnxruntime-node` or `onnxruntime-web`: `import * as ort from "onnxruntime-web"` fits. */
export interface OrtRuntime {
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: {
    create(model: Uint8Array, options?: Readonly<Record<string, unknown>>): Promise<OrtSession>;
    create(model: string, options?: Readonly<Record<string, unknown>>): Promise<OrtSession>;
  };
}

/** A tensor of onnxruntime. */
export interface OrtTensor {
  readonly data: unknown;
  readonly dims: readonly number[];
}

/** A session of onnxruntime. */
export interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  // biome-ignore lint/suspicious/noExplicitAny: the runtimes' own tensor classes have no common structural type
  run(feeds: Record<string, any>): Promise<Record<string, any>>;
  release(): Promise<void>;
}

/**
 * Opens a model on a given onnxruntime.
 * @param options - session options of that runtime, for example `{ executionProviders: ["webgpu"] }`
 */
export async function createOrtSession({
  ort,
  model,
  options = {},
}: {
  ort: OrtRuntime;
  model: string | Uint8Array;
  options?: Readonly<Record<string, unknown>>;
}): Promise<Session> {
  const session =
    typeof model === "string"
      ? await ort.InferenceSession.create(model, options)
      : await ort.InferenceSession.create(model, options);
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds) {
      const tensors: Record<string, OrtTensor> = {};
      for (const [name, { data, dims }] of Object.entries(feeds)) tensors[name] = new ort.Tensor("float32", data, dims);
      const results = await session.run(tensors);
      const outputs: Record<string, RawTensor> = {};
      for (const name of session.outputNames) {
        const tensor: OrtTensor = results[name];
        outputs[name] = { data: tensor.data as Float32Array, dims: tensor.dims };
      }
      return outputs;
    },
    dispose: () => session.release(),
  };
}
