import { fork } from "node:child_process";
import { HUB_ERROR_STATUS, HubError, type HubErrorCode } from "../errors.js";
import type { ChildStart, FromChild } from "./child-protocol.js";
import type { TrainerProgress, TrainingResult } from "./types.js";

const GRACE_MS = 30_000;
const TERM_MS = 10_000;
/** The child's last words, for the error when it dies without a message. */
const STDERR_CHARACTERS = 2000;

export interface RunTrainingOptions {
  readonly start: Omit<ChildStart, "type">;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: TrainerProgress) => void;
  readonly onLog: (message: string) => void;
  readonly onCheckpoint: (at: { epoch: number; step: number; file: string }) => void;
  /** How long a cancelled trainer may take for its step and checkpoint. @defaultValue 30_000 */
  readonly graceMs?: number;
  /** How long after SIGTERM SIGKILL follows. @defaultValue 10_000 */
  readonly termMs?: number;
  /** Node options of the child. @defaultValue those of this process */
  readonly execArgv?: readonly string[];
}

/** The child's program: beside this file, whether built or not. */
const childProgram = (): URL =>
  new URL(import.meta.url.endsWith(".ts") ? "./train-child.ts" : "./train-child.js", import.meta.url);

/**
 * Trains in a child process. On abort the child is asked to stop, ended by SIGTERM after the grace, by SIGKILL after that; with the reason
 * "lease-lost" it is killed at once, because another worker has the job.
 *
 * @throws `signal.reason` when it was aborted, {@link HubError} with the trainer's code, or INTERNAL when the child died
 */
export async function runTraining({
  start,
  signal,
  onProgress,
  onLog,
  onCheckpoint,
  graceMs = GRACE_MS,
  termMs = TERM_MS,
  execArgv,
}: RunTrainingOptions): Promise<TrainingResult> {
  signal.throwIfAborted();
  const child = fork(childProgram(), {
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    ...(execArgv === undefined ? {} : { execArgv: [...execArgv] }),
  });
  let lastWords = "";
  child.stderr!.on("data", (chunk) => {
    lastWords = (lastWords + chunk).slice(-STDERR_CHARACTERS);
  });
  const timers: NodeJS.Timeout[] = [];
  const stop = () => {
    if (signal.reason === "lease-lost") {
      child.kill("SIGKILL");
      return;
    }
    // A child that has just ended has no channel left.
    if (child.connected) child.send({ type: "cancel" });
    timers.push(
      setTimeout(() => child.kill("SIGTERM"), graceMs),
      setTimeout(() => child.kill("SIGKILL"), graceMs + termMs),
    );
  };
  let ended: FromChild | null = null;
  child.on("message", (message: FromChild) => {
    if (message.type === "progress") onProgress(message.progress);
    else if (message.type === "log") onLog(message.message);
    else if (message.type === "checkpoint") onCheckpoint(message);
    else ended = message;
  });
  signal.addEventListener("abort", stop, { once: true });
  try {
    const exit = new Promise<{ code: number | null; killedBy: string | null }>((resolve, reject) => {
      child.once("error", reject);
      // `close` comes after the last message and the last line of stderr.
      child.once("close", (code, killedBy) => resolve({ code, killedBy }));
    });
    child.send({ type: "start", ...start });
    const { code, killedBy } = await exit;
    signal.throwIfAborted();
    return resultOf(ended, { code, killedBy, lastWords });
  } finally {
    for (const timer of timers) clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

function resultOf(
  ended: FromChild | null,
  { code, killedBy, lastWords }: { code: number | null; killedBy: string | null; lastWords: string },
): TrainingResult {
  if (ended?.type === "result") return ended.result;
  if (ended?.type === "error") {
    const known = ended.code !== null && Object.hasOwn(HUB_ERROR_STATUS, ended.code);
    throw new HubError({
      code: known ? (ended.code as HubErrorCode) : "INTERNAL",
      message: ended.message,
      details: ended.details,
    });
  }
  throw new HubError({
    code: "INTERNAL",
    message: `The training process ended by ${killedBy ?? `status ${code}`} without a result.${lastWords === "" ? "" : ` Its last words: ${lastWords.trim()}`} Resume the job to go on from its last checkpoint.`,
    details: { exit_code: code, signal: killedBy },
  });
}
