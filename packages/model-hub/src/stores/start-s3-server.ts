import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { findOnPath } from "../sql/start-postgres.js";

/** A busy machine with many test files starts a server in tens of seconds. */
const START_TIMEOUT_MS = 60_000;
/** Another process can take the free port between finding and using it. */
const MAX_STARTS = 3;

/** A real S3-compatible server, for tests. */
export interface LocalS3 {
  readonly endpoint: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** A bucket that may be used; null when every name may. */
  readonly bucket: string | null;
  stop(): Promise<void>;
}

const given = (env = process.env): LocalS3 | null => {
  const [endpoint, key, secret, bucket] = ["ENDPOINT", "KEY", "SECRET", "BUCKET"].map(
    (name) => env[`SEG_TEST_S3_${name}`],
  );
  if (endpoint === undefined || key === undefined || secret === undefined || bucket === undefined) return null;
  const credentials = { accessKeyId: key, secretAccessKey: secret };
  return { endpoint, credentials, bucket, stop: async () => undefined };
};

/** Whether {@link startS3Server} can start one. */
export const hasS3Server = async (): Promise<boolean> => given() !== null || (await findOnPath("versitygw")) !== null;

/**
 * Starts versitygw (Apache-2.0) over a temporary folder, on loopback. With `SEG_TEST_S3_ENDPOINT`, `_KEY`, `_SECRET` and `_BUCKET` that server
 * is used instead.
 *
 * @returns null when neither the variables nor `versitygw` on PATH exist: the caller skips its suite by name
 */
export async function startS3Server(): Promise<LocalS3 | null> {
  const named = given();
  if (named !== null) return named;
  const program = await findOnPath("versitygw");
  if (program === null) return null;
  const directory = await mkdtemp(join(tmpdir(), "seg-s3-"));
  for (let start = 1; ; start++) {
    const port = await freePort();
    const credentials = { accessKeyId: "seg", secretAccessKey: "seg-secret" };
    const server = spawn(
      program,
      [
        "--port",
        `127.0.0.1:${port}`,
        "--access",
        credentials.accessKeyId,
        "--secret",
        credentials.secretAccessKey,
        "--quiet",
        "posix",
        directory,
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    let log = "";
    server.stderr.on("data", (chunk) => {
      log += chunk;
    });
    if (await accepts(port, server)) {
      const stop = async () => {
        await end(server);
        await rm(directory, { recursive: true, force: true });
      };
      return { endpoint: `http://127.0.0.1:${port}`, credentials, bucket: null, stop };
    }
    await end(server);
    if (start < MAX_STARTS) continue;
    await rm(directory, { recursive: true, force: true });
    throw new Error(`versitygw did not start: ${log}`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function accepts(port: number, server: ChildProcess): Promise<boolean> {
  for (const deadline = Date.now() + START_TIMEOUT_MS; Date.now() < deadline && server.exitCode === null; ) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true));
      socket.on("error", () => resolve(false));
      socket.on("close", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (isOpen) return true;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return false;
}

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGTERM");
  await ended;
}
