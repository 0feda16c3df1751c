import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { AugmentConfigError, AugmentError, type AugmentErrorCode } from "../errors.js";
import type { Backend } from "../kernels/choose-kernels.js";
import { CounterRandom } from "../philox.js";
import type { Pipeline } from "../pipeline/pipeline.js";
import type { PipelineResult } from "../pipeline/types.js";
import { createLoadTask, type LoadSetup, type LoadTask, type SourceModule } from "./load-task.js";
import type { LoadReply, LoadRequest } from "./load-worker.js";

/** What a data loader reads, through which pipeline, in which order, on how many threads. */
export interface DataLoaderOptions {
  readonly source: SourceModule;
  readonly pipeline: Pipeline;
  /** Threads; 0 works in the caller's. The results are the same. @defaultValue 0 */
  readonly workers?: number;
  /** Samples per worker that may be under way or wait to be taken: bounds the memory. @defaultValue 2 */
  readonly prefetch?: number;
  /** A new order every epoch, from the pipeline's seed. @defaultValue true */
  readonly shuffle?: boolean;
  /** @defaultValue the pipeline's */
  readonly backend?: Backend;
}

/** One augmented sample as the loader yields it, with where it comes from. */
export interface LoadedSample {
  /** Place in the epoch, from 0. */
  readonly position: number;
  /** Index in the source. */
  readonly index: number;
  readonly result: PipelineResult;
}

/** Augmented samples of whole epochs, in order. */
export interface DataLoader {
  /** Samples per epoch; known after the first was loaded, or from the source's count. */
  count(): Promise<number>;
  /**
   * The samples of one epoch. Order and contents depend on seed and epoch only: not on workers, not on where it begins.
   *
   * @param options.from - position to begin at, to resume. @defaultValue 0
   * @throws AugmentError what the source or the pipeline threw, `worker_failed` when a thread ended; the signal's reason when aborted
   */
  epoch(epoch: number, options?: { from?: number; signal?: AbortSignal }): AsyncGenerator<LoadedSample, void, void>;
  /** Ends the threads. Epochs that still run throw. */
  close(): Promise<void>;
}

/** Samples that wait in the caller's memory at most, whatever the options. */
const MAX_WINDOW = 256;

interface Waiting {
  readonly resolve: (result: PipelineResult) => void;
  readonly reject: (error: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
}

/** The worker beside this module: JavaScript in the built package; TypeScript, compiled on the fly by tsx, where the sources run. */
function startWorker(setup: LoadSetup): Worker {
  if (!import.meta.url.endsWith(".ts")) {
    return new Worker(new URL("./load-worker.js", import.meta.url), { workerData: setup });
  }
  // Node does not let a loader of the main thread compile a worker's first module: a line of JavaScript registers it there and goes on.
  const tsx = pathToFileURL(
    createRequire(import.meta.url)
      .resolve("tsx/esm/api")
      .replace(/\.cjs$/, ".mjs"),
  ).href;
  const entry = new URL("./load-worker.ts", import.meta.url).href;
  const code = `import(${JSON.stringify(tsx)}).then(({ register }) => { register(); return import(${JSON.stringify(entry)}); });`;
  return new Worker(code, { eval: true, workerData: setup, execArgv: ["--conditions=@seg/source"] });
}

function errorOf({ name, code, path, message }: Extract<LoadReply, { error: unknown }>["error"]): AugmentError {
  // The class is lost between threads; name, code and path stay.
  const error = new AugmentError({
    code: code === "" || name === "Error" ? "worker_failed" : (code as AugmentErrorCode),
    message,
    path,
  });
  return Object.defineProperty(error, "name", { value: name, configurable: true });
}

/**
 * Loads and augments a dataset, in worker threads when asked. At most `workers * prefetch` samples are under way or waiting, so memory
 * is bounded however slowly they are taken; pixels are moved between threads, not copied.
 *
 * @throws AugmentConfigError for options out of range
 * @example
 * const loader = createDataLoader({ source: { module: new URL("./source.js", import.meta.url).href }, pipeline, workers: 4 });
 * for await (const { index, result } of loader.epoch(0)) train(index, result);
 * await loader.close();
 */
export function createDataLoader({
  source,
  pipeline,
  workers = 0,
  prefetch = 2,
  shuffle = true,
  backend = pipeline.backend,
}: DataLoaderOptions): DataLoader {
  for (const [name, value, low, high] of [
    ["workers", workers, 0, 64],
    ["prefetch", prefetch, 1, 64],
  ] as const) {
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new AugmentConfigError({
        path: name,
        message: `expected a whole number in [${low}, ${high}], got ${value}.`,
      });
    }
  }
  const setup: LoadSetup = { source, plan: pipeline.plan, backend };
  const window = Math.min(MAX_WINDOW, Math.max(1, workers * prefetch));
  let task: Promise<LoadTask> | null = null;
  const ownTask = () => {
    task ??= createLoadTask(setup);
    return task;
  };
  let threads: Thread[] | null = null;
  let isClosed = false;
  let nextId = 0;

