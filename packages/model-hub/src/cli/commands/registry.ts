import { collectGarbage } from "../../registry/collect-garbage.js";
import type { ActiveVersion, VersionDetail } from "../../registry/types.js";
import { type CliCall, type CliCommand, type CliOption, CliUsageError } from "../command.js";
import { STATE_OPTIONS, withState } from "../open-state.js";
import { table } from "../table.js";
import { registerCommands } from "./register.js";

const MODEL: Readonly<Record<string, CliOption>> = { model: { type: "string", help: "model's name [default]" } };
const ACTOR: Readonly<Record<string, CliOption>> = {
  actor: { type: "string", help: "who does it, for the history [the user's name]" },
  reason: { type: "string", help: "why, for the history" },
};

const modelOf = (call: CliCall): string => call.text("model") ?? "default";
const actOf = (call: CliCall) => ({
  model: modelOf(call),
  actor: call.text("actor") ?? call.io.env["USER"] ?? null,
  reason: call.text("reason") ?? null,
});

function operands(call: CliCall, count: number, what: string): readonly string[] {
  if (call.positional.length === count) return call.positional;
  throw new CliUsageError(
    `Expected ${what}; got ${call.positional.length === 0 ? "nothing" : call.positional.join(" ")}.`,
  );
}

const rate = (value: number | null): number | null => (value === null ? null : Number(value.toFixed(4)));

const described = (version: VersionDetail): string[] => [
  `${version.model} ${version.version}  ${version.state}${version.is_active ? ", active" : ""}`,
  `created ${version.created_at}${version.manifest.created_by === null ? "" : ` by ${version.manifest.created_by}`}, manifest ${version.manifest_sha256}`,
  ...(version.description === "" ? [] : [version.description]),
  ...(version.aliases.length === 0 ? [] : [`aliases ${version.aliases.join(", ")}`]),
  ...table(
    ["file", "bytes", "sha256"],
    version.files.map(({ path, bytes, sha256 }) => [path, bytes, sha256]),
  ),
  ...Object.entries(version.metrics)
    .filter(([, value]) => typeof value === "number")
    .map(([name, value]) => `${name} ${value}`),
];

const moved = (active: ActiveVersion): string[] => [
  active.changed ? `${active.version} is active` : `${active.version} was active already`,
];

