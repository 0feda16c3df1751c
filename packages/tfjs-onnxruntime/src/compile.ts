import type { Model } from "@seg/onnx";
import * as tf from "@tensorflow/tfjs";
import { isEngine, type OnnxRuntimeBackend } from "./backend.js";
import { CompiledProgram } from "./compiled-program.js";
import { EngineError } from "./errors.js";
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
  { donate = [], onVolatile = "error", name = fn.name || "compiled" }: CompileOptions = {},
): CompiledFunction<Args, Result> {
  const programs = new Map<string, CompiledProgram<Result> | "volatile">();
  const counts = { calls: 0, replays: 0, traces: 0 };
  let latest: CompiledProgram<Result> | null = null;
  let disposed = false;

  const run = (backend: OnnxRuntimeBackend, args: Args): Result => {
    if (backend.scope !== null) return fn(...args);
    const signature = signatureOf(args, name);
    for (let attempt = 0; ; attempt++) {
      const known = programs.get(signature);
      if (known === "volatile") return fn(...args);
      if (known) {
        counts.replays++;
        latest = known;
        return known.run(backend, tensorsOf(args));
      }
      const traced = trace(backend, args, attempt < MAX_STATE_TRACES);
      if (traced.kind === "eager") return traced.result;
      programs.set(signature, traced.program);
    }
  };

  /** The program of a signature; or the result of a call that could only be run as it was recorded. */
  const trace = (backend: OnnxRuntimeBackend, args: Args, mayFinish: boolean) => {
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
    if (same) return { kind: "program" as const, program: new CompiledProgram(second.recording, name) };
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

  const compiled = (...args: Args): Result => {
    if (disposed) throw new EngineError({ code: "ENGINE_DISPOSED", message: `${name} was disposed.` });
    const backend = tf.backend();
    counts.calls++;
    const result = isEngine(backend) ? run(backend, args) : fn(...args);
    for (const position of donate) tf.dispose(args[position] as tf.TensorContainer);
    return result;
  };

  return Object.assign(compiled, {
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
