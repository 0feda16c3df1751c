import { createOrtSession, type OrtRuntime, type Session } from "./ort-session.js";

export type { Session } from "./ort-session.js";

/** How a model is opened. */
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
  const ort = (await import("onnxruntime-node")) as unknown as OrtRuntime;
  const options = {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: optimization,
    logSeverityLevel: 3,
    executionProviders: ["cpu"],
  };
  return createOrtSession({ ort, model, options });
}
