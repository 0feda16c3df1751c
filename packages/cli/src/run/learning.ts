import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createHub, LearningStore, openDatabase } from "@seg/model-hub";

/** The learning store of this machine's hub. */
export interface OpenLearning {
  readonly store: LearningStore;
  /** Where it is, for people. */
  readonly where: string;
  close(): Promise<void>;
}

/** Opens the hub's learning store where there is one: the database that `SEG_HUB_DATABASE` names, or `registry.sqlite` in the hub's folder. Never makes one. */
export async function openLearning(env: NodeJS.ProcessEnv = process.env): Promise<OpenLearning | null> {
  const root = createHub().environment.segHome;
  const where = env["SEG_HUB_DATABASE"] ?? join(root, "registry.sqlite");
  if (env["SEG_HUB_DATABASE"] === undefined && !existsSync(where)) return null;
  const sql = await openDatabase(where);
  const shown = /^postgres/.test(where) ? "the hub's database" : where;
  return {
    store: new LearningStore({ sql, log: join(root, "feedback.jsonl") }),
    where: shown,
    close: () => sql.close(),
  };
}

/** A name that no other run has. */
export const newRunId = (): string => `run-${randomUUID()}`;
