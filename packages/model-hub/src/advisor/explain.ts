import type { Counterfactual } from "./counterfactuals.js";
import type { TraceEntry } from "./decide.js";
import type { Fact } from "./facts.js";
import type { Plan } from "./plan.js";
import { CONDITIONS, MEANINGS, NUMBERS } from "./plan-glossary.js";

/** How much an explanation says; each level holds what the one before it says. */
export type ExplainLevel = "minimal" | "standard" | "detailed" | "technical";

/** What users would use without a plan: the values that the tools start with. */
const DEFAULTS: Readonly<Record<string, string>> = {
  image_size: "640",
  lora_rank: "8",
  batch: "16",
  augmentation: "medium",
  export: "int8",
};

/** Outputs by topic, in the order in which a person would ask. */
const TOPICS: readonly (readonly [title: string, outputs: readonly string[]])[] = [
  ["Models", ["detector_teacher", "mask_teacher", "student", "student_weights"]],
  [
    "Images",
    ["image_size", "augmentation", "mosaic", "close_mosaic", "flip_vertical", "lighting", "camera", "characteristics"],
  ],
  [
    "Training",
    [
      "lora_rank",
      "lora_alpha",
      "lora_epochs",
      "student_epochs",
      "batch",
      "learning_rate",
      "warmup_epochs",
      "optimizer",
      "schedule",
      "ema",
    ],
  ],
  ["Use", ["box_threshold", "text_threshold", "export"]],
];

/**
 * A plan in words, plain text of at most 100 columns.
 *
 * | level | says |
 * |---|---|
 * | minimal | one line: what is trained and how |
 * | standard | every choice with its reason, against the defaults, what it costs, warnings |
 * | detailed | what the data is like, the alternatives, what would change a choice, tips |
 * | technical | rule ids, inputs, thresholds, the plan as JSON |
 */
export function explainPlan(plan: Plan, level: ExplainLevel = "standard"): string {
  const sections = [minimal(plan)];
  if (level !== "minimal") sections.push(...standard(plan));
  if (level === "detailed" || level === "technical") sections.push(...detailed(plan));
  if (level === "technical") sections.push(...technical(plan));
  return `${sections.join("\n\n")}\n`;
}

function minimal({ choices }: Plan): string {
  const teachers = [choices["detector_teacher"], choices["mask_teacher"]].filter((teacher) => teacher !== null);
  const from = teachers.length === 0 ? "" : ` taught by ${teachers.join(" and ")}`;
  return `${choices["student"]} at ${choices["image_size"]} px${from}, ${choices["student_epochs"]} epochs, batch ${choices["batch"]}, exported as ${choices["export"]}.`;
}

function standard(plan: Plan): string[] {
  const byOutput = new Map(plan.trace.map((entry) => [entry.output, entry]));
  const named = new Set(TOPICS.flatMap(([, outputs]) => outputs));
  const topics = [
    ...TOPICS,
    ["Other", plan.trace.map(({ output }) => output).filter((output) => !named.has(output))] as const,
  ];
  const sections = topics.flatMap(([title, outputs]) => {
    const lines = outputs.flatMap((output) => {
      const entry = byOutput.get(output);
      return entry === undefined ? [] : [choiceLine(entry)];
    });
    return lines.length === 0 ? [] : [`${title}\n${lines.join("\n")}`];
  });
  const { estimates } = plan;
  const costs = [
    `  ${estimates.steps} training steps${estimates.training_seconds === null ? "; the time is unknown until a step was measured" : ` of the student, about ${duration(estimates.training_seconds)}`}`,
    `  memory of a student's step: ${bytes(estimates.student_training_bytes)}; of a teacher's: ${bytes(estimates.teacher_training_bytes)}`,
    `  size on the device: ${bytes(estimates.export_bytes)}${estimates.gflops === null ? "" : `, ${estimates.gflops.toPrecision(3)} GFLOPs an image`}${estimates.latency_ms === null ? "" : `, ${estimates.latency_ms.toPrecision(2)} ms`}`,
  ];
  sections.push(`What it costs\n${costs.join("\n")}`);
  if (plan.warnings.length > 0) sections.push(`Look out\n${plan.warnings.map((line) => `  ${line}`).join("\n")}`);
  return sections;
}

function choiceLine(entry: TraceEntry): string {
  const { output, reason, exceeded } = entry;
  const value = shown(entry.value);
  const normal = DEFAULTS[output];
  const against = normal === undefined || normal === value ? "" : ` (instead of ${normal})`;
  const refused = exceeded.map(
    ({ model, limit, needed, available }) =>
      `; ${model} would need ${limit === "latency" ? `${needed.toPrecision(2)} ms of ${available.toPrecision(2)}` : `${bytes(needed)} of ${bytes(available)}`}`,
  );
  return `  ${words(output).padEnd(17)} ${value}${against} - ${reason}${refused.join("")}`;
}

