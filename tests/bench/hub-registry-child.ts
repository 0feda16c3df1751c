// One process of the registration benchmark: ADDRESS ROOT COUNT START_MS -> a line of JSON.
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { folderBlobs, HubEvents, ModelRegistry, openDatabase } from "@seg/model-hub";

/** What the process prints. */
export interface Registered {
  readonly names: readonly string[];
  readonly beganMs: number;
  readonly endedMs: number;
  readonly cpuMs: number;
}

const [address = "", root = "", count = "0", startMs = "0"] = process.argv.slice(2);
const sql = await openDatabase(address);
const registry = new ModelRegistry({
  sql,
  root,
  events: new HubEvents(),
  store: folderBlobs(root),
});
// All begin together, whatever their start took.
await sleep(Math.max(0, Number(startMs) - Date.now()));
const cpu = process.cpuUsage();
const beganMs = Date.now();
const names: string[] = [];
for (let i = 0; i < Number(count); i++) names.push((await registry.register({ metrics: { map50_95: 0.5 } })).version);
const { user, system } = process.cpuUsage(cpu);
const registered: Registered = { names, beganMs, endedMs: Date.now(), cpuMs: (user + system) / 1000 };
process.stdout.write(`${JSON.stringify(registered)}\n`);
await sql.close();
