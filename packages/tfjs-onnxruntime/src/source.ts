import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs";
import { engineState } from "./state.js";

/** Deep enough for a layer inside a gradient inside `tidy`; V8 keeps 10 frames otherwise. */
const FRAMES = 60;
/** `src` or `dist` of this package: its frames are not the user's. */
const own = dirname(fileURLToPath(import.meta.url));

/** Whether kernels remember the line that called them: `configure({ source: true })`, while profiling, or tfjs's DEBUG. */
export function sourceEnabled(): boolean {
  return engineState.config?.source === true || engineState.profiler !== null || tf.env().getBool("DEBUG");
}

/**
 * The call that records a kernel: `file:line:column` of the first stack frame outside tfjs and this package, null while
 * {@link sourceEnabled} is false (a stack costs 5 to 20 microseconds) or if every frame is inside.
 */
export function captureSource(): string | null {
  return sourceEnabled() ? captureStack() : null;
}

/** {@link captureSource} whatever the settings: for errors that are useless without a line. */
export function captureStack(): string | null {
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES;
  const { stack = "" } = new Error();
  Error.stackTraceLimit = before;
  return firstForeignFrame(stack);
}

/** The first frame of a V8 stack text that belongs neither to tfjs, nor to Node, nor to this package (its tests excepted). */
export function firstForeignFrame(stack: string): string | null {
  for (const line of stack.split("\n")) {
    const frame = /^ {4}at (?:async )?(.*)$/.exec(line)?.[1];
    if (frame === undefined) continue;
    // "name (place)" or the place alone; a place is "path:line:column".
    const place = frame.endsWith(")") ? frame.slice(frame.lastIndexOf(" (") + 2, -1) : frame;
    const [, path, position] = /^(.*)(:\d+:\d+)$/.exec(place) ?? [];
    if (path === undefined || path.startsWith("node:") || path === "<anonymous>") continue;
    const file = path.startsWith("file://") ? fileURLToPath(path) : path;
    if (/[\\/]node_modules[\\/]@tensorflow[\\/]/.test(file)) continue;
    if (file.startsWith(own) && !/\.test\.[cm]?[jt]s$/.test(file)) continue;
    return `${file}${position}`;
  }
  return null;
}
