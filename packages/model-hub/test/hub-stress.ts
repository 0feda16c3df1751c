// npm run test:hub-stress -- [seconds] [clients] [processes] [kills] [download] [upload] [registry]: the long form of registry-processes.test.ts, download-processes.test.ts and
// put-processes.test.ts, on every database and store that is present. 0 seconds leaves the race out, 0 kills the killing; words choose parts.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { startPostgres } from "../src/sql/start-postgres.js";
import { startS3Server } from "../src/stores/start-s3-server.js";
import { startS3Double } from "../src/testing/s3-double.js";
import { killDownloading } from "./download-kills.js";
import type { StoreAddress } from "./put-child.js";
import { SCAN_PROBLEMS } from "./python-scan.js";
import { killRegistering } from "./registry-kills.js";
import { stressRegistry } from "./registry-stress.js";
import { killUploading } from "./upload-kills.js";

const given = process.argv.slice(2);
const isNumber = (text: string) => /^\d+$/.test(text);
const [seconds = 60, clients = 64, processes = 6, kills = 100] = given.filter(isNumber).map(Number);
const parts = given.filter((text) => !isNumber(text));
const isWanted = (part: string) => parts.length === 0 || parts.includes(part);
const root = mkdtempSync(join(tmpdir(), "seg-hub-stress-"));
const place = (name: string) => {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  return folder;
};
const say = (line: string, violations: readonly string[] = []) => {
  process.stdout.write(`${line}\n`);
  for (const violation of violations) process.stderr.write(`  ${violation}\n`);
  if (violations.length > 0) process.exitCode = 1;
};

async function downloads(): Promise<void> {
  const python = process.env["SEG_PEER_PYTHON"];
  const inspect = async (hfCache: string): Promise<readonly string[]> =>
    python === undefined
      ? []
      : (JSON.parse(execFileSync(python, ["-c", SCAN_PROBLEMS, hfCache], { encoding: "utf8" })) as string[]);
  const got = await killDownloading({ root: place("download"), kills, timed: true, inspect });
  say(
    `download: ${got.kills} SIGKILLs, ${got.completed} caches filled to the end, ${got.resumed} requests went on where a killed process stopped; ${
      python === undefined ? "Python's scan: skipped, no SEG_PEER_PYTHON" : "scanned by Python after each"
    }; ${got.violations.length} violations`,
    got.violations,
  );
}

async function uploads(): Promise<void> {
  const put = async (name: string, bucket: Extract<StoreAddress, { endpoint: string }> | null) => {
    const stored = await killUploading({ root: place(name), kills, bucket });
    say(
      `upload, ${name}: ${stored.kills} SIGKILLs, ${stored.completed} objects stored to the end, ${(stored.savedBytes / 2 ** 20).toFixed(1)} MiB not sent again; ${stored.violations.length} violations`,
      stored.violations,
    );
  };
  await put("folder", null);
  const double = await startS3Double();
  await put("S3 double", {
    endpoint: double.endpoint,
    bucket: double.bucket,
    ...double.credentials,
    partBytes: 1 << 16,
  });
  await double.close();
  const server = await startS3Server();
  if (server === null) {
    say("upload, versitygw: skipped, neither SEG_TEST_S3_ENDPOINT, _KEY, _SECRET and _BUCKET nor versitygw on PATH");
    return;
  }
  const address = { endpoint: server.endpoint, bucket: server.bucket ?? "seg-stress", ...server.credentials };
  try {
    await put("real S3 server", { ...address, partBytes: 5 << 20 });
  } finally {
    await server.stop();
  }
}

async function registries(): Promise<void> {
  const postgres = await startPostgres();
  let count = 0;
  const places: [string, () => Promise<string>][] = [["SQLite", async () => join(root, `${count++}.sqlite`)]];
  if (postgres === null) say("PostgreSQL: skipped, neither SEG_TEST_PG_URL nor postgres and initdb on PATH");
  else places.push(["PostgreSQL", () => postgres.createDatabase(`seg_stress_${count++}`)]);
  try {
    for (const [name, renew] of places) {
      if (kills > 0) {
        const killed = await killRegistering({ address: await renew(), root: join(root, `${name}-kills`), kills });
        say(
          `${name}: ${kills} SIGKILLs while registering: ${killed.announced} versions announced, ${killed.registered} found, ${killed.violations.length} violations`,
          killed.violations,
        );
      }
      if (seconds === 0) continue;
      // A new database: every version of it is counted.
      const address = await renew();
      const summary = await stressRegistry({ address, root: join(root, name), processes, clients, seconds });
      say(
        `${name}: ${processes} processes x ${clients} clients, ${seconds} s: ${summary.reads} reads, ${summary.registered} registered, ${summary.deleted} deleted, ${summary.activations} activations, refused ${JSON.stringify(summary.refused)}; ${summary.violations.length} violations`,
        summary.violations,
      );
    }
  } finally {
    await postgres?.stop();
  }
}

try {
  if (kills > 0 && isWanted("download")) await downloads();
  if (kills > 0 && isWanted("upload")) await uploads();
  if (isWanted("registry")) await registries();
} finally {
  rmSync(root, { recursive: true, force: true });
}
