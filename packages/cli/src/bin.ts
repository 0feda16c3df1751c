#!/usr/bin/env node
import process from "node:process";
import { main } from "./main.js";
import { tellFailure } from "./tell-failure.js";

const argv = process.argv.slice(2);
// The reader of a pipe went away (`seg ... | head`): end as the system would have a program end.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(141);
  throw error;
});
// What fails outside of a command's own promise, in a callback or a stream.
process.on("uncaughtException", (error) => process.exit(tellFailure(error, { json: argv.includes("--json") })));
process.exitCode = await main(argv);
