import { sep } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { isEngine } from "./backend.js";
import { clearCache } from "./config.js";
import { EngineError } from "./errors.js";
import type { NodeEvent, ProfiledRun } from "./profiled-session.js";
import { engineState, type Profiler } from "./state.js";

/** One row of a profile; times are sums over the measured runs. */
export interface ProfileRow {
  /** ONNX operator, recorded kernel or source line, as the table says. */
  readonly name: string;
  /** Nodes that ran. */
  readonly count: number;
  readonly ms: number;
  /** Share of the time of all nodes, 0 to 100. */
  readonly percent: number;
}

/** An event of the Chrome trace format: a complete event ("X", times in microseconds) or a row name ("M"). */
export interface TraceEvent {
  readonly name: string;
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly args: Readonly<Record<string, unknown>>;
}

/** Where the time of a function went. */
export interface Profile {
  /** By ONNX operator, after the runtime's own fusions. */
  readonly ops: readonly ProfileRow[];
  /** By recorded kernel (tfjs's name). Gradient kernels have their own. */
  readonly kernels: readonly ProfileRow[];
  /** By source line, `file:line` outside tfjs and this package. A gradient belongs to the call that asked for it. */
  readonly lines: readonly ProfileRow[];
  /** Nodes and time per execution provider. */
  readonly providers: readonly ProfileRow[];
  /** Wall time of the measured calls, recording included. */
  readonly wallMs: number;
  /** CPU time of the process during them, all threads. */
  readonly cpuMs: number;
  /** Wall time inside the runtime. */
  readonly runMs: number;
  /** Graphs that ran. */
  readonly runs: number;
  /** The first rows of `ops` and `lines` as text. */
  readonly table: string;
  /** For chrome://tracing or Perfetto: one row per provider, `args: {op, kernel, shapes, source}`. */
  readonly trace: { readonly traceEvents: readonly TraceEvent[] };
}

/** Lines of each part of {@link Profile.table}. */
const TABLE_ROWS = 25;

/**
 * Runs `fn` and says where its time went. Compiled sessions are dropped before and after (the runtime measures only sessions that
 * were made for it), so a warm-up call compiles first and is not counted. Kernels remember their line meanwhile, which costs 5 to 20
 * microseconds each: `wallMs` is no step time.
 *
 * @param fn - should dispose what it makes; may be async
 * @param options.warmUp - calls before the measured ones. @defaultValue 1
 * @param options.calls - measured calls. @defaultValue 1
 * @throws {@link EngineError} `ENGINE_CONFIG` if another backend is active or a profile is already being taken; what `fn` throws
 * @example
 * const { table } = await profile(() => tf.tidy(() => tf.matMul(x, w).dataSync()));
 */
export async function profile(
  fn: () => unknown,
  { warmUp = 1, calls = 1 }: { warmUp?: number; calls?: number } = {},
): Promise<Profile> {
  const backend = tf.backend();
  if (!isEngine(backend) || engineState.profiler !== null) {
    throw new EngineError({
      code: "ENGINE_CONFIG",
      message: isEngine(backend)
        ? "A profile is already being taken."
        : `profile() measures the onnxruntime backend, "${tf.getBackend()}" is active.`,
    });
  }
  backend.flush();
  clearCache();
  const profiler: Profiler = { sessions: new Set(), runs: [], kernels: [] };
  engineState.profiler = profiler;
  try {
    for (let i = 0; i < warmUp; i++) {
      await fn();
      backend.flush();
    }
    const warm = performance.now();
    const cpu = process.cpuUsage();
    for (let i = 0; i < calls; i++) {
      await fn();
      backend.flush();
    }
    const wallMs = performance.now() - warm;
    const { user, system } = process.cpuUsage(cpu);
    for (const session of profiler.sessions) session.finish();
    const runs = profiler.runs.filter((run) => run.startMs >= warm).sort((a, b) => a.startMs - b.startMs);
    return report({ runs, wallMs, cpuMs: (user + system) / 1000 });
  } finally {
    for (const session of profiler.sessions) session.finish();
    engineState.profiler = null;
    clearCache();
  }
}

