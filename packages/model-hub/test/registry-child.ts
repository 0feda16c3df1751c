// One of several processes that work on one registry: node ... registry-child.ts '{"mode": ..., ...}'; the answer is one line of JSON.
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { HubError } from "../src/errors.js";
import { openDatabase } from "../src/sql/open-database.js";
import { openRegistry } from "./open-registry.js";
import { randomOf } from "./random-of.js";

export interface ChildTask {
  readonly mode: "register" | "stress" | "register-files";
  readonly address: string;
  readonly root: string;
  readonly seed: number;
  /** Registrations of `register`. */
  readonly count?: number;
  /** Of `stress`. */
  readonly clients?: number;
  readonly seconds?: number;
}

export interface StressResult {
  readonly reads: number;
  readonly registered: readonly string[];
  readonly deleted: readonly string[];
  readonly activations: number;
  /** Refusals that the rules demand, by code. */
  readonly refused: Readonly<Record<string, number>>;
  /** What must not be. */
  readonly violations: readonly string[];
}

const task = JSON.parse(process.argv[2]!) as ChildTask;
const sql = await openDatabase(task.address);
const { registry, derivedErrors } = openRegistry({ sql, root: task.root });

const random = randomOf(task.seed + 1);

async function registerMany(count: number): Promise<string[]> {
  const names: string[] = [];
  for (let i = 0; i < count; i++) names.push((await registry.register({ tags: [`p${task.seed}`] })).version);
  return names;
}

/** Registers versions with files until it is killed. */
async function registerFiles(): Promise<never> {
  for (let i = 0; ; i++) {
    const content = Buffer.from(`${task.seed} ${i} `.repeat(5000));
    const { version } = await registry.register({
      run_id: `${task.seed}-${i}`,
      files: [
        { path: "model.onnx", content },
        { path: "preprocessor.json", content: Buffer.from("{}") },
      ],
    });
    process.stdout.write(`${version}\n`);
  }
}

async function stress(clients: number, seconds: number): Promise<StressResult> {
  const registered: string[] = [];
  const deleted: string[] = [];
  const refused: Record<string, number> = {};
  const violations: string[] = [];
  let reads = 0;
  let activations = 0;
  const MIN_ROUNDS = 3;
  const until = Date.now() + seconds * 1000;
  /** Codes that an action may answer with when others act at the same time. */
  const allowed = async (codes: readonly string[], action: () => Promise<unknown>) => {
    try {
      await action();
      return true;
    } catch (error) {
      if (!HubError.isInstance(error) || !codes.includes(error.code)) throw error;
      refused[error.code] = (refused[error.code] ?? 0) + 1;
      return false;
    }
  };
  const check = (isFine: boolean, what: string) => {
    if (!isFine) violations.push(what);
  };
  const readActive = async () => {
    reads++;
    const active = await registry.active();
    check(active !== null, "no version is active");
    check(active?.state === "ready" && active.is_active, `the active version is ${active?.state}`);
    check(active?.manifest.version === active?.version, "the active version has another's manifest");
  };
  const read = async () => {
    for (let i = 0; i < 4; i++) await readActive();
    reads++;
    const page = await registry.list({ limit: 50 });
    const marked = page.versions.filter(({ is_active }) => is_active);
    check(marked.length <= 1, `${marked.length} versions are active`);
    check(
      page.versions.every(({ state: shown }) => shown === "ready"),
      "a version is not ready",
    );
    check(new Set(page.versions.map(({ version }) => version)).size === page.versions.length, "a version twice");
    return page.versions.map(({ version }) => version);
  };
  const client = async (id: number) => {
    await sleep(random(50));
    // However slow the machine is, everybody acts.
    for (let rounds = 0; rounds < MIN_ROUNDS || Date.now() < until; rounds++) {
      const names = await read();
      const name = names[random(names.length)]!;
      const action = random(10);
      if (action < 3) registered.push((await registry.register({ description: `client ${task.seed}.${id}` })).version);
      else if (action < 6) {
        const done = await allowed(["NOT_FOUND"], () => registry.activate(name, { actor: `${task.seed}.${id}` }));
        if (done) activations++;
      } else if (action < 9) {
        const done = await allowed(["NOT_FOUND", "VERSION_ACTIVE", "CONFLICT"], () => registry.delete(name));
        if (done) deleted.push(name);
      } else if (await allowed(["NO_PREVIOUS_VERSION"], () => registry.rollback())) activations++;
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, id) => client(id)));
  violations.push(...derivedErrors.map(String));
  return { reads, registered, deleted, activations, refused, violations: [...new Set(violations)] };
}

if (task.mode === "register-files") await registerFiles();
const answer =
  task.mode === "register" ? await registerMany(task.count ?? 100) : await stress(task.clients ?? 8, task.seconds ?? 2);
process.stdout.write(`${JSON.stringify(answer)}\n`);
await sql.close();
