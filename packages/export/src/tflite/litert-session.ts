import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import vm from "node:vm";
import { ExportError } from "../errors.js";
import type { RawTensor } from "../runtime/decode.js";
import type { Session } from "../runtime/ort-session.js";

const PACKAGE = "@litertjs/core";
/** Plain SIMD build: Node 20 has no relaxed SIMD, and results do not depend on the processor. */
const BUILD = "litert_wasm_compat_internal.js";

interface Deletable {
  delete(): void;
}
interface EmscriptenVector<T> extends Deletable {
  size(): number;
  get(index: number): T;
}
interface TensorType extends Deletable {
  elementType(): { value: number };
  layout(): Deletable & { dimensions(): EmscriptenVector<number> };
  bytes(): number;
}
interface TensorBuffer extends Deletable {
  lock(mode: unknown): number;
  unlock(): void;
  packedSize(): number;
}
interface Signature extends Deletable {
  inputNames(): EmscriptenVector<string>;
  outputNames(): EmscriptenVector<string>;
}
interface LoadedModel extends Deletable {
  getSignature(index: number): Signature;
  getInputTensorType(signature: number, index: number): TensorType;
  getOutputTensorType(signature: number, index: number): TensorType;
}
interface CompiledModel extends Deletable {
  run(signature: number, inputs: TensorBuffer[]): TensorBuffer[] | Promise<TensorBuffer[]>;
}
/** The part of the runtime's WebAssembly module that is used here. */
interface LiteRtModule {
  HEAPU8: Uint8Array;
  _malloc(bytes: number): number;
  _free(pointer: number): void;
  setupLogging(): void;
  LiteRtEnvironment: { create(device: null): unknown };
  loadModel(environment: unknown, pointer: number, bytes: number): LoadedModel;
  compileModel(
    environment: unknown,
    model: LoadedModel,
    options: { environment: unknown; accelerator: "wasm"; cpuOptions: { numThreads: number } },
  ): CompiledModel | Promise<CompiledModel>;
  LiteRtTensorBuffer: {
    createManaged(environment: unknown, kind: unknown, type: TensorType, bytes: number): TensorBuffer;
  };
  LiteRtTensorBufferType: { HOST_MEMORY: unknown };
  LiteRtTensorBufferLockMode: { READ: unknown; WRITE: unknown };
}

interface Runtime {
  module: LiteRtModule;
  environment: unknown;
  /** What the runtime printed since it was last asked. */
  takeMessages(): string[];
}

let runtime: Promise<Runtime> | undefined;

