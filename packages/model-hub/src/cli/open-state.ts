import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { type HubState, openHubState } from "../registry/open-hub-state.js";
import type { TrainerModule } from "../training/types.js";
import type { CliCall, CliOption } from "./command.js";

/** Options of every command that works on the hub's database. */
export const STATE_OPTIONS: Readonly<Record<string, CliOption>> = {
  root: { type: "string", help: "folder of the hub [SEG_HUB_HOME, else ~/.cache/seg/hub]" },
  database: {
    type: "string",
    help: "postgres:// address or SQLite file [SEG_HUB_DATABASE, else <root>/registry.sqlite]",
  },
  redis: { type: "string", help: "redis:// address of the job queue [SEG_HUB_REDIS, else the database]" },
};

/** Folder of the hub: `--root`, `SEG_HUB_HOME`, `$XDG_CACHE_HOME/seg/hub`, `~/.cache/seg/hub`. */
export function hubRoot(call: CliCall): string {
  const { env } = call.io;
  const cache = env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  return resolve(call.text("root") ?? env["SEG_HUB_HOME"] ?? join(cache, "seg", "hub"));
}

/** Opens what the options and the environment name. */
export function openState(
  call: CliCall,
  { trainers = [] }: { trainers?: readonly TrainerModule[] } = {},
): Promise<HubState> {
  const { env } = call.io;
  const root = hubRoot(call);
  const databaseUrl = call.text("database") ?? env["SEG_HUB_DATABASE"];
  const redisUrl = call.text("redis") ?? env["SEG_HUB_REDIS"];
  return openHubState({
    root,
    trainers,
    onDerivedError: (error, what) =>
      call.io.err(`warning: ${what}: ${error instanceof Error ? error.message : error}\n`),
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    ...(redisUrl === undefined ? {} : { redisUrl }),
  });
}

/** Runs `work` on an open hub and closes it. */
export async function withState<Result>(
  call: CliCall,
  work: (state: HubState) => Promise<Result>,
  options: { trainers?: readonly TrainerModule[] } = {},
): Promise<Result> {
  const state = await openState(call, options);
  try {
    return await work(state);
  } finally {
    await state.close();
  }
}
