import { findSourceMap } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs";
import { engineState } from "./state.js";

/** Deep enough for a layer inside a gradient inside `tidy`; V8 keeps 10 frames otherwise. */
const FRAMES = 60;
/** `src` or `dist` of this package: its frames are not the user's. */
const own = dirname(fileURLToPath(import.meta.url));

let remembering = false;

/** Runs `fn` with {@link sourceEnabled}: for code that is recorded once and runs often. */
export function rememberSources<T>(fn: () => T): T {
  const before = remembering;
  remembering = true;
  try {
    return fn();
  } finally {
    remembering = before;
  }
}

/** Whether kernels remember the line that called them: `configure({ source: true })`, while profiling or compiling, or tfjs's DEBUG. */
export function sourceEnabled(): boolean {
  return (
    remembering || engineState.config?.source === true || engineState.profiler !== null || tf.env().getBool("DEBUG")
  );
}

/**
 * The call that records a kernel: `file:line:column` of the first stack frame outside tfjs and this package (its tests excepted), null
 * while {@link sourceEnabled} is false (a stack costs 5 to 20 microseconds) or if every frame is inside.
 */
export function captureSource(): string | null {
  return sourceEnabled() ? captureStack() : null;
}

/** {@link captureSource} whatever the settings: for errors that are useless without a line. */
export function captureStack(): string | null {
  // The frames themselves: as text each of them would be mapped to its source, which costs milliseconds.
  const { stackTraceLimit, prepareStackTrace } = Error;
  Error.stackTraceLimit = FRAMES;
  Error.prepareStackTrace = (_, sites) => sites;
  const holder: { stack?: unknown } = {};
  Error.captureStackTrace(holder, captureStack);
  const sites = holder.stack as NodeJS.CallSite[];
  Error.stackTraceLimit = stackTraceLimit;
  if (prepareStackTrace === undefined) delete (Error as { prepareStackTrace?: unknown }).prepareStackTrace;
  else Error.prepareStackTrace = prepareStackTrace;
  for (const site of sites) {
    const name = site.getFileName();
    if (typeof name === "string" && !name.startsWith("node:") && isForeign(name)) return original(name, site);
  }
  return null;
}

const foreign = new Map<string, boolean>();

/** Whether a script is neither tfjs nor this package. */
function isForeign(name: string): boolean {
  let known = foreign.get(name);
  if (known === undefined) {
    const path = toPath(name);
    const inside = path.startsWith(own) && !/\.test\.[cm]?[jt]s$/.test(path);
    known = !inside && !/[\\/]node_modules[\\/]@tensorflow[\\/]/.test(path);
    foreign.set(name, known);
  }
  return known;
}

const toPath = (name: string): string => (name.startsWith("file://") ? fileURLToPath(name) : name);

const originals = new Map<string, string>();

/** The position in the source that a compiler or bundler started from, as Node's source maps or a hook of the loader tell it. */
function original(name: string, site: NodeJS.CallSite): string {
  const line = site.getLineNumber() ?? 1;
  const column = site.getColumnNumber() ?? 1;
  const key = `${name}:${line}:${column}`;
  let text = originals.get(key);
  if (text === undefined) {
    const entry = findSourceMap(name)?.findEntry(line - 1, column - 1);
    text =
      entry !== undefined && "originalSource" in entry
        ? `${toPath(entry.originalSource)}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
        : (hooked(site) ?? `${toPath(name)}:${line}:${column}`);
    originals.set(key, text);
  }
  return text;
}

/** What a stack hook (vitest, source-map-support) makes of one frame. */
function hooked(site: NodeJS.CallSite): string | null {
  if (Error.prepareStackTrace === undefined) return null;
  const place = /\(?([^\s()]+:\d+:\d+)\)?\s*$/.exec(String(Error.prepareStackTrace(new Error(), [site])))?.[1];
  return place === undefined ? null : toPath(place.replace(/:\d+:\d+$/, "")) + place.slice(place.search(/:\d+:\d+$/));
}
