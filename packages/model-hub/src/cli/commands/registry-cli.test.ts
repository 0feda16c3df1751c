import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../../test/databases.js";
import { cocoDocument } from "../../../test/datasets.js";
import { openRegistry } from "../../../test/open-registry.js";
import { runHub } from "../../../test/run-hub.js";
import { openDatabase } from "../../sql/open-database.js";
import { main } from "../main.js";

const directory = temporaryDirectory();
let root: string;

const run = (...argv: string[]) => runHub(argv, { env: { SEG_HUB_HOME: root, USER: "ana" } });
const json = async (...argv: string[]) => {
  const { status, out } = await run(...argv, "--json");
  expect(status).toBe(0);
  return JSON.parse(out);
};

beforeEach(() => {
  root = mkdtempSync(join(directory.path, "hub-"));
});

describe("seg-hub registry", () => {
  let names: string[];
  beforeEach(async () => {
    const sql = await openDatabase(join(root, "registry.sqlite"));
    const { registry } = openRegistry({ sql, root });
    names = [];
    for (const map50_95 of [0.4, 0.5]) {
      names.push(
        (
          await registry.register({
            metrics: { map50_95 },
            files: [{ path: "m.onnx", content: Buffer.from(`${map50_95}`) }],
          })
        ).version,
      );
    }
    await sql.close();
  });

  test("lists, shows, activates, rolls back, compares and tells the history", async () => {
    const [a, b] = names;
    expect((await json("registry", "list")).versions).toMatchObject([{ version: b }, { version: a }]);
    expect((await json("registry", "show", a!)).manifest.version).toBe(a);
    expect(await json("registry", "activate", a!, "--reason", "first")).toMatchObject({
      version: a,
      activated_by: "ana",
      changed: true,
    });
    await json("registry", "activate", b!);
    expect(await json("registry", "rollback")).toMatchObject({ version: a });
    expect((await json("registry", "compare", a!, b!)).overall).toBe("b");
    expect((await json("registry", "history")).history).toMatchObject([
      { kind: "rollback" },
      { kind: "activate", version: b },
      { reason: "first" },
    ]);
    const { out } = await run("registry", "list");
    expect(out).toMatch(new RegExp(`^${a}\\s+ready\\s+\\*\\s+0\\.4`, "m"));
    expect(await json("registry", "deactivate")).toMatchObject({ previous: a, version: null });
    expect((await json("registry", "repair")).damaged).toEqual([]);
    expect((await json("registry", "gc")).removed).toEqual([]);
  });

  test("says what it refuses and how: 1 failure, 2 bad usage, 3 damage", async () => {
    const [a] = names;
    await run("registry", "activate", a!);
    expect(await run("registry", "delete", a!, "--force")).toMatchObject({
      status: 1,
      err: expect.stringContaining("VERSION_ACTIVE"),
    });
    expect((await run("registry", "rollback")).status).toBe(1);
    expect((await run("registry", "show")).status).toBe(2);
    expect((await run("registry", "list", "--limit", "0")).status).toBe(2);
    expect((await run("registry", "list", "--surprise")).status).toBe(2);
    const sql = await openDatabase(join(root, "registry.sqlite"));
    await sql.write((tx) => tx.run("UPDATE version SET manifest = '{}' WHERE version = ?", [a!]));
    await sql.close();
    expect((await run("registry", "show", a!)).status).toBe(3);
    expect((await run("registry", "repair")).status).toBe(3);
    expect((await run("registry", "list", "--database", "mysql://x/y")).status).toBe(1);
  });
});

test("seg-hub tokens makes, lists and revokes; the secret is on stdout alone", async () => {
  const created = await run("tokens", "create", "--role", "admin", "--name", "ci", "--expires", "30d");
  expect(created.out).toMatch(/^segh_[\w-]{43}\n$/);
  expect(created.err).not.toContain(created.out.trim());
  const { tokens } = await json("tokens", "list");
  expect(tokens).toMatchObject([{ name: "ci", role: "admin", revoked_at: null }]);
  expect((await json("tokens", "revoke", tokens[0].id)).revoked_at).not.toBeNull();
  expect((await run("tokens", "create", "--role", "root")).status).toBe(2);
  expect((await run("tokens", "revoke", "nobody")).status).toBe(1);
});

test("seg-hub datasets and retrain: check, store, preview, queue, cancel, resume", async () => {
  const file = join(root, "bags.json");
  writeFileSync(file, cocoDocument(12));
  const trainer = `${new URL("../../training/fake-trainer.ts", import.meta.url).href}#fakeTrainer`;
  expect(await json("datasets", "add", file, "--check")).toMatchObject({ stored: false, records: 12 });
  expect(await json("datasets", "add", file)).toMatchObject({ stored: true });
  expect((await json("datasets", "list")).total_records).toBe(12);
  expect(await json("retrain", "--trainer", trainer, "--epochs", "4", "--dry-run")).toMatchObject({
    config: { epochs: 4, datasets: ["bags"] },
    estimate: { steps: 12 },
  });
  const { job_id } = await json("retrain", "--trainer", trainer, "--detach");
  expect((await json("jobs")).jobs).toMatchObject([{ id: job_id, state: "queued", created_by: "ana" }]);
  expect(await json("jobs", "cancel", job_id)).toMatchObject({ state: "cancelled" });
  expect((await run("jobs", "watch", job_id)).status).toBe(1);
  expect(await json("jobs", "resume", job_id)).toMatchObject({ state: "queued" });
  expect((await run("retrain", "--epochs", "x")).status).toBe(2);
  expect((await run("retrain")).err).toContain("no trainer");
  expect((await run("jobs", "--kind", "dance")).status).toBe(2);
});

test("seg-hub serve answers until it is interrupted and prints an administrator's token the first time", async () => {
  const run = async (work: (url: string, token: string | null) => Promise<void>) => {
    const stop = new AbortController();
    let worked: Promise<void> | null = null;
    const status = await main(["serve", "--root", root, "--port", "0", "--json"], {
      env: { HF_HOME: root },
      out(text) {
        const { url, token } = JSON.parse(text) as { url: string; token: string | null };
        worked = work(url, token).finally(() => stop.abort());
      },
      err: () => {},
      isTerminal: false,
      signal: stop.signal,
    });
    await worked;
    return status;
  };
  let first: string | null = null;
  const ask = async (url: string) =>
    (await fetch(`${url}/layers`, { headers: { authorization: `Bearer ${first}` } })).status;
  expect(
    await run(async (url, token) => {
      first = token;
      expect(await ask(url)).toBe(200);
    }),
  ).toBe(0);
  await run(async (url, token) => {
    expect([token, await ask(url)]).toEqual([null, 200]);
  });
});
