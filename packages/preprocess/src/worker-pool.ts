import { Worker } from "node:worker_threads";
import type { BufferPool } from "./buffer-pool.js";
import { PreprocessError } from "./errors.js";
import type { WorkerAnswer, WorkerSetup } from "./prepare-worker.js";
import { fromPlainError, fromPlainResult, type Job, type JobMessage, type JobResult } from "./worker-protocol.js";

interface Waiting {
  readonly job: Job;
  readonly resolve: (result: JobResult) => void;
  readonly reject: (error: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  current: Waiting | null;
}

/** Threads that each prepare one picture at a time; a thread starts when a job finds none idle, and jobs wait in order. */
export interface WorkerPool {
  readonly size: number;
  run(job: Job): Promise<JobResult>;
  /** Ends the threads; unfinished jobs are rejected. */
  close(): Promise<void>;
}

function startWorker(setup: WorkerSetup): Worker {
  const here = import.meta.url;
  if (!here.endsWith(".ts")) return new Worker(new URL("./prepare-worker.js", here), { workerData: setup });
  const execArgv = ["--conditions=@seg/source"];
  return new Worker(new URL("./prepare-worker-unbuilt.mjs", here), { workerData: setup, execArgv });
}

/** A pool of at most `size` threads; what `buffers` holds is handed to them with the jobs. */
export function createWorkerPool(setup: WorkerSetup, size: number, buffers: BufferPool): WorkerPool {
  const threads: Thread[] = [];
  const queue: Waiting[] = [];
  let closed = false;

  const next = (thread: Thread): void => {
    const waiting = queue.shift();
    thread.current = waiting ?? null;
    if (waiting === undefined) {
      // An idle thread does not keep the process alive.
      thread.worker.unref();
      return;
    }
    thread.worker.ref();
    const spare = buffers.drain(setup.models.length);
    const message: JobMessage = { job: waiting.job, spare };
    thread.worker.postMessage(message, spare);
  };

  const start = (): void => {
    const thread: Thread = { worker: startWorker(setup), current: null };
    threads.push(thread);
    thread.worker.on("message", (answer: WorkerAnswer) => {
      const { current } = thread;
      if ("result" in answer) current?.resolve(fromPlainResult(answer.result));
      else if ("error" in answer) current?.reject(fromPlainError(answer.error));
      else current?.reject(new Error(`preparing ${nameOf(current.job)} failed in a worker thread: ${answer.crash}`));
      next(thread);
    });
    let reason = "";
    thread.worker.on("error", (error) => {
      reason = `: ${error.message}`;
    });
    thread.worker.on("exit", (exitCode) => {
      threads.splice(threads.indexOf(thread), 1);
      const { current } = thread;
      current?.reject(
        new PreprocessError({
          code: "decode_failed",
          source: nameOf(current.job),
          message: `The thread that prepared ${nameOf(current.job)} ended${closed ? " because the preprocessor was closed" : ` with exit code ${exitCode}${reason}`}.`,
        }),
      );
      if (!closed && queue.length > 0) start();
    });
    next(thread);
  };

  return {
    size,
    run(job) {
      return new Promise<JobResult>((resolve, reject) => {
        if (closed) {
          reject(new Error("This preprocessor is closed. Create another one."));
          return;
        }
        queue.push({ job, resolve, reject });
        const idle = threads.find((thread) => thread.current === null);
        if (idle !== undefined) next(idle);
        else if (threads.length < size) start();
      });
    },
    async close() {
      closed = true;
      for (const waiting of queue.splice(0)) {
        waiting.reject(new Error(`${nameOf(waiting.job)} was not prepared: the preprocessor was closed.`));
      }
      await Promise.all(threads.map((thread) => thread.worker.terminate()));
    },
  };
}

function nameOf({ source }: Job): string {
  return typeof source === "string" ? source : "<bytes>";
}