/** `seg-hub registry ...`: versions of models. */
export const registryCommands: readonly CliCommand[] = [
  ...registerCommands,
  {
    name: "registry list",
    help: "versions, newest first",
    options: {
      ...STATE_OPTIONS,
      ...MODEL,
      limit: { type: "string", help: "at most so many [50]" },
      cursor: { type: "string", help: "next_cursor of the page before" },
      tag: { type: "string", help: "only versions with this tag" },
    },
    run: (call) =>
      withState(call, async ({ registry }) => {
        const limit = call.integer("limit", { min: 1, max: 1000 });
        const tag = call.text("tag");
        const page = await registry.list({
          model: modelOf(call),
          cursor: call.text("cursor") ?? null,
          ...(limit === undefined ? {} : { limit }),
          ...(tag === undefined ? {} : { tag }),
        });
        call.result(page, [
          ...table(
            ["version", "state", "active", "mAP50-95", "F1", "samples", "bytes", "description"],
            page.versions.map((version) => [
              version.version,
              version.state,
              version.is_active ? "*" : "",
              rate(version.metrics.map50_95),
              rate(version.metrics.f1_score),
              version.training_samples,
              version.size_bytes,
              version.description.slice(0, 40),
            ]),
          ),
          `${page.versions.length} of ${page.total}${page.next_cursor === null ? "" : `; more: --cursor ${page.next_cursor}`}`,
        ]);
        return 0;
      }),
  },
  {
    name: "registry show",
    operands: "<version|alias>",
    help: "one version with its files and metrics",
    options: { ...STATE_OPTIONS, ...MODEL },
    run: (call) =>
      withState(call, async ({ registry }) => {
        const version = await registry.get(operands(call, 1, "one version or alias")[0]!, { model: modelOf(call) });
        call.result(version, described(version));
        return 0;
      }),
  },
  {
    name: "registry activate",
    operands: "<version|alias>",
    help: "make a version the one in use",
    options: { ...STATE_OPTIONS, ...MODEL, ...ACTOR },
    run: (call) =>
      withState(call, async ({ registry }) => {
        const active = await registry.activate(operands(call, 1, "one version or alias")[0]!, actOf(call));
        call.result(active, moved(active));
        return 0;
      }),
  },
  {
    name: "registry deactivate",
    help: "leave no version in use",
    options: { ...STATE_OPTIONS, ...MODEL, ...ACTOR },
    run: (call) =>
      withState(call, async ({ registry }) => {
        const record = await registry.deactivate(actOf(call));
        call.result(record, [`${record.previous} is no longer active`]);
        return 0;
      }),
  },
  {
    name: "registry rollback",
    help: "go back to the version that was active before",
    options: { ...STATE_OPTIONS, ...MODEL, ...ACTOR, to: { type: "string", help: "a version to go back to" } },
    run: (call) =>
      withState(call, async ({ registry }) => {
        const to = call.text("to");
        const active = await registry.rollback({ ...actOf(call), ...(to === undefined ? {} : { to }) });
        call.result(active, moved(active));
        return 0;
      }),
  },
  {
    name: "registry delete",
    operands: "<version>",
    help: "delete a version (never the active one)",
    options: {
      ...STATE_OPTIONS,
      ...MODEL,
      ...ACTOR,
      force: { type: "boolean", help: "also one with aliases or children" },
    },
    run: (call) =>
      withState(call, async ({ registry }) => {
        const [version] = operands(call, 1, "one version");
        await registry.delete(version!, { ...actOf(call), force: call.flag("force") });
        call.result({ success: true, version }, [`${version} is deleted`]);
        return 0;
      }),
  },
  {
    name: "registry compare",
    operands: "<a> <b>",
    help: "metric by metric",
    options: { ...STATE_OPTIONS, ...MODEL, primary: { type: "string", help: "the metric that decides" } },
    run: (call) =>
      withState(call, async ({ registry }) => {
        const [a, b] = operands(call, 2, "two versions");
        const primary = call.text("primary");
        const comparison = await registry.compare(a!, b!, {
          model: modelOf(call),
          ...(primary === undefined ? {} : { primary }),
        });
        call.result(comparison, [
          ...table(
            ["metric", comparison.a, comparison.b, "delta", "better"],
            Object.entries(comparison.metrics).map(([name, metric]) => [
              name,
              rate(metric.a),
              rate(metric.b),
              rate(metric.delta),
              metric.better,
            ]),
          ),
          `by ${comparison.primary}: ${comparison.overall}${comparison.comparable ? "" : `; not comparable: ${comparison.reasons.join("; ")}`}`,
        ]);
        return 0;
      }),
  },
  {
    name: "registry history",
    help: "who activated what when",
    options: { ...STATE_OPTIONS, ...MODEL, limit: { type: "string", help: "at most so many [50]" } },
    run: (call) =>
      withState(call, async ({ registry }) => {
        const limit = call.integer("limit", { min: 1, max: 1000 });
        const page = await registry.history({ model: modelOf(call), ...(limit === undefined ? {} : { limit }) });
        call.result(
          page,
          table(
            ["at", "kind", "version", "previous", "actor", "reason"],
            page.history.map(({ at, kind, version, previous, actor, reason }) => [
              at,
              kind,
              version,
              previous,
              actor,
              reason,
            ]),
          ),
        );
        return 0;
      }),
  },
  {
    name: "registry repair",
    help: "write versions/, active/ and active_model.json again; report damage (exit 3)",
    options: STATE_OPTIONS,
    run: (call) =>
      withState(call, async ({ registry }) => {
        const report = await registry.repair({ signal: call.io.signal });
        call.result(report, [
          `${report.written.length} written, ${report.removed.length} removed, ${report.completed.length} completed, ${report.damaged.length} damaged`,
          ...report.damaged.map(({ model, version, problem }) => `${model} ${version}: ${problem}`),
        ]);
        return report.damaged.length === 0 ? 0 : 3;
      }),
  },
  {
    name: "registry gc",
    help: "delete blobs that no version needs and that are older than 7 days",
    options: { ...STATE_OPTIONS, "dry-run": { type: "boolean", help: "only say what would go" } },
    run: (call) =>
      withState(call, async (state) => {
        const report = await collectGarbage({
          sql: state.sql,
          store: state.store,
          dryRun: call.flag("dry-run"),
          signal: call.io.signal,
        });
        call.result(report, [
          `${report.removed.length} blobs, ${report.bytes} bytes ${call.flag("dry-run") ? "would go" : "removed"}; ${report.kept} kept`,
        ]);
        return 0;
      }),
  },
];
