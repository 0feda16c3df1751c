import process from "node:process";
import { createInterface } from "node:readline";

/** Does `work` for every line on stdin and prints its CPU and wall time and the process's peak memory: the child's side of a contestant. */
export async function answerLines(work: () => unknown, facts: () => object = () => ({})): Promise<void> {
  for await (const _line of createInterface({ input: process.stdin })) {
    const start = performance.now();
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    const times = { cpuMs: (user + system) / 1000, wallMs: performance.now() - start };
    const peakMB = (process.resourceUsage().maxRSS * 1024) / 1e6;
    process.stdout.write(`${JSON.stringify({ ...times, peakMB, ...facts() })}\n`);
  }
}
