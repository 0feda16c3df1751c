import { AugmentConfigError, UnknownCharacteristicError, UnknownEnvironmentError } from "../errors.js";
import { mixingSteps } from "./mixing.js";
import type { Because, Decision, Params, Plan, PlanStep } from "./plan.js";
import { AXES, type Axis, additionP, INTENSITIES, type Influence, type Intensity, type Profile } from "./profile.js";
import { type PipelineSpec, parseSpec, resolveRules } from "./spec.js";
import { executionRank, findTransform, resolveParams } from "./transform-registry.js";

type Source = Because["source"];
type Value = number | readonly [number, number];

interface Candidate {
  readonly type: string;
  readonly p: number;
  readonly params: Readonly<Record<string, Value>>;
  readonly source: Source;
  readonly name: string;
  readonly requires: "masks" | null;
}

/** A transform on its way through deduplication. */
interface Entry {
  readonly type: string;
  p: number;
  params: Params;
  readonly because: Because[];
  readonly notes: string[];
  kind: Decision["kind"];
  readonly isOverride: boolean;
  readonly requires: "masks" | null;
  /** Most specific source: what is dropped last. */
  readonly rank: number;
}

/** base < environment < characteristic < fact < override: what a budget drops first. */
const SPECIFICITY: Readonly<Record<Source, number>> = {
  base: 0,
  environment: 1,
  characteristic: 2,
  fact: 3,
  override: 4,
  config: 4,
  distillation: 4,
};

const isRange = (value: unknown): value is readonly [number, number] => Array.isArray(value) && value.length === 2;

/** Union of two ranges; the larger of two scalars. */
function union(a: unknown, b: unknown): unknown {
  if (isRange(a) && isRange(b)) return [Math.min(a[0], b[0]), Math.max(a[1], b[1])];
  return typeof a === "number" && typeof b === "number" ? Math.max(a, b) : b;
}

