import { type ChildProcess, execFile, spawn } from "node:child_process";
import { access, chown, constants, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";

const run = promisify(execFile);
/** `nobody` and `nogroup` of Debian: PostgreSQL refuses to run as root. */
const UNPRIVILEGED = 65534;
/** A busy machine with many test files starts a server in tens of seconds. */
const START_TIMEOUT_MS = 120_000;

/** A PostgreSQL server of one's own, for tests. */
export interface LocalPostgres {
  /** Address of a new, empty database. */
  createDatabase(name: string): Promise<string>;
  stop(): Promise<void>;
}

/** Path of an executable on PATH, or null. */
export async function findOnPath(name: string): Promise<string | null> {
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(directory, name);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return null;
}

/**
 * Starts PostgreSQL in a temporary folder, reachable by a Unix socket in it and not by any network, never as root.
 * With `SEG_TEST_PG_URL` that server is used instead.
 *
 * @returns null when neither the variable nor `postgres` and `initdb` on PATH exist: the caller skips its suite by name
 */
export async function startPostgres(): Promise<LocalPostgres | null> {
  const given = process.env["SEG_TEST_PG_URL"];
  if (given !== undefined)
    return { createDatabase: (name) => createDatabase(given, name), stop: async () => undefined };
  const [initdb, postgres] = await Promise.all([findOnPath("initdb"), findOnPath("postgres")]);
  if (initdb === null || postgres === null || process.platform === "win32") return null;
  const directory = await mkdtemp(join(tmpdir(), "seg-pg-"));
  const isRoot = process.getuid?.() === 0;
  const user = isRoot ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {};
  if (isRoot) await chown(directory, UNPRIVILEGED, UNPRIVILEGED);
  const data = join(directory, "data");
  try {
    await run(initdb, ["-A", "trust", "-U", "seg", "-D", data, "--no-sync", "-E", "UTF8", "--locale=C"], {
      ...user,
      cwd: directory,
    });
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
  // A test's database need not survive the machine: nothing is flushed.
  const server = spawn(
    postgres,
    ["-D", data, "-k", directory, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100"],
    { ...user, cwd: directory, stdio: ["ignore", "ignore", "pipe"] },
  );
  let log = "";
  server.stderr.on("data", (chunk) => {
    log += chunk;
  });
  const url = `postgres://seg@localhost/postgres?host=${encodeURIComponent(directory)}`;
  const stop = async () => {
    await end(server);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await untilReady(url, server, () => log);
  } catch (error) {
    await stop();
    throw error;
  }
  return { createDatabase: (name) => createDatabase(url, name), stop };
}

async function untilReady(url: string, server: ChildProcess, log: () => string): Promise<void> {
  const { default: pg } = await import("pg");
  for (const deadline = Date.now() + START_TIMEOUT_MS; ; ) {
    if (server.exitCode !== null) throw new Error(`postgres ended with ${server.exitCode}: ${log()}`);
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function createDatabase(url: string, name: string): Promise<string> {
  const { default: pg } = await import("pg");
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`DROP DATABASE IF EXISTS "${name}"`);
    await client.query(`CREATE DATABASE "${name}"`);
  } finally {
    await client.end();
  }
  const own = new URL(url);
  own.pathname = `/${name}`;
  return own.href;
}

/** SIGINT is PostgreSQL's fast shutdown. */
async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null) return;
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGINT");
  await ended;
}
