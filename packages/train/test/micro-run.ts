/** Child process of the kill tests: `micro-run.ts <directory> <resume 0|1> <kill after this many file operations>`. */
import * as nodeFs from "node:fs";
import * as tf from "@tensorflow/tfjs";
import { fit, type WriteFileSystem } from "../src/index.js";
import { microRun } from "./micro-task.js";

const [, , directory = "", resume = "0", killAfter = "0"] = process.argv;
let left = Number(killAfter);

/** Counts file operations and kills this process, hard, in the middle of one. */
const fs = new Proxy(nodeFs, {
  get(target, name) {
    const operation = Reflect.get(target, name) as (...args: unknown[]) => unknown;
    return (...args: unknown[]) => {
      if (left > 0 && --left === 0) {
        // Half of a write reaches the file.
        if (name === "writeSync") operation(args[0], args[1], args[2], Math.floor(Number(args[3]) / 2));
        process.kill(process.pid, "SIGKILL");
      }
      return operation(...args);
    };
  },
}) as WriteFileSystem;

await tf.setBackend("cpu");
const { task, cfg } = microRun({ directory, resume: resume === "1", checkpoint: { save_interval_steps: 3 }, fs });
for await (const event of fit(task, cfg)) {
  if (event.type === "epoch") process.stdout.write(`epoch ${event.epoch}\n`);
}
