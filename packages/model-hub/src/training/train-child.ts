// The process in which a training runs: it may block its event loop, run out of memory or be killed without harming the hub.
import process from "node:process";
import { HubError } from "../errors.js";
import { Checkpoints } from "./checkpoints.js";
import type { ChildStart, FromChild, ToChild } from "./child-protocol.js";
import { loadTrainer } from "./load-trainer.js";

const controller = new AbortController();

/** Resolves when the message has left, so that it is not lost with the process. */
const send = (message: FromChild): Promise<void> =>
  new Promise((resolve, reject) =>
    process.send!(message, (error: Error | null) => (error ? reject(error) : resolve())),
  );

async function run(start: ChildStart): Promise<void> {
  const trainer = await loadTrainer(start.trainer);
  const checkpoints = new Checkpoints({ directory: start.checkpointDirectory, fence: start.fence });
  const { bytes, damaged } = await checkpoints.load();
  if (damaged > 0) {
    await send({
      type: "log",
      message: `warning: ${damaged} damaged checkpoints were passed over; ${bytes === null ? "the run starts from zero" : "an older one is used"}`,
    });
  }
  const training = trainer.train({
    config: start.config,
    datasets: start.datasets,
    baseDirectory: start.baseDirectory,
    outputDirectory: start.outputDirectory,
    signal: controller.signal,
    checkpoint: bytes,
    saveCheckpoint: async (content, { epoch, step }) => {
      const file = await checkpoints.save(content);
      await send({ type: "checkpoint", epoch, step, file });
    },
    log: (message) => void send({ type: "log", message }),
  });
  for (;;) {
    const { value, done } = await training.next();
    if (!done) {
      await send({ type: "progress", progress: value });
      continue;
    }
    // A trainer that returns after an abort has stopped early; its numbers are those of half a training.
    await send(controller.signal.aborted ? { type: "cancelled" } : { type: "result", result: value });
    return;
  }
}

async function fail(error: unknown): Promise<void> {
  if (controller.signal.aborted) return send({ type: "cancelled" });
  return send({
    type: "error",
    code: HubError.isInstance(error) ? error.code : null,
    message: error instanceof Error ? error.message : String(error),
    details: HubError.isInstance(error) ? error.details : {},
  });
}

process.on("message", (message: ToChild) => {
  if (message.type === "cancel") {
    controller.abort(new Error("cancelled"));
    return;
  }
  void run(message)
    .catch(fail)
    .finally(() => process.disconnect());
});
// Without its parent nobody keeps the lease, so another worker will run this job.
process.on("disconnect", () => process.exit(0));
