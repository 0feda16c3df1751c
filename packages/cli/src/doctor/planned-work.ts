import { defaultRules } from "@seg/model-hub";
import { makeRunPlan } from "../run/make-run-plan.js";
import type { PlannedWork } from "./diagnose.js";

/** Copies of the student's weights that a run leaves: the last and best checkpoints with the optimiser's two moments and the average, the student, its artefacts. */
const COPIES = 12;
/** Splits, pictures, report and the adapters of small teachers, bytes. */
const REST = 60e6;

/**
 * What `seg run` would do with a dataset, as far as it takes memory and disk.
 *
 * @throws HubError `NO_ANNOTATIONS`, `NO_FEASIBLE_PLAN`; what reading the data throws
 */
export async function plannedWork(
  data: string,
  { images, signal }: { images: string | undefined; signal: AbortSignal },
): Promise<PlannedWork> {
  const { plan } = await makeRunPlan(data, {
    images,
    wishes: {
      priority: "balanced",
      device: "cpu",
      domain: null,
      task: null,
      timeBudgetSeconds: null,
      secondsPerGflop: null,
      permissive: false,
      overrides: {},
    },
    signal,
  });
  const { choices, estimates } = plan;
  const weights = defaultRules().models[String(choices["student"])]?.weights ?? 0;
  return {
    what: `training ${choices["student"]} at ${choices["image_size"]} px in batches of ${choices["batch"]}`,
    memoryBytes: estimates.student_training_bytes,
    diskBytes: COPIES * weights + REST,
  };
}
