import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { peerPython } from "./peer-python.js";
import { median } from "./result.js";

/** One measured call, as a contestant prints it: a line of JSON. */
export interface Call {
  readonly cpuMs: number;
  readonly wallMs: number;
  /** Largest resident set of the process so far. */
  readonly peakMB: number;
  /** Whatever else the contestant tells. */
  readonly [key: string]: unknown;
}

/**
 * A process of its own that repeats one piece of work: it answers every line on stdin with a {@link Call}. Two of them take turns, so that a
 * busy moment of the machine hits both, and each has its own peak of memory.
 */
export class Contestant {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #errors = "";

  private constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args, { env: { ...process.env, SEG_THREADS: "1", OMP_NUM_THREADS: "1" } });
    this.#child.stderr.on("data", (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    // A child that is gone must not end this process; call() reports it.
    this.#child.stdin.on("error", () => {});
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** A TypeScript file of this folder on this Node. */
  static node(file: string, ...args: string[]): Contestant {
    const script = fileURLToPath(new URL(file, import.meta.url));
    return new Contestant(process.execPath, ["--conditions=@seg/source", "--import", "tsx", script, ...args]);
  }

  /** A Python file of this folder on the peer's interpreter; null when that lacks what the file imports (exit status 3). */
  static async python(file: string, ...args: string[]): Promise<Contestant | null> {
    const script = fileURLToPath(new URL(file, import.meta.url));
    const contestant = new Contestant(peerPython(), [script, ...args]);
    return (await contestant.#next()) === null ? null : contestant;
  }

  /** Does the work once. */
  async call(): Promise<Call> {
    this.#child.stdin.write("\n");
    const line = await this.#next();
    if (line === null) throw new Error(`A contestant ended: ${this.#errors.slice(-2000)}`);
    return JSON.parse(line) as Call;
  }

  close(): void {
    this.#child.stdin.end();
    this.#child.kill();
  }

  /** The next line of JSON or "ready"; libraries may chat in between. */
  async #next(): Promise<string | null> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) return null;
      if (value.startsWith("{") || value === "ready") return value;
    }
  }
}

/** Medians of the counted calls, and the last one's peak. */
export interface Standing {
  readonly cpuMs: number;
  readonly wallMs: number;
  readonly spread: readonly [number, number];
  readonly peakMB: number;
  readonly last: Call;
}

/** Calls every contestant in turns; the first `warmUp` calls are not counted. */
export async function takeTurns<Name extends string>(
  contestants: Readonly<Record<Name, Contestant>>,
  { warmUp, rounds }: { readonly warmUp: number; readonly rounds: number },
): Promise<Record<Name, Standing>> {
  const names = Object.keys(contestants) as Name[];
  const calls = new Map<Name, Call[]>(names.map((name) => [name, []]));
  for (let round = 0; round < warmUp + rounds; round++) {
    for (let k = 0; k < names.length; k++) {
      const name = names[(round + k) % names.length]!;
      const call = await contestants[name].call();
      if (round >= warmUp) calls.get(name)!.push(call);
    }
  }
  const standing = (name: Name): Standing => {
    const all = calls.get(name)!;
    const cpu = all.map(({ cpuMs }) => cpuMs);
    const last = all.at(-1)!;
    return {
      cpuMs: median(cpu),
      wallMs: median(all.map(({ wallMs }) => wallMs)),
      spread: [Math.min(...cpu), Math.max(...cpu)],
      peakMB: last.peakMB,
      last,
    };
  };
  return Object.fromEntries(names.map((name) => [name, standing(name)])) as Record<Name, Standing>;
}