  function start(): Thread[] {
    threads ??= Array.from({ length: workers }, (): Thread => {
      const worker = startWorker(setup);
      const thread: Thread = { worker, waiting: new Map() };
      // A loader that nobody closes must not keep the process alive.
      worker.unref();
      const fail = (error: unknown) => {
        for (const { reject } of thread.waiting.values()) reject(error);
        thread.waiting.clear();
      };
      worker.on("message", (reply: LoadReply) => {
        const waiting = thread.waiting.get(reply.id);
        thread.waiting.delete(reply.id);
        if (thread.waiting.size === 0) worker.unref();
        if ("error" in reply) waiting?.reject(errorOf(reply.error));
        else waiting?.resolve(reply.result as PipelineResult);
      });
      worker.on("error", (cause) =>
        fail(new AugmentError({ code: "worker_failed", message: `A loader thread failed: ${cause.message}`, cause })),
      );
      worker.on("exit", (code) =>
        fail(
          new AugmentError({
            code: "worker_failed",
            message: isClosed ? "The loader was closed." : `A loader thread ended with code ${code}.`,
          }),
        ),
      );
      return thread;
    });
    return threads;
  }

  function request(epoch: number, index: number): Promise<PipelineResult> {
    const pool = start();
    const thread = pool.reduce((least, other) => (other.waiting.size < least.waiting.size ? other : least));
    const id = nextId++;
    return new Promise((resolve, reject) => {
      thread.waiting.set(id, { resolve, reject });
      thread.worker.ref();
      thread.worker.postMessage({ id, epoch, index } satisfies LoadRequest);
    });
  }

  async function* run(
    epoch: number,
    { from = 0, signal }: { from?: number; signal?: AbortSignal } = {},
  ): AsyncGenerator<LoadedSample, void, void> {
    const own = await ownTask();
    const order = shuffle
      ? new CounterRandom({ seed: pipeline.plan.seed, path: "loader/order", epoch }).permutation(own.count)
      : Uint32Array.from({ length: own.count }, (_, i) => i);
    const pending: Promise<PipelineResult>[] = [];
    let next = from;
    const fill = () => {
      while (next < order.length && pending.length < window) {
        const index = order[next++]!;
        const result = workers === 0 ? own.run(epoch, index) : request(epoch, index);
        // Errors surface where the sample is taken; an epoch that is left early must not crash the process.
        result.catch(() => {});
        pending.push(result);
      }
    };
    for (let position = from; position < order.length; position++) {
      signal?.throwIfAborted();
      if (isClosed) throw new AugmentError({ code: "worker_failed", message: "The loader was closed." });
      fill();
      const result = await pending.shift()!;
      yield { position, index: order[position]!, result };
    }
  }

  return {
    count: async () => (await ownTask()).count,
    epoch: run,
    async close() {
      isClosed = true;
      const running = threads ?? [];
      threads = null;
      await Promise.all(running.map(({ worker }) => worker.terminate()));
    },
  };
}
