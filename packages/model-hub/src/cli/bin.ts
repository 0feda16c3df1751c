#!/usr/bin/env node
import process from "node:process";
import { main } from "./main.js";

const abort = new AbortController();
// The first interrupt ends politely (partial downloads stay resumable), the second at once.
process.once("SIGINT", () => abort.abort(new Error("interrupted")));
process.once("SIGTERM", () => abort.abort(new Error("terminated")));

process.exitCode = await main(process.argv.slice(2), {
  env: process.env,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  isTerminal: process.stderr.isTTY === true,
  signal: abort.signal,
});
