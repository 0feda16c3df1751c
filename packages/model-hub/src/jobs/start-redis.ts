import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { findOnPath } from "../sql/start-postgres.js";

const START_TIMEOUT_MS = 60_000;

/** A Redis server of one's own, for tests. */
export interface LocalRedis {
  /** `redis://...`, or the path of a Unix socket. */
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts Redis on a Unix socket in a temporary folder, without a port and without files. With `SEG_TEST_REDIS_URL` that server is used instead.
 *
 * @returns null when neither the variable nor `redis-server` on PATH exist: the caller skips its suite by name
 */
export async function startRedis(): Promise<LocalRedis | null> {
  const given = process.env["SEG_TEST_REDIS_URL"];
  if (given !== undefined) return { url: given, stop: async () => undefined };
  const program = await findOnPath("redis-server");
  if (program === null) return null;
  const directory = await mkdtemp(join(tmpdir(), "seg-redis-"));
  const socket = join(directory, "redis.sock");
  const server = spawn(
    program,
    ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", directory],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let log = "";
  server.stdout.on("data", (chunk) => {
    log += chunk;
  });
  const stop = async () => {
    if (server.exitCode === null) {
      const ended = new Promise((resolve) => server.once("exit", resolve));
      server.kill("SIGTERM");
      await ended;
    }
    await rm(directory, { recursive: true, force: true });
  };
  try {
    for (const deadline = Date.now() + START_TIMEOUT_MS; !/ready to accept connections/i.test(log); ) {
      if (server.exitCode !== null) throw new Error(`redis-server ended with ${server.exitCode}: ${log}`);
      if (Date.now() > deadline) throw new Error(`redis-server did not start in time: ${log}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: socket, stop };
}
