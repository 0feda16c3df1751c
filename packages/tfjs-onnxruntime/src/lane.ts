import { createRequire } from "node:module";
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { encodeModel, type Model } from "@seg/onnx";
import type * as tf from "@tensorflow/tfjs";
import { EngineError } from "./errors.js";
import type { HostData } from "./graph.js";
import { laneOptions } from "./runtime.js";

/** An input or output of a lane's session. */
export interface LaneValue {
  readonly name: string;
  readonly dtype: tf.DataType | "float16";
  readonly shape: readonly number[];
}

/** Where a value lies in the memory that both threads see. */
interface Slot {
  readonly name: string;
  readonly dtype: string;
  readonly dims: readonly number[];
  /** Bytes. */
  readonly offset: number;
  /** Elements. */
  readonly length: number;
}

type Request =
  | {
      readonly kind: "load";
      readonly id: number;
      readonly model: Uint8Array;
      readonly options: object;
      readonly memory: SharedArrayBuffer;
      readonly inputs: readonly Slot[];
      readonly outputs: readonly Slot[];
    }
  | { readonly kind: "run" | "drop"; readonly id: number };

const BUSY = 1;

/**
 * Source of the thread: a string, so that it works from sources, from a bundle and from CJS alike. The runtime refuses shared memory, so
 * inputs are copied into the session's own arrays; what fails is told by message before the waiting thread is woken.
 */
const PROGRAM = `
const { MessageChannel, parentPort, workerData: { binding, ort, state, replies } } = require("node:worker_threads");
const arrays = { float32: Float32Array, int32: Int32Array, bool: Uint8Array, float16: Uint16Array };
const sessions = new Map();
let runtime = null;
// What is transferred there is freed at once, as in free-buffers.ts.
const { port1: nowhere } = new MessageChannel();
nowhere.close();
function load({ id, model, options, memory, inputs, outputs }) {
  if (runtime === null) {
    const native = require(binding);
    const { Tensor, env } = require(ort);
    env.logLevel = "fatal";
    native.initOrt();
    runtime = { Session: native.binding.InferenceSession, Tensor };
  }
  const session = new runtime.Session();
  session.loadModel(model.buffer, model.byteOffset, model.byteLength, options);
  const view = ({ dtype, offset, length }) => new arrays[dtype](memory, offset, length);
  const feeds = {};
  const given = inputs.map((slot) => {
    const own = new arrays[slot.dtype](slot.length);
    feeds[slot.name] = new runtime.Tensor(slot.dtype, own, slot.dims);
    return { own, shared: view(slot) };
  });
  const fetches = Object.fromEntries(outputs.map(({ name }) => [name, null]));
  const taken = outputs.map((slot) => ({ name: slot.name, shared: view(slot) }));
  sessions.set(id, { session, feeds, fetches, given, taken });
}
function run({ id }) {
  const { session, feeds, fetches, given, taken } = sessions.get(id);
  for (const { own, shared } of given) own.set(shared);
  const results = session.run(feeds, fetches, {});
  for (const { name, shared } of taken) {
    const { data } = results[name];
    if (data.length !== shared.length) throw new Error(name + " has " + data.length + " elements, expected " + shared.length);
    shared.set(data);
  }
  nowhere.postMessage(null, taken.map(({ name }) => results[name].data.buffer));
}
function drop({ id }) {
  sessions.get(id).session.dispose();
  sessions.delete(id);
}
parentPort.on("message", (request) => {
  try {
    ({ load, run, drop })[request.kind](request);
  } catch (error) {
    replies.postMessage(String(error?.message ?? error));
  }
  Atomics.store(state, 0, 0);
  Atomics.notify(state, 0);
});
`;

/** A thread with sessions of its own; one request at a time. */
class Lane {
  readonly #worker: Worker;
  readonly #replies: MessagePort;
  readonly #state = new Int32Array(new SharedArrayBuffer(4));

