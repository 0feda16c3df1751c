import { existsSync, readFileSync } from "node:fs";
import type { Fact, Plan } from "@seg/model-hub";
import { Document, isMap, isScalar, parse } from "yaml";
import { z } from "zod";
import { CommandError, UsageError } from "../errors.js";
import { nearest } from "../option-names.js";

const fact = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const choice = z.union([fact, z.array(fact)]);
const schema = z.strictObject({
  version: z.literal(1),
  /** What is carried out; people edit here. */
  choices: z.record(z.string(), choice),
  /** What the advisor said. */
  advised: z.record(z.string(), z.strictObject({ value: choice, why: z.string() })),
  plan: z.string(),
  student_seconds: z.number().nullable().default(null),
  warnings: z.array(z.string()).default([]),
});

/** A value of a plan. */
export type Choice = z.infer<typeof choice>;
/** `plan.yaml`: what to do, and what the advisor said about it. */
export type PlanFile = z.infer<typeof schema>;

/** A choice that a person made otherwise. */
export interface Change {
  readonly output: string;
  readonly advised: Choice;
  readonly chosen: Choice;
}

const same = (a: Choice, b: Choice): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Choices of a plan that differ from what was advised. */
export const changesOf = ({ choices, advised }: PlanFile): Change[] =>
  Object.entries(choices).flatMap(([output, chosen]) => {
    const own = advised[output];
    return own === undefined || same(own.value, chosen) ? [] : [{ output, advised: own.value, chosen }];
  });

/** Reason of a choice: the advisor's, or that a person changed it. */
export function reasonOf({ choices, advised }: PlanFile, output: string): string {
  const own = advised[output];
  if (own === undefined) return "you decided it";
  if (same(own.value, choices[output] ?? null)) return own.why;
  return `you decided it; advised was ${shown(own.value)}: ${own.why}`;
}

/** A value in words. */
export const shown = (value: Choice | undefined): string => {
  if (value === undefined || value === null) return "none";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(3))) : String(value);
};

/**
 * A plan of the advisor as a file.
 *
 * @param decided - outputs that a person decided
 * @param advised - the plan without those decisions: beside each of them stands what it said. What merely follows from a decision is advised.
 */
export function planFile(
  plan: Plan,
  { decided = [], advised = plan }: { decided?: readonly string[]; advised?: Plan } = {},
): PlanFile {
  const withoutDecisions = new Map(advised.trace.map((entry) => [entry.output, entry]));
  return {
    version: 1,
    choices: { ...plan.choices } as Record<string, Choice>,
    advised: Object.fromEntries(
      plan.trace.map((entry) => {
        const { value, reason } = (decided.includes(entry.output) && withoutDecisions.get(entry.output)) || entry;
        return [entry.output, { value: value as Choice, why: reason }];
      }),
    ),
    plan: advised.id,
    student_seconds: plan.estimates.training_seconds,
    warnings: [...plan.warnings],
  };
}

/** YAML of a plan: every choice with its reason as a comment, then what the advisor said. */
export function planYaml(plan: PlanFile): string {
  const document = new Document(plan);
  document.commentBefore =
    " What to do with this dataset. Change the values under `choices`, then: seg run --data ... --plan THIS_FILE\n" +
    " Lines that you remove are decided again. `advised` is the record of what was recommended; leave it as it is.";
  const choices = document.get("choices");
  if (isMap(choices)) {
    for (const { key, value } of choices.items) {
      if (isScalar(key) && isScalar(value)) value.comment = ` ${reasonOf(plan, String(key.value))}`;
      else if (isScalar(key)) key.commentBefore = ` ${reasonOf(plan, String(key.value))}`;
    }
  }
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

/**
 * @param known - outputs that the advisor decides
 * @throws {@link UsageError} for a missing file, no YAML, another structure or an unknown output, naming the nearest
 */
export function readPlanFile(path: string, known: readonly string[]): PlanFile {
  if (!existsSync(path)) throw new UsageError(`${path} does not exist: seg run --data FILE --until plan writes one.`);
  let content: unknown;
  try {
    content = parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`${path} is not YAML: ${(error as Error).message.split("\n")[0]}`);
  }
  const result = schema.safeParse(content);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new CommandError({
      code: "cli/plan-damaged",
      message: `${path} is no plan: ${issue!.path.join(".") || "the top"}: ${issue!.message}. Write it anew with seg run --data FILE --from plan --until plan, and change only values under choices.`,
    });
  }
  for (const output of Object.keys(result.data.choices)) {
    if (known.includes(output)) continue;
    const hint = nearest(output, known);
    throw new UsageError(
      `${path}: the advisor decides no "${output}".${hint === null ? "" : ` Did you mean "${hint}"?`} Known: ${known.join(", ")}.`,
    );
  }
  return result.data;
}

/** Values of a plan as the learning store keeps them: lists are one text. */
export const plainFacts = (choices: Readonly<Record<string, Choice>>): Record<string, Fact> =>
  Object.fromEntries(
    Object.entries(choices).map(([output, value]) => [output, Array.isArray(value) ? value.join(" ") : value]),
  );