/** True where the optional package `@litertjs/core` is installed. */
export function hasLiteRt(): boolean {
  try {
    createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`);
    return true;
  } catch {
    return false;
  }
}

/**
 * Loads the runtime's module. The package's own loader expects a browser page; the script itself knows Node but looks for `require` and
 * `__dirname`, so it runs in a function that has them and no global name is touched.
 */
async function loadRuntime(): Promise<Runtime> {
  if (!hasLiteRt()) {
    throw new ExportError({
      code: "RUNTIME_UNAVAILABLE",
      message: `Running a TFLite model needs ${PACKAGE}, which is not installed. Run: npm install ${PACKAGE}@^2.5.0`,
      details: { runtime: PACKAGE },
    });
  }
  const require = createRequire(import.meta.url);
  const directory = join(dirname(require.resolve(`${PACKAGE}/package.json`)), "wasm");
  const file = join(directory, BUILD);
  const wrapper = vm.runInThisContext(
    `(function (require, __dirname, __filename) { ${readFileSync(file, "utf8")}\nreturn ModuleFactory; })`,
    { filename: file },
  ) as (
    require: NodeJS.Require,
    dirname: string,
    filename: string,
  ) => (options: Record<string, unknown>) => Promise<LiteRtModule>;
  let messages: string[] = [];
  const print = (message: string): void => {
    messages.push(message);
  };
  const factory = wrapper(require, directory, file);
  const module = await factory({ locateFile: (name: string) => join(directory, name), print, printErr: print });
  module.setupLogging();
  return {
    module,
    environment: module.LiteRtEnvironment.create(null),
    takeMessages() {
      const taken = messages;
      messages = [];
      return taken;
    },
  };
}

function toArray<T>(vector: EmscriptenVector<T>): T[] {
  const items = Array.from({ length: vector.size() }, (_, i) => vector.get(i));
  vector.delete();
  return items;
}

/** Element types by the runtime's numbers. */
const FLOAT32 = 1;
const INT8 = 9;

/** Name, element type and shape of an input or output. */
interface Port {
  name: string;
  elementType: number;
  dims: number[];
}

/**
 * Opens a TFLite model on LiteRT (WebAssembly, one thread). float32 inputs and outputs pass as they are; int8 ones as their integers.
 *
 * The runtime reports failing operators on its error stream only and may return zeros for them: any line that begins with `ERROR:` makes the
 * call fail.
 *
 * @throws ExportError `RUNTIME_UNAVAILABLE` when `@litertjs/core` is not installed; `RUNTIME_FAILED` with what the runtime printed
 */
export async function createLiteRtSession(model: Uint8Array): Promise<Session> {
  runtime ??= loadRuntime();
  const loaded = await runtime.catch((error: unknown) => {
    runtime = undefined;
    throw error;
  });
  const { module, environment } = loaded;
  loaded.takeMessages();
  const failed = (messages: readonly string[], cause?: unknown): ExportError =>
    new ExportError({
      code: "RUNTIME_FAILED",
      message: `LiteRT refused the model: ${messages.join(" | ") || String(cause)}. Check shapes and quantisation parameters with readTflite().`,
      details: { runtime: PACKAGE, messages },
      cause,
    });
  const guarded = async <T>(work: () => T | Promise<T>): Promise<T> => {
    let result: T;
    try {
      result = await work();
    } catch (error) {
      throw failed(loaded.takeMessages(), error);
    }
    const errors = loaded.takeMessages().filter((line) => /^\s*ERROR:/.test(line));
    if (errors.length > 0) throw failed(errors);
    return result;
  };
  const port = (name: string, type: TensorType): Port => {
    const layout = type.layout();
    const dims = toArray(layout.dimensions());
    const elementType = type.elementType().value;
    layout.delete();
    type.delete();
    return { name, elementType, dims };
  };

  const pointer = module._malloc(model.byteLength);
  module.HEAPU8.set(model, pointer);
  const { graph, compiled } = await guarded(async () => {
    const graph = module.loadModel(environment, pointer, model.byteLength);
    const options = { environment, accelerator: "wasm", cpuOptions: { numThreads: 1 } } as const;
    return { graph, compiled: await module.compileModel(environment, graph, options) };
  }).catch((error: unknown) => {
    module._free(pointer);
    throw error;
  });
  const signature = graph.getSignature(0);
  const inputs = toArray(signature.inputNames()).map((name, i) => port(name, graph.getInputTensorType(0, i)));
  const outputs = toArray(signature.outputNames()).map((name, i) => port(name, graph.getOutputTensorType(0, i)));
  signature.delete();
  const { READ, WRITE } = module.LiteRtTensorBufferLockMode;

  const write = ({ name, elementType }: Port, index: number, feed: RawTensor | undefined): TensorBuffer => {
    if (feed === undefined) throw new TypeError(`Input ${name} is missing.`);
    const type = graph.getInputTensorType(0, index);
    const bytes = type.bytes();
    const data = elementType === INT8 ? Int8Array.from(feed.data) : feed.data;
    if (data.byteLength !== bytes)
      throw new RangeError(`Input ${name} has ${data.byteLength} bytes, expected ${bytes}.`);
    const buffer = module.LiteRtTensorBuffer.createManaged(
      environment,
      module.LiteRtTensorBufferType.HOST_MEMORY,
      type,
      bytes,
    );
    type.delete();
    const at = buffer.lock(WRITE);
    module.HEAPU8.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    buffer.unlock();
    return buffer;
  };
  const read = ({ name, elementType, dims }: Port, buffer: TensorBuffer): RawTensor => {
    const at = buffer.lock(READ);
    const bytes = module.HEAPU8.slice(at, at + buffer.packedSize());
    buffer.unlock();
    buffer.delete();
    if (elementType === FLOAT32) return { data: new Float32Array(bytes.buffer), dims };
    if (elementType === INT8) return { data: Float32Array.from(new Int8Array(bytes.buffer)), dims };
    throw new TypeError(`Output ${name} has element type ${elementType}; float32 and int8 can be read.`);
  };
  return {
    inputNames: inputs.map(({ name }) => name),
    outputNames: outputs.map(({ name }) => name),
    async run(feeds) {
      const buffers = inputs.map((input, i) => write(input, i, feeds[input.name]));
      const results = await guarded(() => compiled.run(0, buffers)).finally(() => {
        for (const buffer of buffers) buffer.delete();
      });
      return Object.fromEntries(outputs.map((output, i) => [output.name, read(output, results[i]!)]));
    },
    async dispose() {
      compiled.delete();
      graph.delete();
      module._free(pointer);
    },
  };
}
