import { loadDataset } from "@seg/coco-dataset";
import {
  type AdvisedPlan,
  Advisor,
  type Constraints,
  type DatasetFingerprint,
  type Fact,
  fingerprintDataset,
  type LearningStore,
  type Priority,
  readMemory,
} from "@seg/model-hub";
import { imagesDirectory } from "../files.js";
import { type PlanFile, planFile } from "./plan-file.js";

/** What a person says about a run before it is planned. */
export interface PlanWishes {
  readonly priority: Priority;
  readonly device: "cpu" | "accelerator";
  readonly domain: string | null;
  readonly task: string | null;
  readonly timeBudgetSeconds: number | null;
  /** Measured seconds of a training image per GFLOP; null: what the rules say. */
  readonly secondsPerGflop: number | null;
  readonly permissive: boolean;
  readonly overrides: Readonly<Record<string, Fact>>;
}

/** A plan with what it rests on. */
export interface RunPlan {
  readonly file: PlanFile;
  readonly plan: AdvisedPlan;
  readonly fingerprint: DatasetFingerprint;
}

/**
 * The advisor's plan for a training split (AUTO), with a person's overrides (MANUAL) or an edited plan (ASSISTED): its choices stand, what it
 * does not name is decided. Only the training split is looked at: what is measured later plays no part in any decision.
 *
 * @param data - COCO file of the split
 * @param edited - a plan of a person
 */
export async function makeRunPlan(
  data: string,
  {
    images,
    wishes,
    edited = null,
    learning = null,
    signal,
  }: {
    images?: string | undefined;
    wishes: PlanWishes;
    edited?: PlanFile | null;
    learning?: LearningStore | null;
    signal: AbortSignal;
  },
): Promise<RunPlan> {
  const dataset = await loadDataset(data);
  const imagesDir = await imagesDirectory({ dataset, path: data, option: images });
  const fingerprint = await fingerprintDataset(dataset, { imagesDir, signal });
  const constraints: Constraints = {
    device: wishes.device,
    freeBytes: (await readMemory()).availableBytes,
    permissiveOnly: wishes.permissive,
    ...(wishes.timeBudgetSeconds === null ? {} : { timeBudgetSeconds: wishes.timeBudgetSeconds }),
    ...(wishes.secondsPerGflop === null ? {} : { secondsPerGflop: wishes.secondsPerGflop }),
  };
  const advisor = new Advisor({ learning });
  const recommend = (overrides: Readonly<Record<string, Fact>>) =>
    advisor.recommend({
      fingerprint,
      mode: "auto",
      priority: wishes.priority,
      constraints,
      overrides,
      ...(wishes.task === null ? {} : { task: wishes.task }),
      ...(wishes.domain === null ? {} : { domain: wishes.domain }),
    });
  const lists = Object.entries(edited?.choices ?? {}).filter(([, value]) => Array.isArray(value));
  const given = Object.fromEntries(
    Object.entries(edited?.choices ?? {}).flatMap(([output, value]) => (Array.isArray(value) ? [] : [[output, value]])),
  );
  const overrides = { ...given, ...wishes.overrides };
  const plan = await recommend(overrides);
  const decided = Object.keys(overrides);
  const own = planFile(plan, { decided, advised: decided.length === 0 ? plan : await recommend({}) });
  return {
    plan,
    fingerprint,
    file: {
      ...own,
      choices: { ...own.choices, ...Object.fromEntries(lists) },
      ...(edited === null ? {} : { advised: { ...own.advised, ...edited.advised }, plan: edited.plan }),
    },
  };
}
