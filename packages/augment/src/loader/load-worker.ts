import { parentPort, workerData } from "node:worker_threads";
import { createLoadTask, type LoadSetup, type LoadTask } from "./load-task.js";

/** A sample that a worker is asked for. */
export interface LoadRequest {
  readonly id: number;
  readonly epoch: number;
  readonly index: number;
}

/** What comes back: a result, or an error as data (classes do not survive the way). */
export type LoadReply =
  | { readonly id: number; readonly result: unknown }
  | {
      readonly id: number;
      readonly error: { readonly name: string; readonly code: string; readonly path: string; readonly message: string };
    };

const port = parentPort;
if (port !== null) {
  let task: Promise<LoadTask> | null = null;
  port.on("message", async ({ id, epoch, index }: LoadRequest) => {
    try {
      task ??= createLoadTask(workerData as LoadSetup);
      const result = await (await task).run(epoch, index);
      port.postMessage({ id, result } satisfies LoadReply, [result.image.data.buffer as ArrayBuffer]);
    } catch (error) {
      const {
        name = "Error",
        code = "",
        path = "",
        message = String(error),
      } = (error ?? {}) as Partial<{
        name: string;
        code: string;
        path: string;
        message: string;
      }>;
      port.postMessage({ id, error: { name, code: String(code), path, message } } satisfies LoadReply);
    }
  });
}