function report({ runs, wallMs, cpuMs }: { runs: readonly ProfiledRun[]; wallMs: number; cpuMs: number }): Profile {
  const nodes = runs.flatMap((run) => run.nodes);
  const ops = group(nodes, (node) => node.op);
  const lines = group(nodes, (node) => (node.kernel === null ? "(runtime)" : lineOf(node.kernel.source)));
  const runMs = runs.reduce((sum, run) => sum + run.durationUs, 0) / 1000;
  return {
    ops,
    kernels: group(nodes, (node) => node.kernel?.op ?? "(runtime)"),
    lines,
    providers: group(nodes, (node) => node.provider),
    wallMs,
    cpuMs,
    runMs,
    runs: runs.length,
    table: `${table("op", ops)}\n\n${table("line", lines.map(relative))}\n\nwall ${wallMs.toFixed(1)} ms, CPU ${cpuMs.toFixed(1)} ms, ${runs.length} graphs ${runMs.toFixed(1)} ms\n`,
    trace: { traceEvents: traceEvents(runs) },
  };
}

/** Without the column: several calls on one line are one group. */
const lineOf = (source: string | null): string => source?.replace(/:\d+$/, "") ?? "(unknown)";

function group(nodes: readonly NodeEvent[], nameOf: (node: NodeEvent) => string): ProfileRow[] {
  const sums = new Map<string, { count: number; us: number }>();
  let total = 0;
  for (const node of nodes) {
    const name = nameOf(node);
    const sum = sums.get(name) ?? { count: 0, us: 0 };
    sum.count++;
    sum.us += node.durationUs;
    total += node.durationUs;
    sums.set(name, sum);
  }
  return [...sums]
    .map(([name, { count, us }]) => ({ name, count, ms: us / 1000, percent: total === 0 ? 0 : (100 * us) / total }))
    .sort((a, b) => b.ms - a.ms || a.name.localeCompare(b.name));
}

/** Paths below the working folder are shown relative to it. */
function relative(row: ProfileRow): ProfileRow {
  const folder = `${process.cwd()}${sep}`;
  return row.name.startsWith(folder) ? { ...row, name: row.name.slice(folder.length) } : row;
}

function table(title: string, rows: readonly ProfileRow[]): string {
  const width = Math.max(title.length, ...rows.slice(0, TABLE_ROWS).map(({ name }) => name.length));
  const line = (name: string, count: string, ms: string, percent: string) =>
    `${name.padEnd(width)}  ${count.padStart(6)}  ${ms.padStart(9)}  ${percent.padStart(5)}`;
  const shown = rows
    .slice(0, TABLE_ROWS)
    .map(({ name, count, ms, percent }) => line(name, String(count), ms.toFixed(2), percent.toFixed(1)));
  const rest = rows.slice(TABLE_ROWS);
  if (rest.length > 0) {
    const sum = (pick: (row: ProfileRow) => number) => rest.reduce((total, row) => total + pick(row), 0);
    shown.push(
      line(
        `(${rest.length} more)`,
        String(sum((r) => r.count)),
        sum((r) => r.ms).toFixed(2),
        sum((r) => r.percent).toFixed(1),
      ),
    );
  }
  return [line(title, "count", "ms", "%"), ...shown].join("\n");
}

function traceEvents(runs: readonly ProfiledRun[]): TraceEvent[] {
  const origin = runs[0]?.startMs ?? 0;
  const rows = new Map<string, number>([["graph", 0]]);
  const events: TraceEvent[] = [];
  for (const [number, run] of runs.entries()) {
    const ts = (run.startMs - origin) * 1000;
    events.push({
      name: `graph ${number}`,
      ph: "X",
      pid: 1,
      tid: 0,
      ts,
      dur: run.durationUs,
      args: { nodes: run.nodes.length },
    });
    for (const { op, provider, startUs, durationUs, shapes, kernel } of run.nodes) {
      const tid = rows.get(provider) ?? rows.size;
      rows.set(provider, tid);
      const args = { op, kernel: kernel?.op ?? null, shapes, source: kernel?.source ?? null };
      events.push({ name: op, ph: "X", pid: 1, tid, ts: ts + startUs, dur: durationUs, args });
    }
  }
  const names = [...rows].map(
    ([name, tid]): TraceEvent => ({ name: "thread_name", ph: "M", pid: 1, tid, args: { name } }),
  );
  return [...names, ...events];
}
