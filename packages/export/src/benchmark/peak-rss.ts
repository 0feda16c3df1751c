import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { promisify } from "node:util";

/** Loads one model in a process of its own, runs it three times, reports the largest resident set. Arguments: model, input name, dims, threads. */
const SCRIPT = `
const [, runtime, path, name, dims, threads] = process.argv;
const ort = require(runtime);
(async () => {
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: Number(threads), interOpNumThreads: 1, logSeverityLevel: 3 });
  const shape = JSON.parse(dims);
  const input = new ort.Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  for (let i = 0; i < 3; i++) await session.run({ [name]: input });
  // Linux: maxRSS survives exec and would be that of the process that forked; the high-water mark of this address space is meant.
  let kilobytes = process.resourceUsage().maxRSS;
  try {
    kilobytes = Number(/VmHWM:\\s+(\\d+)/.exec(require("node:fs").readFileSync("/proc/self/status", "utf8"))[1]);
  } catch {}
  process.stdout.write(String(kilobytes));
})().catch((error) => { process.stderr.write(String(error)); process.exit(1); });
`;

/**
 * Peak resident memory of a fresh process that holds only this model, bytes. Node itself is in it.
 */
export async function measurePeakRss({
  path,
  inputName,
  dims,
  threads,
}: {
  path: string;
  inputName: string;
  dims: readonly number[];
  threads: number;
}): Promise<number> {
  const runtime = createRequire(import.meta.url).resolve("onnxruntime-node");
  const { stdout } = await promisify(execFile)(process.execPath, [
    "-e",
    SCRIPT,
    runtime,
    path,
    inputName,
    JSON.stringify(dims),
    String(threads),
  ]);
  return Number(stdout) * 1024; // both sources count kilobytes
}
