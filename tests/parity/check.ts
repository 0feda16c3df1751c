/** What a group reports to. */
export interface Check {
  /** One comparison; `detail` says what differed and by how much. */
  ok(name: string, pass: boolean, detail?: string): void;
  /** Something the group knows of and cannot compare yet. */
  skip(name: string, reason: string): void;
}

/** A module of `groups/`. */
export interface Group {
  run(dir: string, check: Check): Promise<void>;
}

/** Counts, and prints what fails as it happens. */
export class Counter implements Check {
  passed = 0;
  failed = 0;
  skipped = 0;
  readonly #group: string;
  readonly #write: (line: string) => void;
  constructor(group: string, write: (line: string) => void) {
    this.#group = group;
    this.#write = write;
  }

  ok(name: string, pass: boolean, detail = ""): void {
    if (pass) this.passed++;
    else {
      this.failed++;
      this.#write(`FAIL ${this.#group}: ${name}${detail && `: ${detail}`}`);
    }
  }

  skip(name: string, reason: string): void {
    this.skipped++;
    this.#write(`skip ${this.#group}: ${name}: ${reason}`);
  }
}

/** First index where two lists differ by more than `tolerance` (absolute), as a check of its own. */
export function compareArrays(
  check: Check,
  name: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
): void {
  if (actual.length !== expected.length) {
    check.ok(name, false, `${actual.length} values, expected ${expected.length}`);
    return;
  }
  let worst = -1;
  let worstDifference = tolerance;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    // The negation also catches NaN.
    if (!(difference <= worstDifference)) {
      worst = i;
      worstDifference = Number.isNaN(difference) ? Infinity : difference;
    }
  }
  check.ok(
    name,
    worst < 0,
    worst < 0 ? "" : `largest difference ${worstDifference} at ${worst}: ${actual[worst]}, expected ${expected[worst]}`,
  );
}
