import type { Output } from "./output.js";
import type { ResolvedConfig } from "./resolve-config.js";

/** A choice with its reason. */
export interface Decision {
  readonly what: string;
  readonly choice: string;
  readonly why: string;
}

/** What a command would do. */
export interface DryRun {
  readonly decisions: readonly Decision[];
  /** What would be computed, in order. */
  readonly steps: readonly string[];
  /** Files and folders that would be written or replaced. */
  readonly writes: readonly { readonly path: string; readonly what: string }[];
}

/** Addresses without their passwords: what a dry run says ends in logs. */
const withoutSecrets = <T>(value: T): T =>
  JSON.parse(JSON.stringify(value), (_, item) =>
    typeof item === "string" ? item.replace(/^(\w[\w+]*:\/\/[^:/@]*):[^@]*@/, "$1:***@") : item,
  ) as T;

const shown = (value: unknown): string => (Array.isArray(value) ? value.join(", ") : String(value));

/** Rows with columns of equal width; the last is as long as it is. */
export function formatTable(rows: readonly (readonly string[])[], indent = "  "): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => (indent + row.map((cell, k) => cell.padEnd(widths[k]!)).join("  ")).trimEnd()).join("\n");
}

/** Says what a command would do: every setting with its origin, the decisions with their reasons, the steps and the files. */
export function reportDryRun({
  command,
  config,
  output,
  plan: given,
}: {
  command: string;
  config: ResolvedConfig;
  output: Output;
  plan: DryRun;
}): void {
  const settings = withoutSecrets(config.settings());
  const plan = withoutSecrets(given);
  output.line(`dry run     seg ${command}: nothing is written`);
  const sections: [string, string[][]][] = [
    ["settings", settings.map(({ name, value, origin, why }) => [name, shown(value), origin, why ?? ""])],
    ["decisions", plan.decisions.map(({ what, choice, why }) => [what, choice, why])],
    ["would do", plan.steps.map((step) => [step])],
    ["would write", plan.writes.map(({ path, what }) => [path, what])],
  ];
  for (const [title, rows] of sections) {
    output.line(rows.length === 0 ? `${title}: nothing` : `${title}\n${formatTable(rows)}`);
  }
  output.result({ command, dryRun: true, settings, ...plan });
}
