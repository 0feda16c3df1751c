import process from "node:process";

/** Where a command writes: text for people on stderr and stdout, or JSON lines for machines. */
export interface Output {
  readonly json: boolean;
  /** A finished piece of information. */
  line(text: string): void;
  /** Progress: a bar that is overwritten in a terminal, lines now and then elsewhere; without `etaSeconds` the time left is estimated from the pace so far. */
  progress(state: { label: string; done: number; total: number; etaSeconds?: number; detail?: string }): void;
  /** A machine-readable event; printed only with --json. */
  event(event: Readonly<Record<string, unknown>>): void;
  /** Ends a progress line that is still being overwritten: what is written next starts on its own line. */
  settle(): void;
  /** The result of the command: the last JSON line, or nothing beyond what was said. */
  result(result: Readonly<Record<string, unknown>>): void;
}

/** "1:05" or "2:03:09". */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  const [h, m] = [Math.floor(s / 3600), Math.floor((s % 3600) / 60)];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

/** Cells of the bar in a terminal. */
const BAR = 20;

/** "[####----------------]" */
const bar = (done: number, total: number): string => {
  const filled = total > 0 ? Math.min(BAR, Math.max(0, Math.floor((BAR * done) / total))) : BAR;
  return `[${"#".repeat(filled)}${"-".repeat(BAR - filled)}]`;
};

/** A line that wraps could not be overwritten; it ends after a piece that fits, since half a number would be another number. */
const fitting = (text: string, width: number): string => {
  if (text.length <= width) return text;
  const end = text.lastIndexOf("  ", width);
  return text.slice(0, end === -1 ? width : end);
};

/** Where commands write: JSON lines on stdout with `json`, else sentences; progress as a bar in a terminal, as lines elsewhere. */
export function createOutput({
  json,
  quiet = false,
  now = () => performance.now(),
  out = process.stdout,
  err = process.stderr,
}: {
  json: boolean;
  quiet?: boolean;
  now?: () => number;
  out?: { write(text: string): unknown };
  err?: { write(text: string): unknown; isTTY?: boolean; columns?: number };
}): Output {
  let last = -Infinity;
  let open = false;
  /** When the work of a label was first reported, and how much of it was done by then. */
  let begun: { label: string; at: number; done: number } | null = null;
  const remaining = (label: string, done: number, total: number): number | undefined => {
    if (begun?.label !== label || done < begun.done) begun = { label, at: now(), done };
    const seconds = (now() - begun.at) / 1000;
    // The first item alone, or an instant, says little.
    return done - begun.done < 2 || seconds < 1 ? undefined : (seconds * (total - done)) / (done - begun.done);
  };
  const settle = () => {
    if (open) err.write("\n");
    open = false;
  };
  const print = (value: unknown) => out.write(`${JSON.stringify(value)}\n`);
  return {
    json,
    settle,
    line(text) {
      settle();
      if (json) err.write(`${text}\n`);
      else if (!quiet) out.write(`${text}\n`);
    },
    progress({ label, done, total, etaSeconds, detail }) {
      if (quiet || json) return;
      const left = remaining(label, done, total);
      const finished = done >= total;
      // A terminal gets ten updates a second, a log one line every ten seconds.
      if (!finished && now() - last < (err.isTTY ? 100 : 10_000)) return;
      last = now();
      const percent = total > 0 ? Math.floor((100 * done) / total) : 100;
      const eta = etaSeconds ?? left;
      const wait = eta === undefined || finished ? "" : `  ETA ${duration(eta)}`;
      const state = `${done}/${total} ${percent}%${wait}${detail ? `  ${detail}` : ""}`;
      if (!err.isTTY) {
        err.write(`${label} ${state}\n`);
        return;
      }
      const text = fitting(`${label} ${bar(done, total)} ${state}`, Math.max(20, (err.columns ?? 80) - 1));
      err.write(`\r\x1b[K${text}`);
      open = !finished;
      if (finished) err.write("\n");
    },
    event(event) {
      if (json) print(event);
    },
    result(result) {
      settle();
      if (json) print({ type: "result", ...result });
    },
  };
}
