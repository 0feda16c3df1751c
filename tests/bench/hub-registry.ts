import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { folderBlobs, HubEvents, ModelRegistry, openDatabase } from "@seg/model-hub";
import { startPostgres } from "@seg/model-hub/testing";
import type { Registered } from "./hub-registry-child.js";
import { type BenchResult, median } from "./result.js";

const PROCESSES = 6;
const EACH = 100;
/** Long enough for six processes to start on two busy cores. */
const START_MS = 12_000;
const VERSIONS = 10_000;
const PAGES = 200;

const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.ceil(values.length * share) - 1)]!;

/** Registry: concurrent registration, and listing of 10,000 versions; on SQLite and, where it is installed, on PostgreSQL. */
export async function hubRegistry(): Promise<BenchResult[]> {
  const root = mkdtempSync(join(tmpdir(), "seg-bench-registry-"));
  const postgres = await startPostgres();
  const results: BenchResult[] = [];
  try {
    const places: [string, () => Promise<string>][] = [["SQLite", async () => join(root, "sqlite", "registry.sqlite")]];
    if (postgres !== null) places.push(["PostgreSQL, fsync off", () => postgres.createDatabase("seg_bench")]);
    for (const [name, address] of places) {
      const url = await address();
      results.push(await registration(name, url, join(root, name)));
      results.push(...(await listing(name, url, join(root, name))));
    }
  } finally {
    await postgres?.stop();
    rmSync(root, { recursive: true, force: true });
  }
  return results;
}

async function registration(name: string, address: string, root: string): Promise<BenchResult> {
  await (await openDatabase(address)).close();
  const startMs = Date.now() + START_MS;
  const children = await Promise.all(
    Array.from({ length: PROCESSES }, () => runChild([address, root, String(EACH), String(startMs)])),
  );
  const names = new Set(children.flatMap((child) => child.names));
  if (names.size !== PROCESSES * EACH) throw new Error(`${names.size} distinct versions of ${PROCESSES * EACH}`);
  const began = Math.min(...children.map(({ beganMs }) => beganMs));
  const ended = Math.max(...children.map(({ endedMs }) => endedMs));
  return {
    bench: "hub-registry",
    case: `${PROCESSES} processes x ${EACH} registrations, ${name}`,
    value: (ended - began) / 1000,
    unit: "s",
    note: `${names.size} distinct; CPU ${(children.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / 1000).toFixed(1)} s; with folder and manifest file; load ${loadavg()[0]!.toFixed(1)}`,
  };
}

function runChild(args: readonly string[]): Promise<Registered> {
  const program = fileURLToPath(new URL("./hub-registry-child.ts", import.meta.url));
  const child = spawn(process.execPath, ["--conditions=@seg/source", "--import", "tsx", program, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0 ? resolve(JSON.parse(output) as Registered) : reject(new Error(`child ended with ${code}`)),
    );
  });
}

async function listing(name: string, address: string, root: string): Promise<BenchResult[]> {
  const sql = await openDatabase(address);
  const registry = new ModelRegistry({
    sql,
    root,
    events: new HubEvents(),
    store: folderBlobs(root),
  });
  try {
    await fill(registry, sql);
    const list = async (limit: number, cursor: string | null) => {
      const began = performance.now();
      const page = await registry.list({ model: "big", limit, cursor });
      return { page, ms: performance.now() - began };
    };
    const cpu = process.cpuUsage();
    const times: number[] = [];
    for (let cursor: string | null = null, i = 0; i < PAGES; i++) {
      const { page, ms } = await list(50, cursor);
      if (page.total !== VERSIONS || page.versions.some(({ state }) => state !== "ready"))
        throw new Error("the listing is wrong");
      times.push(ms);
      cursor = page.next_cursor;
    }
    const used = process.cpuUsage(cpu);
    const whole: number[] = [];
    for (let run = 0; run < 5; run++) {
      const began = performance.now();
      let seen = 0;
      for (let cursor: string | null = null; ; ) {
        const { page } = await list(1000, cursor);
        seen += page.versions.length;
        cursor = page.next_cursor;
        if (cursor === null) break;
      }
      if (seen !== VERSIONS) throw new Error(`${seen} versions listed of ${VERSIONS}`);
      whole.push(performance.now() - began);
    }
    return [
      {
        bench: "hub-registry",
        case: `page of 50 of ${VERSIONS} versions, p95, ${name}`,
        value: percentile(times, 0.95),
        unit: "ms",
        note: `median ${median(times).toFixed(2)} ms, worst ${Math.max(...times).toFixed(2)} ms, CPU ${((used.user + used.system) / 1000 / PAGES).toFixed(2)} ms a page; each manifest hashed`,
      },
      {
        bench: "hub-registry",
        case: `all ${VERSIONS} versions in pages of 1000, ${name}`,
        value: median(whole),
        unit: "ms",
        note: `fastest of 5 ${Math.min(...whole).toFixed(0)} ms; each manifest hashed`,
      },
    ];
  } finally {
    await sql.close();
  }
}

/** 10,000 versions like a registered one, written in a few transactions. */
async function fill(registry: ModelRegistry, sql: Awaited<ReturnType<typeof openDatabase>>): Promise<void> {
  const first = await registry.register({
    model: "big",
    files: [{ path: "model.onnx", content: Buffer.from("weights") }],
    metrics: {
      accuracy: 0.8,
      precision: 0.81,
      recall: 0.79,
      map50_95: 0.5,
      loss: 0.1,
      training_samples: 5000,
      training_time: 900,
    },
    params: { epochs: 30, batch_size: 16, learning_rate: 0.001, hidden_size: 16 },
    description: "one of many",
    tags: ["bench"],
  });
  const [row] = await sql.all("SELECT * FROM version WHERE model = 'big'");
  const columns = Object.keys(row!);
  const text = String(row!["manifest"]);
  for (let at = 2; at <= VERSIONS; at += 1000) {
    await sql.write(async (tx) => {
      for (let seq = at; seq < Math.min(at + 1000, VERSIONS + 1); seq++) {
        const second = new Date(Date.UTC(2020, 0, 1) + seq * 1000).toISOString().replace(/[-:]/g, "");
        const version = `v${second.slice(0, 8)}_${second.slice(9, 15)}`;
        const manifest = text.replace(first.version, version).replace('"seq":1,', `"seq":${seq},`);
        const own: Record<string, string | number> = {
          version,
          seq,
          manifest,
          manifest_sha256: createHash("sha256").update(manifest).digest("hex"),
        };
        await tx.run(
          `INSERT INTO version (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
          columns.map((column) => own[column] ?? row![column]!),
        );
      }
    });
  }
}
