import type { Model } from "@seg/onnx";
import * as tf from "@tensorflow/tfjs";
import { isEngine, type OnnxRuntimeBackend } from "./backend.js";
import { CompiledProgram } from "./compiled-program.js";
import { EngineError } from "./errors.js";
import { storesFloat16 } from "./float16-storage.js";
import { type RecordedCall, recordCall } from "./record-call.js";
import { describeGraph } from "./structure.js";
import { signatureOf, type TensorTree, tensorsOf } from "./tensor-tree.js";

/** Options of {@link compile}. */
export interface CompileOptions {
  /** Positions of arguments whose tensors are disposed after the call. @defaultValue none */
  readonly donate?: readonly number[];
  /**
   * What to do when two traces write other host data (`tf.randomNormal`, `tf.dropout`: they fill a buffer in JavaScript): `error`, or
   * `rerun` the function as ordinary code with every call. @defaultValue "error"
   */
  readonly onVolatile?: "error" | "rerun";
  /**
   * Gives arrays for large float32 results (4,096 elements and more), by their length and their position among the tensors of the result:
   * the runtime writes into them, and every later call, whichever signature, overwrites what an earlier one gave. So results hold until
   * the next call, and what is read of them is to be copied or used up before it. Without it every call makes new arrays, which costs a page
   * fault per 4 KB and their collection. The same length and position may get the same array again. @defaultValue none
   */
  readonly allocate?: (length: number, position: number) => Float32Array;
  /** For error messages. @defaultValue the name of the function */
  readonly name?: string;
}

/** What a compiled function did so far. */
export interface CompileStats {
  readonly calls: number;
  /** Calls that ran a session without JavaScript kernels. */
  readonly replays: number;
  /** Runs of the JavaScript function. */
  readonly traces: number;
  readonly signatures: number;
}

/** A function whose graph is recorded once per signature; see {@link compile}. */
export interface CompiledFunction<Args extends readonly TensorTree[], Result> {
  (...args: Args): Result;
  /**
   * Runs the function on several lists of arguments at once, each on a core of its own: one single-threaded session here, the others on
   * threads that live as long as the process. All lists have the same signature and see the variables as they are before the call;
   * a float32 variable that the function assigns gets the mean of what the lists gave it, any other what the first gave.
   * Effects run once. A compiled training step on shards of a batch is data-parallel training.
   *
   * @returns the results in the order of the lists
   * @throws {@link EngineError} as a call does; `COMPILE_SIGNATURE` for lists of different signatures, `ENGINE_UNSUPPORTED` on other
   *   backends, on an accelerator, and inside of another recording
   */
  parallel(lists: readonly Args[]): Result[];
  stats(): CompileStats;
  /**
   * The graph of the latest signature as ONNX (opset 17, standard operators only): arguments and variables are inputs.
   * @throws {@link EngineError} `ENGINE_DISPOSED` before the first replayable call
   */
  toOnnx(): Model;
  /** Frees the sessions. Calling it afterwards throws `ENGINE_DISPOSED`. */
  dispose(): void;
}

const structureOf = ({ recording }: RecordedCall<unknown>) => describeGraph(recording.roots).structure;

/** A first trace that made variables (an optimiser's slots) is not the graph of later calls; a second one must be. */
const MAX_STATE_TRACES = 3;

/**
 * Records `fn` once per signature (structure, shapes and dtypes of the arguments) and runs the graph from then on: JavaScript kernels
 * do not run again. Variables that `fn` reads are fed with their current values, those that it assigns are assigned after the run,
 * other tensors that it captures are fed by identity. The result is not connected to a gradient tape outside of the call.
 *
 * Numbers of JavaScript that `fn` closes over are built into the graph; pass what changes as a tensor. State that is no tensor goes
 * through {@link effect}. On other backends than this engine `fn` runs as it is.
 *
 * @param fn - from tensors, or arrays and objects of them, to such a tree; reads no values
 * @throws {@link EngineError} `COMPILE_SIGNATURE`, `COMPILE_DATA_DEPENDENT`, `COMPILE_VOLATILE`, `COMPILE_CAPTURE_DISPOSED`,
 *   `ENGINE_DISPOSED`, and those of a run; variables are unchanged then
 * @example
 * const w = tf.variable(tf.scalar(2));
 * const step = compile((x: tf.Tensor) => { w.assign(tf.mul(w, x)); return tf.square(w); });
 * step(tf.scalar(3)).dataSync(); // [36]
 */