/** Both ends into the cap: a cap below the range collapses it to the cap. */
function capped(value: unknown, [low, high]: readonly [number, number]): unknown {
  const clamp = (x: number) => Math.min(high, Math.max(low, x));
  if (isRange(value)) return [clamp(value[0]), clamp(value[1])];
  return typeof value === "number" ? clamp(value) : value;
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const round = (p: number): number => Math.round(p * 1000) / 1000;

interface Named {
  readonly source: Source;
  readonly name: string;
  readonly influence: Influence;
}

/** What the specification's words stand for in the profile; unknown ones throw, or are warned about. */
function influences(spec: PipelineSpec, profile: Profile, warnings: string[]): Named[] {
  const strict = spec.strict ?? true;
  const out: Named[] = [];
  if (spec.base ?? true) out.push({ source: "base", name: "base", influence: profile.base });
  for (const [axis, value] of Object.entries(spec.environment ?? {})) {
    if (value === undefined) continue;
    const isAxis = (AXES as readonly string[]).includes(axis);
    const values = isAxis ? profile.environments[axis as Axis] : {};
    if (!Object.hasOwn(values, value)) {
      const error = new UnknownEnvironmentError({
        unsupported: [isAxis ? value : axis],
        available: isAxis ? Object.keys(values) : AXES,
        path: isAxis ? `environment.${axis}` : "environment",
      });
      if (strict) throw error;
      warnings.push(error.message);
      continue;
    }
    out.push({ source: "environment", name: `${axis}: ${value}`, influence: values[value]! });
  }
  const available = Object.keys(profile.characteristics);
  const unsupported = [...new Set(spec.characteristics)].filter((name) => !available.includes(name));
  if (unsupported.length > 0) {
    const error = new UnknownCharacteristicError({ unsupported, available, path: "characteristics" });
    if (strict) throw error;
    warnings.push(error.message);
  }
  for (const name of new Set(spec.characteristics)) {
    if (Object.hasOwn(profile.characteristics, name)) {
      out.push({ source: "characteristic", name, influence: profile.characteristics[name]! });
    }
  }
  for (const [name, isSet] of Object.entries(spec.facts ?? {})) {
    if (!Object.hasOwn(profile.facts, name)) {
      throw new AugmentConfigError({
        path: `facts.${name}`,
        message: `unknown fact. Known: ${Object.keys(profile.facts).join(", ")}.`,
      });
    }
    if (isSet) out.push({ source: "fact", name, influence: profile.facts[name]! });
  }
  return out;
}

/** Every request, base ranges narrowed by the environment's restrictions. */
function candidates(named: readonly Named[], profile: Profile, level: number): Candidate[] {
  const restrictions = named.flatMap(({ influence }) => influence.restrict ?? []);
  return named.flatMap(({ source, name, influence }) =>
    (influence.add ?? []).map((addition): Candidate => {
      const chosen: Record<string, Value> = {};
      for (const [key, values] of Object.entries({ ...profile.magnitudes[addition.type], ...addition.params })) {
        chosen[key] = values[level] as Value;
      }
      if (source === "base") {
        for (const { type, param, to } of restrictions) {
          if (type === addition.type && chosen[param] !== undefined) {
            chosen[param] = capped(chosen[param], to[level]!) as Value;
          }
        }
      }
      return {
        type: addition.type,
        p: additionP(profile, addition.p, level),
        params: chosen,
        source,
        name,
        requires: addition.requires ?? null,
      };
    }),
  );
}

/** One entry per type: largest p, union of ranges. */
function merge(requests: readonly Candidate[]): Map<string, Entry> {
  const byType = new Map<string, Candidate[]>();
  for (const request of requests) byType.set(request.type, [...(byType.get(request.type) ?? []), request]);
  const entries = new Map<string, Entry>();
  for (const [type, all] of byType) {
    // What holds only for samples with masks must not widen what holds for all.
    const general = all.filter(({ requires }) => requires === null);
    const used = general.length > 0 ? general : all;
    let params: Record<string, unknown> = {};
    for (const request of used) {
      params = { ...params };
      for (const [key, value] of Object.entries(request.params)) {
        params[key] = key in params ? union(params[key], value) : value;
      }
    }
    // A parameter that one request leaves at its default keeps that default inside the union.
    const notes =
      all.length > used.length ? ["the part that needs masks is left out, because others ask for it without"] : [];
    entries.set(type, {
      type,
      p: Math.max(...used.map(({ p }) => p)),
      params,
      because: all.map(({ source, name, p, params: requestedParams }) => ({
        source,
        name,
        requestedP: p,
        requestedParams,
      })),
      notes,
      kind: all.length > 1 ? "merged" : "added",
      isOverride: false,
      requires: general.length > 0 ? null : "masks",
      rank: Math.max(...all.map(({ source }) => SPECIFICITY[source])),
    });
  }
  return entries;
}

function applyOverrides(
  spec: PipelineSpec,
  entries: Map<string, Entry>,
  profile: Profile,
  level: number,
  removed: Map<string, Decision>,
): void {
  (spec.overrides ?? []).forEach((override, i) => {
    const path = `overrides[${i}]`;
    const { type, p, enabled, ...params } = override;
    findTransform(type, path);
    const current = entries.get(type);
    if (enabled === false) {
      entries.delete(type);
      removed.set(type, {
        type,
        p: 0,
        params: {},
        kind: "vetoed",
        because: [...(current?.because ?? []), { source: "override", name: path, requestedP: 0, requestedParams: {} }],
        text: `${type} left out: switched off by ${path}.`,
      });
      return;
    }
    const standard: Record<string, unknown> = {};
    for (const [key, values] of Object.entries(profile.magnitudes[type] ?? {})) standard[key] = values[level];
    const chosen = p ?? current?.p;
    if (chosen === undefined) {
      throw new AugmentConfigError({
        path: `${path}.p`,
        message: `a probability is needed: no characteristic or environment asks for ${type}.`,
      });
    }
    removed.delete(type);
    entries.set(type, {
      type,
      p: chosen,
      params: { ...standard, ...current?.params, ...params },
      because: [
        ...(current?.because ?? []),
        { source: "override", name: path, requestedP: p ?? null, requestedParams: params },
      ],
      notes: ["replaced by an override"],
      kind: current === undefined ? "added" : "merged",
      isOverride: true,
      requires: null,
      rank: SPECIFICITY.override,
    });
  });
}

const anyOf = (ps: readonly number[]): number => 1 - ps.reduce((product, p) => product * (1 - p), 1);

/** A gate of the plan: a single entry, or a group with its members. */
interface Gate {
  readonly group: string | null;
  members: Entry[];
  p: number;
  /** Overrides are not scaled by the budget. */
  readonly isFixed: boolean;
  readonly isGeometric: boolean;
}

function gatesOf(entries: readonly Entry[], profile: Profile, [, high]: readonly [number, number]): Gate[] {
  const gates: Gate[] = [];
  const grouped = new Map<string, Entry[]>();
  for (const entry of entries) {
    const group = Object.keys(profile.groups).find((key) => profile.groups[key]!.includes(entry.type));
    if (group === undefined) {
      gates.push({
        group: null,
        members: [entry],
        p: entry.p,
        isFixed: entry.isOverride,
        isGeometric: findTransform(entry.type, entry.type).kind === "geometric",
      });
      continue;
    }
    const members = grouped.get(group);
    if (members !== undefined) members.push(entry);
    else grouped.set(group, [entry]);
  }
  for (const [group, members] of grouped) {
    // A member that never fires is no member; all of them so: no group.
    const live = members.filter(({ p }) => p > 0);
    if (live.length === 0) continue;
    const overridden = live.filter(({ isOverride }) => isOverride).map(({ p }) => p);
    const p = Math.max(Math.min(high, anyOf(live.map((member) => member.p))), ...overridden);
    gates.push({ group, members: live, p, isFixed: overridden.length > 0, isGeometric: false });
  }
  return gates;
}

/** Expected number of operations: every gate, geometry counted once; overrides are exempt. */
function expected(gates: readonly Gate[], t: number, low: number): number {
  const scaled = (p: number) => low + t * (p - low);
  let sum = 0;
  const geometry: number[] = [];
  for (const { p, isFixed, isGeometric } of gates) {
    if (isFixed) continue;
    if (isGeometric) geometry.push(scaled(p));
    else sum += scaled(p);
  }
  return sum + anyOf(geometry);
}

/**
 * Scales probabilities towards the tier's lower bound with the largest t that fits (bisection, 40 steps); drops entries only when even
 * t = 0 does not fit (custom types), the least specific source first, then the lowest p, then the last.
 */
function fitBudget(gates: Gate[], budget: number, low: number, dropped: (entry: Entry) => void): Gate[] {
  let current = gates;
  while (expected(current, 0, low) > budget) {
    const order = current
      .flatMap((gate, at) => gate.members.map((entry) => ({ gate, entry, at })))
      .filter(({ gate }) => !gate.isFixed)
      .sort((a, b) => a.entry.rank - b.entry.rank || a.entry.p - b.entry.p || b.at - a.at);
    const [victim] = order;
    if (victim === undefined) return current;
    dropped(victim.entry);
    victim.gate.members = victim.gate.members.filter((entry) => entry !== victim.entry);
    current = current.filter(({ members }) => members.length > 0);
  }
  if (expected(current, 1, low) <= budget) return current;
  let fits = 0;
  let exceeds = 1;
  for (let step = 0; step < 40; step++) {
    const t = (fits + exceeds) / 2;
    if (expected(current, t, low) <= budget) fits = t;
    else exceeds = t;
  }
  for (const gate of current) {
    if (gate.isFixed) continue;
    const before = gate.p;
    gate.p = low + fits * (gate.p - low);
    if (gate.p === before) continue;
    for (const entry of gate.members) {
      if (entry.kind !== "capped") entry.kind = "budget";
      entry.notes.push(`p ${round(before)} lowered to ${round(gate.p)} by the budget of ${budget} operations`);
    }
  }
  return current;
}

/** Ratios of large scale jitter as scale limits. */
const LARGE_SCALE: readonly (readonly [number, number])[] = [
  [-0.5, 0.5],
  [-0.7, 0.7],
  [-0.9, 1],
];

/**
 * Turns characteristics, environment and facts into a plan: collect, merge, restrict, cap, veto, group, fit the budget; every
 * decision is recorded. Pure and deterministic; the plan is JSON.
 *
 * @throws AugmentConfigError, UnknownCharacteristicError, UnknownEnvironmentError, UnknownTransformError
 */
export function translate(input: PipelineSpec, profile: Profile): Plan {
  const spec = parseSpec(input);
  const intensity: Intensity = spec.intensity ?? "medium";
  const level = INTENSITIES.indexOf(intensity);
  const tier = profile.tiers[intensity];
  const warnings: string[] = [];
  const named = influences(spec, profile, warnings);
  const removed = new Map<string, Decision>();
  const entries = merge(candidates(named, profile, level));

  const distillation = typeof spec.distillation === "object" ? spec.distillation : undefined;
  const scaleEntry = entries.get("RandomScale");
  if (distillation?.largeScaleJitter === true) {
    const params = { scaleLimit: LARGE_SCALE[level]! };
    const because: Because = {
      source: "distillation",
      name: "largeScaleJitter",
      requestedP: null,
      requestedParams: params,
    };
    entries.set("RandomScale", {
      type: "RandomScale",
      p: scaleEntry?.p ?? tier[0],
      params,
      because: [...(scaleEntry?.because ?? []), because],
      notes: ["ranges of large scale jitter"],
      kind: scaleEntry === undefined ? "added" : "merged",
      isOverride: false,
      requires: null,
      rank: SPECIFICITY.fact,
    });
  }

  for (const { source, name, influence } of named) {
    for (const { type, param, within } of influence.caps ?? []) {
      const entry = entries.get(type);
      if (entry === undefined || entry.params[param] === undefined) continue;
      const limited = capped(entry.params[param], within);
      if (same(limited, entry.params[param])) continue;
      entry.params = { ...entry.params, [param]: limited };
      entry.kind = "capped";
      entry.notes.push(`${param} limited to [${within.join(", ")}] by ${source} ${name}`);
    }
  }
  for (const { influence } of named) {
    for (const { type, param } of influence.restrict ?? []) {
      const entry = entries.get(type);
      entry?.notes.push(`${param} of the base set narrowed by the environment`);
    }
  }

  // A group that an environment silences stays only where a characteristic, fact or override asks.
  for (const { name, influence } of named) {
    for (const group of influence.suppress ?? []) {
      for (const type of profile.groups[group]!) {
        const entry = entries.get(type);
        if (entry === undefined || entry.rank > SPECIFICITY.environment) continue;
        entries.delete(type);
        removed.set(type, {
          type,
          p: 0,
          params: entry.params,
          group,
          kind: "skipped",
          because: entry.because,
          text: `${type} left out: ${name} allows the group ${group} only where a characteristic asks for it.`,
        });
      }
    }
  }

  applyOverrides(spec, entries, profile, level, removed);

  const vetoes = named.flatMap(({ source, name, influence }) =>
    (influence.veto ?? []).map((type) => ({ type, source, name })),
  );
  for (const { type, source, name } of vetoes) {
    const entry = entries.get(type);
    if (entry === undefined) continue;
    entries.delete(type);
    removed.set(type, {
      type,
      p: 0,
      params: entry.params,
      kind: "vetoed",
      because: [...entry.because, { source, name, requestedP: 0, requestedParams: {} }],
      text: `${type} left out: vetoed by the ${source} ${name}.`,
    });
  }

  const ordered = [...entries.values()].sort((a, b) => executionRank(a.type) - executionRank(b.type));
  for (const entry of ordered) {
    const override = (spec.overrides ?? []).findIndex(({ type }) => type === entry.type);
    entry.params = resolveParams(entry.type, entry.params, override >= 0 ? `overrides[${override}]` : entry.type);
  }
  const gates = fitBudget(gatesOf(ordered, profile, tier), profile.budgets[intensity], tier[0], (entry) => {
    removed.set(entry.type, {
      type: entry.type,
      p: 0,
      params: entry.params,
      kind: "budget",
      because: entry.because,
      text: `${entry.type} left out: the budget of ${profile.budgets[intensity]} operations is full.`,
    });
  });
  gates.sort((a, b) => executionRank(a.members[0]!.type) - executionRank(b.members[0]!.type));

  const mixing = mixingSteps({
    distillation: spec.distillation,
    stage: spec.stage,
    flipsVetoed:
      vetoes.some(({ type }) => type === "HorizontalFlip") || removed.get("HorizontalFlip")?.kind === "vetoed",
  });
  warnings.push(...mixing.warnings);
  const decisions = new Map<string, Decision>();
  const steps: PlanStep[] = [...mixing.before];
  for (const gate of gates) {
    const [first] = gate.members;
    if (gate.group === null) {
      const { type, params, requires } = first!;
      steps.push({
        kind: "one",
        path: `${type}#0`,
        type,
        p: gate.p,
        params,
        ...(requires === null ? {} : { requires }),
      });
    } else {
      steps.push({
        kind: "oneOf",
        path: `${gate.group}#0`,
        group: gate.group,
        p: gate.p,
        members: gate.members.map(({ type, params, p }) => ({ path: `${type}#0`, type, weight: p, params })),
      });
    }
    const sum = gate.members.reduce((total, { p }) => total + p, 0);
    for (const entry of gate.members) {
      const p = gate.group === null ? gate.p : sum > 0 ? (gate.p * entry.p) / sum : 0;
      decisions.set(entry.type, {
        type: entry.type,
        p,
        params: entry.params,
        ...(gate.group === null ? {} : { group: gate.group }),
        kind: entry.kind,
        because: entry.because,
        text: explain(entry, p, gate.group),
      });
    }
  }
  steps.push(...mixing.after);
  const trace = [
    ...mixing.trace,
    ...ordered.flatMap(({ type }) => decisions.get(type) ?? []),
    ...[...removed.values()].filter(({ type }) => !decisions.has(type)),
  ];
  return {
    schemaVersion: 1,
    seed: spec.seed ?? 0,
    intensity,
    characteristics: [...new Set(spec.characteristics)].filter((name) => Object.hasOwn(profile.characteristics, name)),
    environment: Object.fromEntries(
      Object.entries(spec.environment ?? {}).filter(([, v]) => v !== undefined),
    ) as Record<string, string>,
    canvas: spec.canvas ?? null,
    fill: spec.fill ?? null,
    border: spec.border ?? "constant",
    instances: resolveRules(...named.map(({ influence }) => influence.instances as object | undefined), spec.instances),
    steps,
    trace,
    warnings,
    strict: spec.strict ?? true,
  };
}

function explain(entry: Entry, p: number, group: string | null): string {
  const asked = entry.because.map(
    ({ source, name, requestedP }) =>
      `${source === "base" ? "the base set" : `${source} ${name}`}${requestedP === null ? "" : ` (p ${round(requestedP)})`}`,
  );
  const alone = group === null ? "" : ` as one of the group ${group}`;
  const notes = entry.notes.length === 0 ? "" : ` ${entry.notes.join("; ")}.`;
  return `${entry.type} at p ${round(p)}${alone}: asked for by ${asked.join(", ")}.${notes}`;
}