  constructor() {
    const require = createRequire(import.meta.url);
    const { port1, port2 } = new MessageChannel();
    this.#replies = port1;
    this.#worker = new Worker(PROGRAM, {
      eval: true,
      name: "engine lane",
      workerData: {
        binding: require.resolve("onnxruntime-node/dist/binding.js"),
        ort: require.resolve("onnxruntime-node"),
        state: this.#state,
        replies: port2,
      },
      transferList: [port2],
    });
    // An idle lane keeps no process alive.
    this.#worker.unref();
    port1.unref();
  }

  begin(request: Request): void {
    Atomics.store(this.#state, 0, BUSY);
    this.#worker.postMessage(request);
  }

  /** Waits for the request that was begun, without the event loop: a compiled call is synchronous. @throws Error with the thread's message */
  end(): void {
    // Again after each wake: the notification of the request before may come when this one waits already.
    while (Atomics.wait(this.#state, 0, BUSY) === "ok" && Atomics.load(this.#state, 0) === BUSY);
    const reply = receiveMessageOnPort(this.#replies);
    if (reply !== undefined) throw new Error(reply.message as string);
  }
}

/** Threads by number; they live as long as the process, as the runtime's own pools do. */
const lanes: Lane[] = [];
let nextId = 1;

const arrays = { float32: Float32Array, int32: Int32Array, bool: Uint8Array, float16: Uint16Array } as const;
const arrayOf = (dtype: string) => arrays[dtype as keyof typeof arrays];

/** The engine's arrays are typed as unshared; what reads and copies them need not know. */
const view = (memory: SharedArrayBuffer, { dtype, offset, length }: Slot): HostData =>
  new (arrayOf(dtype))(memory as unknown as ArrayBuffer, offset, length);

/** Slots one behind the other from `start`, aligned for vector instructions. */
function layOut(
  values: readonly LaneValue[],
  start: number,
): { readonly slots: readonly Slot[]; readonly end: number } {
  let end = start;
  const slots = values.map(({ name, dtype, shape }) => {
    const length = shape.reduce((a, b) => a * b, 1);
    const offset = end;
    end = Math.ceil((offset + length * arrayOf(dtype).BYTES_PER_ELEMENT) / 64) * 64;
    return { name, dtype, dims: shape, offset, length };
  });
  return { slots, end };
}

/** A single-threaded session on another core, beside the one of this thread. */
export class LaneSession {
  readonly #lane: Lane;
  readonly #id = nextId++;
  /** Views of the memory that both threads see. */
  readonly #given: readonly HostData[];
  readonly #taken: ReadonlyMap<string, HostData>;

  /**
   * Begins to load `model` on lane `index` (0-based); {@link LaneSession.loaded} waits for it.
   * @throws ModelTooLargeError: a lane takes what fits in one buffer
   */
  constructor({
    index,
    model,
    inputs,
    outputs,
  }: { index: number; model: Model; inputs: readonly LaneValue[]; outputs: readonly LaneValue[] }) {
    lanes[index] ??= new Lane();
    this.#lane = lanes[index];
    const given = layOut(inputs, 0);
    const taken = layOut(outputs, given.end);
    const memory = new SharedArrayBuffer(taken.end);
    this.#given = given.slots.map((slot) => view(memory, slot));
    this.#taken = new Map(taken.slots.map((slot) => [slot.name, view(memory, slot)]));
    this.#lane.begin({
      kind: "load",
      id: this.#id,
      model: encodeModel(model),
      options: laneOptions(),
      memory,
      inputs: given.slots,
      outputs: taken.slots,
    });
  }

  /** @throws what the runtime throws */
  loaded(): void {
    this.#lane.end();
  }

  /** Begins a run; the data, in the order of the inputs, is copied. */
  begin(data: readonly HostData[]): void {
    this.#given.forEach((input, i) => {
      input.set(data[i]!);
    });
    this.#lane.begin({ kind: "run", id: this.#id });
  }

  /**
   * Waits for the run.
   * @param isShared - whether outputs are views of the memory that the next run writes, not copies
   * @returns the outputs by name
   * @throws what the runtime throws
   */
  end({ isShared }: { isShared: boolean }): ReadonlyMap<string, HostData> {
    this.#lane.end();
    if (isShared) return this.#taken;
    return new Map(Array.from(this.#taken, ([name, output]) => [name, output.slice()]));
  }

  dispose(): void {
    this.#lane.begin({ kind: "drop", id: this.#id });
    this.#lane.end();
  }
}

/** @throws {@link EngineError} `ENGINE_UNSUPPORTED` where sessions run on an accelerator: there is one, and it is busy already */
export function assertLanes(provider: string): void {
  if (provider === "cpu") return;
  throw new EngineError({
    code: "ENGINE_UNSUPPORTED",
    message: `parallel() divides the cores of the cpu provider; sessions run on ${provider}.`,
    hint: "Call the function once with the whole batch.",
  });
}