export function compile<Args extends readonly TensorTree[], Result>(
  fn: (...args: Args) => Result,
  { donate = [], onVolatile = "error", allocate, name = fn.name || "compiled" }: CompileOptions = {},
): CompiledFunction<Args, Result> {
  const programs = new Map<string, CompiledProgram<Result> | "volatile">();
  const counts = { calls: 0, replays: 0, traces: 0 };
  let latest: CompiledProgram<Result> | null = null;
  let disposed = false;

  const run = (backend: OnnxRuntimeBackend, args: Args): Result => {
    if (backend.scope !== null) return fn(...args);
    const signature = signatureOf(args, name);
    for (let attempt = 0; ; attempt++) {
      const known = current(signature, backend);
      if (known === "volatile") return fn(...args);
      if (known) return replay(known, backend, [args])[0]!;
      const traced = trace({ backend, args, mayFinish: attempt < MAX_STATE_TRACES, lanes: 1 });
      if (traced.kind === "eager") return traced.result;
      programs.set(signature, traced.program);
    }
  };

  /** The program of a key, unless data that it reads is stored in another type by now. */
  const current = (key: string, backend: OnnxRuntimeBackend) => {
    const known = programs.get(key);
    if (known === undefined || known === "volatile" || !storesFloat16() || !known.isStale(backend)) return known;
    known.dispose();
    programs.delete(key);
    return undefined;
  };

  const replay = (program: CompiledProgram<Result>, backend: OnnxRuntimeBackend, lists: readonly Args[]): Result[] => {
    counts.replays++;
    latest = program;
    return program.run(backend, lists.map(tensorsOf));
  };

  const runParallel = (backend: OnnxRuntimeBackend, lists: readonly Args[]): Result[] => {
    const [signature, ...others] = lists.map((args) => signatureOf(args, name));
    const different = others.find((other) => other !== signature);
    if (different !== undefined) {
      throw new EngineError({
        code: "COMPILE_SIGNATURE",
        message: `${name} was given lists of different signatures to run at once: ${signature} and ${different}.`,
        hint: "Divide a batch into shards of equal size.",
      });
    }
    const key = `${lists.length} of ${signature}`;
    let program = current(key, backend);
    if (program === undefined) {
      const traced = trace({ backend, args: lists[0]!, mayFinish: false, lanes: lists.length });
      // Not finished, so never eager.
      program = (traced as { program: CompiledProgram<Result> | "volatile" }).program;
      programs.set(key, program);
    }
    if (program === "volatile") {
      throw new EngineError({
        code: "COMPILE_VOLATILE",
        message: `${name} makes other host data with each call and cannot run on several lists at once.`,
        hint: "Draw random numbers with random.* of this package from a key argument.",
      });
    }
    return replay(program, backend, lists);
  };

  /** The program of a signature; or the result of a call that could only be run as it was recorded. */
  const trace = ({
    backend,
    args,
    mayFinish,
    lanes,
  }: {
    backend: OnnxRuntimeBackend;
    args: Args;
    mayFinish: boolean;
    lanes: number;
  }) => {
    counts.traces++;
    const first = recordCall({ backend, fn, args });
    if (first.newVariables > 0 && mayFinish) {
      return { kind: "eager" as const, result: first.finish() };
    }
    first.rollBack();
    counts.traces++;
    const second = recordCall({ backend, fn, args });
    second.rollBack();
    const difference = first.scope.firstDifference(second.scope);
    const same = difference === null && structureOf(first).equals(structureOf(second));
    if (same) {
      const program = new CompiledProgram(second.recording, { name, lanes, allocate: allocate ?? null });
      return { kind: "program" as const, program };
    }
    if (onVolatile === "rerun") return { kind: "program" as const, program: "volatile" as const };
    throw volatileError(backend, args, difference);
  };

  const volatileError = (backend: OnnxRuntimeBackend, args: Args, write: number | null): EngineError => {
    let source: string | null = null;
    if (write !== null) {
      const third = recordCall({ backend, fn, args, watch: write });
      third.rollBack();
      source = third.scope.watched;
    }
    return new EngineError({
      code: "COMPILE_VOLATILE",
      source,
      message: `${name} makes ${write === null ? "another graph" : "other host data"} with each call: a replay would repeat the first for ever.`,
      hint: 'Draw random numbers with random.* of this package from a key argument, or pass onVolatile: "rerun".',
    });
  };

  const assertAlive = () => {
    if (disposed) throw new EngineError({ code: "ENGINE_DISPOSED", message: `${name} was disposed.` });
  };
  const donateOf = (args: Args) => {
    for (const position of donate) tf.dispose(args[position] as tf.TensorContainer);
  };

  const compiled = (...args: Args): Result => {
    assertAlive();
    const backend = tf.backend();
    counts.calls++;
    const result = isEngine(backend) ? run(backend, args) : fn(...args);
    donateOf(args);
    return result;
  };

  return Object.assign(compiled, {
    parallel(lists: readonly Args[]): Result[] {
      assertAlive();
      const backend = tf.backend();
      if (!isEngine(backend) || backend.scope !== null) {
        throw new EngineError({
          code: "ENGINE_UNSUPPORTED",
          message: `${name}.parallel() needs the backend "onnxruntime" outside of a recording.`,
          hint: 'Call await tf.setBackend("onnxruntime") first, or the function once per list.',
        });
      }
      counts.calls++;
      const results = lists.length === 0 ? [] : runParallel(backend, lists);
      lists.forEach(donateOf);
      return results;
    },
    stats: () => ({ ...counts, signatures: programs.size }),
    toOnnx() {
      if (disposed || latest === null) {
        const message = disposed ? `${name} was disposed.` : `${name} has no graph yet.`;
        throw new EngineError({ code: "ENGINE_DISPOSED", message, hint: "Call it once before toOnnx()." });
      }
      return latest.toOnnx();
    },
    dispose() {
      disposed = true;
      for (const program of programs.values()) if (program !== "volatile") program.dispose();
      programs.clear();
      latest = null;
    },
  });
}
