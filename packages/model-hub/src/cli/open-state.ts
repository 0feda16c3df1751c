import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { objectBlobs } from "../registry/object-blobs.js";
import { type HubState, openHubState } from "../registry/open-hub-state.js";
import type { ObjectStore } from "../stores/object-store.js";
import { type OpenedStore, openObjectStore } from "../stores/open-object-store.js";
import type { TrainerModule } from "../training/types.js";
import type { CliCall, CliOption } from "./command.js";

/** Options of every command that works on the hub's database. */
export const STATE_OPTIONS: Readonly<Record<string, CliOption>> = {
  root: { type: "string", help: "folder of the hub [SEG_HUB_HOME, else ~/.cache/seg/hub]" },
  database: {
    type: "string",
    help: "postgres:// address or SQLite file [SEG_HUB_DATABASE, else <root>/registry.sqlite]",
  },
  store: {
    type: "string",
    help: "folder or s3+https://host/bucket of the models' bytes [SEG_HUB_STORE, else <root>/objects]",
  },
  redis: { type: "string", help: "redis:// address of the job queue [SEG_HUB_REDIS, else the database]" },
};

/** Folder of the hub: `--root`, `SEG_HUB_HOME`, `$XDG_CACHE_HOME/seg/hub`, `~/.cache/seg/hub`. */
export function hubRoot(call: CliCall): string {
  const { env } = call.io;
  const cache = env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  return resolve(call.text("root") ?? env["SEG_HUB_HOME"] ?? join(cache, "seg", "hub"));
}

/** The object store that `--store` or `SEG_HUB_STORE` names, else the folder `<root>/objects`. */
export const openStore = (call: CliCall): Promise<OpenedStore> =>
  openObjectStore({
    address: call.text("store") ?? call.io.env["SEG_HUB_STORE"] ?? join(hubRoot(call), "objects"),
    env: call.io.env,
  });

function openState(
  call: CliCall,
  store: ObjectStore,
  { trainers = [] }: { trainers?: readonly TrainerModule[] },
): Promise<HubState> {
  const { env } = call.io;
  const root = hubRoot(call);
  const databaseUrl = call.text("database") ?? env["SEG_HUB_DATABASE"];
  const redisUrl = call.text("redis") ?? env["SEG_HUB_REDIS"];
  return openHubState({
    root,
    store: objectBlobs(store),
    trainers,
    onDerivedError: (error, what) =>
      call.io.err(`warning: ${what}: ${error instanceof Error ? error.message : error}\n`),
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    ...(redisUrl === undefined ? {} : { redisUrl }),
  });
}

/** Runs `work` on the hub that the options and the environment name, and closes it. */
export async function withState<Result>(
  call: CliCall,
  work: (state: HubState) => Promise<Result>,
  options: { trainers?: readonly TrainerModule[] } = {},
): Promise<Result> {
  const opened = await openStore(call);
  try {
    const state = await openState(call, opened.store, options);
    try {
      return await work(state);
    } finally {
      await state.close();
    }
  } finally {
    opened.close();
  }
}
