import { type ChildProcess, execFile, fork } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { findOnPath } from "@seg/model-hub/testing";
import type { DownloadCost } from "./hub-download-child.js";
import { type BenchResult, median } from "./result.js";

/** As the specification asks. What a download costs beside its bytes, such as some ten syncs of small files, weighs little then. */
const BYTES = 2 ** 30;
const ROUNDS = 3;
/** The server has a core of its own; hub, curl and hashing share the other. */
const SERVER_CORE = 0;
const CLIENT_CORE = 1;
const run = promisify(execFile);

interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** A program of this folder that talks over IPC. */
export function forkProgram(name: string, args: readonly string[] = []): ChildProcess {
  return fork(fileURLToPath(new URL(name, import.meta.url)), args, {
    execArgv: ["--conditions=@seg/source", "--import", "tsx"],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}

export async function messageOf<Message>(child: ChildProcess): Promise<Message> {
  const [message] = (await once(child, "message")) as [Message];
  return message;
}

/** CPU time of SHA-256 over so many bytes that are in the cache: nothing that verifies takes less. */
function hashCpuMs(bytes: number): number {
  const block = new Uint8Array(2 ** 18);
  const hash = createHash("sha256");
  const cpu = process.cpuUsage();
  for (let at = 0; at < bytes; at += block.length) hash.update(block);
  hash.digest();
  const { user, system } = process.cpuUsage(cpu);
  return (user + system) / 1000;
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

export const megabytesPerSecond = (bytes: number, ms: number): number => bytes / 1e6 / (ms / 1000);

/** Keeps a process and all its threads on one core, so that the scheduler decides nothing. */
async function pin(child: ChildProcess, core: number): Promise<void> {
  if (cpus().length > 1) await run("taskset", ["-acp", String(core), String(child.pid)]);
}

/** A command of the shell on one core; CPU time of it and its children, as bash's `time` counts it. */
async function shell(command: string): Promise<Cost> {
  const began = performance.now();
  const timed = `TIMEFORMAT="%U %S"; time { ${command}; }`;
  const { stderr } = await (cpus().length > 1
    ? run("taskset", ["-c", String(CLIENT_CORE), "bash", "-c", timed])
    : run("bash", ["-c", timed]));
  const wallMs = performance.now() - began;
  const [user, system] = stderr.trim().split("\n").at(-1)!.split(" ").map(Number);
  return { wallMs, cpuMs: 1000 * (user! + system!) };
}

/**
 * A verified download from loopback against `curl`, in turns: the hub resolves, streams, hashes, syncs to the disk and publishes; `curl` only
 * writes. With `sync` after it, what it wrote is on the disk too; with `sha256sum` as well, it does the same work.
 */
export async function hubDownload(): Promise<BenchResult[]> {
  for (const program of ["curl", "sha256sum", "openssl", "taskset"])
    if ((await findOnPath(program)) === null) throw new Error(`${program} is not on PATH.`);
  const root = mkdtempSync(join(tmpdir(), "seg-bench-download-"));
  const server = forkProgram("./hub-file-server.ts", [String(BYTES)]);
  const child = forkProgram("./hub-download-child.ts");
  try {
    const [{ url, sha256 }, { rssBytes }] = await Promise.all([
      messageOf<{ url: string; sha256: string }>(server),
      messageOf<{ rssBytes: number }>(child),
    ]);
    await Promise.all([pin(server, SERVER_CORE), pin(child, CLIENT_CORE)]);
    let maxRssBytes = 0;
    const readMs: number[] = [];
    const file = join(root, "file");
    const contestants: Record<string, (round: number) => Promise<Cost>> = {
      hub: async (round) => {
        child.send({ ref: `${url}#sha256=${sha256}`, root: join(root, `cache-${round}`) });
        const cost = await messageOf<DownloadCost>(child);
        if (!cost.verified) throw new Error("the download is not verified");
        maxRssBytes = Math.max(maxRssBytes, cost.maxRssBytes);
        if (round > 0) readMs.push(cost.readMs);
        return cost;
      },
      curl: () => shell(`curl -sf -o ${file} ${url}`),
      synced: () => shell(`curl -sf -o ${file} ${url} && sync ${file}`),
      read: () => shell(`curl -sf -o ${file} ${url} && sync ${file} && cat ${file} | wc -c`),
      verified: () =>
        shell(`curl -sf -o ${file} ${url} && echo "${sha256}  ${file}" | sha256sum -c --quiet && sync ${file}`),
      piped: () => shell(`curl -sf ${url} | tee ${file} | openssl dgst -sha256 | grep -q ${sha256} && sync ${file}`),
    };
    const names = Object.keys(contestants);
    const costs: Record<string, Cost[]> = Object.fromEntries(names.map((name) => [name, []]));
    // The first round warms up. Steps change with the round, so that nobody always inherits the same one's caches and freed pages.
    const steps = Array.from(names, (_, step) => step).filter((step) => gcd(step, names.length) === 1);
    for (let round = 0; round <= ROUNDS; round++) {
      for (let k = 0; k < names.length; k++) {
        const name = names[(round + k * steps[round % steps.length]!) % names.length]!;
        const cost = await contestants[name]!(round);
        rmSync(file, { force: true });
        if (round > 0) costs[name]!.push(cost);
      }
    }
    const speeds = (name: string) => costs[name]!.map(({ wallMs }) => megabytesPerSecond(BYTES, wallMs));
    const cpuOf = (name: string) => median(costs[name]!.map(({ cpuMs }) => cpuMs)).toFixed(0);
    const value = median(speeds("hub"));
    const floorMs = median(Array.from({ length: ROUNDS }, () => hashCpuMs(BYTES)));
    const readBy = median(costs["hub"]!.map(({ wallMs }, i) => wallMs + readMs[i]!));
    const spread = `${Math.min(...speeds("hub")).toFixed(0)}-${Math.max(...speeds("hub")).toFixed(0)}`;
    return [
      ["curl", "curl, not verified"],
      ["synced", "curl, sync"],
      ["verified", "curl, sha256sum, sync"],
      ["piped", "curl | tee | openssl dgst -sha256, sync"],
      ["read", "curl, sync, cat"],
    ].map(([name, peer]) => ({
      bench: "hub-download",
      case: `${BYTES / 2 ** 20} MiB from loopback, SHA-256 while streaming${name === "read" ? ", then read once" : ""}`,
      value: name === "read" ? megabytesPerSecond(BYTES, readBy) : value,
      unit: "MB/s",
      peer: peer!,
      peerValue: median(speeds(name!)),
      ratio: (name === "read" ? megabytesPerSecond(BYTES, readBy) : value) / median(speeds(name!)),
      note: `median of ${ROUNDS}, ${spread} MB/s; CPU ${cpuOf("hub")} ms against ${cpuOf(name!)} ms, of which SHA-256 alone ${floorMs.toFixed(0)} ms; memory ${(maxRssBytes / 2 ** 20).toFixed(0)} MiB at most, ${(rssBytes / 2 ** 20).toFixed(0)} MiB before; load ${loadavg()[0]!.toFixed(1)}`,
    }));
  } finally {
    child.kill();
    server.kill();
    rmSync(root, { recursive: true, force: true });
    await Promise.all([child, server].map((each) => each.exitCode ?? each.signalCode ?? once(each, "exit")));
  }
}
