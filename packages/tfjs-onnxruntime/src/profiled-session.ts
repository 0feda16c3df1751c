import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Model } from "@seg/onnx";
import { type ProviderRequest, providerName } from "./providers.js";
import { isPromise, loadSession, type NativeSession, type RunResult } from "./runtime.js";
import { engineState, type ProfiledKernel } from "./state.js";

/** One node that ran, as the runtime's profile describes it. Times are microseconds since the run began. */
export interface NodeEvent {
  /** ONNX operator after the runtime's own optimisation. */
  readonly op: string;
  readonly provider: string;
  readonly startUs: number;
  readonly durationUs: number;
  /** Shapes of the outputs. */
  readonly shapes: readonly (readonly number[])[];
  /** Recorded kernel that the node came from; null for nodes that the runtime inserted or that hand results over. */
  readonly kernel: ProfiledKernel | null;
}

/** One run of a graph. */
export interface ProfiledRun {
  /** When the run began, in milliseconds of `performance.now()`. */
  readonly startMs: number;
  readonly durationUs: number;
  readonly nodes: readonly NodeEvent[];
}

/** A line of the file that onnxruntime writes. */
interface RawEvent {
  readonly cat: string;
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly args?: {
    readonly op_name?: string;
    readonly provider?: string;
    readonly output_type_shape?: readonly Record<string, readonly number[]>[];
  };
}

let files = 0;

/** A session whose runs are measured by the runtime. Its profile file is read and removed by {@link ProfiledSession.finish}. */
export class ProfiledSession {
  readonly #native: NativeSession;
  readonly #starts: { startMs: number; kernels: readonly ProfiledKernel[] }[] = [];
  #finished = false;

  constructor(native: NativeSession) {
    this.#native = native;
  }

  static load(model: Model, providers: readonly ProviderRequest[], threads: number): ProfiledSession {
    // The runtime appends a timestamp in milliseconds: two sessions may share it.
    const profilePrefix = join(tmpdir(), `seg-profile-${process.pid}-${files++}`);
    const session = new ProfiledSession(loadSession({ model, providers, threads, profilePrefix }));
    engineState.profiler?.sessions.add(session);
    return session;
  }

  run(feeds: never, fetches: never, options: object): RunResult {
    const { profiler } = engineState;
    if (this.#finished) return this.#native.run(feeds, fetches, options);
    this.#starts.push({ startMs: performance.now(), kernels: profiler?.kernels ?? [] });
    const result = this.#native.run(feeds, fetches, options);
    if (profiler !== null) return result;
    // Outside profile() only the first run is measured: it says which provider took which node.
    if (!isPromise(result)) this.finish();
    return result;
  }

  dispose(): void {
    this.finish();
    this.#native.dispose();
  }

  /** Ends the measurement: runs go to the active profiler, node counts to the engine's report. */
  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    const path = this.#native.endProfiling();
    let text: string;
    try {
      text = readFileSync(path, "utf8");
    } finally {
      rmSync(path, { force: true });
    }
    const runs = readRuns(JSON.parse(text) as RawEvent[], this.#starts);
    const { profiler, nodesByProvider } = engineState;
    profiler?.runs.push(...runs);
    profiler?.sessions.delete(this);
    for (const { provider } of runs[0]?.nodes ?? []) {
      nodesByProvider.set(provider, (nodesByProvider.get(provider) ?? 0) + 1);
    }
  }
}

/** "CUDAExecutionProvider" -> "cuda"; names that the engine does not know stay. */
function shortProvider(name: string): string {
  const short = name.replace(/ExecutionProvider$/, "").toLowerCase();
  return short === "nvtensorrtrtx" ? "tensorrt" : providerName(short as never);
}

/** Groups the events of a profile into runs: the n-th `model_run` closes the n-th run. */
function readRuns(
  events: readonly RawEvent[],
  starts: readonly { startMs: number; kernels: readonly ProfiledKernel[] }[],
): ProfiledRun[] {
  const runs: ProfiledRun[] = [];
  let nodes: RawEvent[] = [];
  for (const event of events) {
    if (event.cat === "Node" && event.name.endsWith("_kernel_time")) nodes.push(event);
    if (event.name !== "model_run") continue;
    const start = starts[runs.length];
    if (start === undefined) break;
    runs.push({
      startMs: start.startMs,
      durationUs: event.dur,
      nodes: nodes.map(({ name, ts, dur, args = {} }): NodeEvent => {
        const kernel = /(?:^|[^A-Za-z0-9])k(\d+)_/.exec(name)?.[1];
        return {
          op: args.op_name ?? "?",
          provider: shortProvider(args.provider ?? "?"),
          startUs: ts - event.ts,
          durationUs: dur,
          shapes: (args.output_type_shape ?? []).flatMap((entry) => Object.values(entry)),
          kernel: kernel === undefined ? null : (start.kernels[Number(kernel)] ?? null),
        };
      }),
    });
    nodes = [];
  }
  return runs;
}