function detailed(plan: Plan): string[] {
  const { facts, complexity, trace, options, counterfactuals } = plan;
  const share = (name: string) => `${Math.round(Number(facts[name]) * 100)} %`;
  const data = [
    `  ${facts["images"]} images, ${facts["objects"]} objects of ${facts["classes"]} class${facts["classes"] === 1 ? "" : "es"}, half of the images have ${Number(facts["median_objects"])} or more`,
    `  ${share("small_share")} of the objects are below 1 % of their image; nine of ten have a short side above ${(Number(facts["short_side_p10"]) * 100).toPrecision(2)} % of its long side`,
    `  ${share("overlap_share")} overlap another one; the most frequent class has ${Number(facts["imbalance"]).toPrecision(2)} times the objects of the rarest`,
    ...(facts["looks_known"] === true
      ? [
          `  brightness ${gray(facts["brightness"])}, contrast ${gray(facts["contrast"])}, sharpness ${short(Number(facts["sharpness"]))} (of the usual image; gray 0 to 255)`,
        ]
      : []),
    `  how hard it is, 0 to 1: ${complexity.level} (${complexity.value.toFixed(2)}); ${Object.entries(complexity.terms)
      .map(([name, value]) => `${name} ${value.toFixed(2)}`)
      .join(", ")}`,
  ];
  const others = trace.flatMap(({ output, value, alternatives }) =>
    alternatives.length === 0
      ? []
      : [`  ${words(output).padEnd(17)} ${shown(value)}; could be ${alternatives.map(shown).join(", ")}`],
  );
  const table = options.map(
    ({ student, quality, gflops, training_bytes, objective, is_pareto }) =>
      `  ${student.padEnd(12)} accuracy ${quality ?? "unknown"}, computing ${gflops?.toPrecision(3) ?? "unknown"}, memory ${bytes(training_bytes)}${objective === null ? "" : `, fit ${objective.toFixed(2)}`}${is_pareto ? "" : " (another one is better in everything)"}`,
  );
  const flips = counterfactualLines(counterfactuals).map((line) => `  ${line}`);
  const meanings = trace.flatMap(({ output }) =>
    MEANINGS[output] === undefined ? [] : [`  ${words(output).padEnd(17)} ${MEANINGS[output]}`],
  );
  return [
    `The data\n${data.join("\n")}`,
    `Students of this kind (accuracy: mAP50-95 on everyday photos, of 100; computing: GFLOPs an image; fit to the priority, of 1)\n${table.join("\n")}`,
    `Alternatives\n${others.join("\n")}`,
    `What would change a choice\n${flips.length === 0 ? "  nothing that was tried" : flips.join("\n")}`,
    `What the words mean\n${meanings.join("\n")}`,
  ];
}

function technical(plan: Plan): string[] {
  const chain = plan.trace.map(({ output, rule_id, kind, inputs, thresholds, value }) => {
    const given = Object.entries(inputs).map(
      ([name, fact]) => `${name}=${typeof fact === "number" ? Number(fact.toPrecision(6)) : fact}`,
    );
    const compared = Object.keys(thresholds).length === 0 ? "" : ` when ${JSON.stringify(thresholds)}`;
    return `  ${output} = ${shown(value)}  [${rule_id || "none"}, ${kind}]${compared}${given.length === 0 ? "" : `; ${given.join(", ")}`}`;
  });
  return [`Rules\n${chain.join("\n")}`, JSON.stringify(plan, null, 2)];
}

/**
 * What would change choices, a line for each condition.
 * @example ["if the number of images were 500 or more (now 364): student yolov8s-seg, augmentation medium"]
 */
function counterfactualLines(flips: readonly Counterfactual[]): string[] {
  const lines = new Map<string, string[]>();
  for (const flip of flips) {
    const condition = conditionOf(flip);
    const changed = `${words(flip.output)} ${shown(flip.to)}`;
    const known = lines.get(condition);
    if (known === undefined) lines.set(condition, [changed]);
    else known.push(changed);
  }
  return [...lines].map(([condition, changes]) => `if ${condition}: ${changes.join(", ")}`);
}

function conditionOf({ fact, now, movedTo }: Counterfactual): string {
  const condition = CONDITIONS[fact];
  if (Array.isArray(condition)) return condition[movedTo === true ? 1 : 0]!;
  if (typeof condition === "string") return `${condition.replace("%", shown(movedTo))} (now ${shown(now)})`;
  const say = (value: Fact) =>
    fact.endsWith("_bytes") ? bytes(value as number) : fact.endsWith("_s") ? duration(value as number) : shown(value);
  if (fact === "time_budget_s" && now === null) return "there were hardly any time (now there is no limit)";
  const isNumber = typeof movedTo === "number" && typeof now === "number";
  const side = !isNumber || movedTo === 0 ? "" : movedTo > now ? " or more" : " or less";
  return `the ${NUMBERS[fact] ?? words(fact)} were ${say(movedTo)}${side} (now ${say(now)})`;
}

const words = (name: string): string => name.replaceAll("_", " ");
const gray = (fact: unknown): string => String(Math.round(Number(fact)));

function shown(value: TraceEntry["value"] | undefined): string {
  if (value === null || value === undefined) return "none";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(3))) : String(value);
}

function bytes(value: number | null): string {
  if (value === null) return "not measured";
  return value >= 1e9 ? `${short(value / 1e9)} GB` : `${short(value / 1e6)} MB`;
}

/** Two digits that count, never with an exponent; one decimal below 10. */
function short(value: number): string {
  const rounded = Number(value.toPrecision(2));
  return rounded < 10 ? rounded.toFixed(1) : String(rounded);
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
