import { SplitError } from "../errors.js";

/** Split names with their shares, in declared order. */
export type SplitRatios = Readonly<Record<string, number>>;

/** What is split where nothing is said. */
export const DEFAULT_RATIOS = "train:0.7,val:0.15,test:0.15";

/** Slack for ratios written as decimals, such as 0.7 + 0.15 + 0.15. */
const SUM_TOLERANCE = 1e-6;

/**
 * `"train:0.7,val:0.15,test:0.15"` or an object, checked: names `[A-Za-z0-9_-]+`, unique, each share > 0, sum 1. Nothing is normalised.
 * @throws SplitError (reason `ratios`)
 */
export function parseRatios(ratios: string | SplitRatios): [name: string, ratio: number][] {
  const fail = (what: string): never => {
    throw new SplitError({
      reason: "ratios",
      message: `Split ratios: ${what}. Write for example "train:0.7,val:0.15,test:0.15".`,
    });
  };
  const entries: [string, number][] =
    typeof ratios === "string"
      ? ratios.split(",").map((text) => {
          const [name = "", value = "", ...rest] = text.split(":").map((part) => part.trim());
          if (rest.length > 0 || value === "") fail(`cannot read ${JSON.stringify(text)}`);
          return [name, Number(value)];
        })
      : Object.entries(ratios);
  const names = new Set<string>();
  for (const [name, ratio] of entries) {
    if (!/^[A-Za-z0-9_-]+$/.test(name)) fail(`name ${JSON.stringify(name)} must be letters, digits, _ or -`);
    if (names.has(name)) fail(`name ${name} occurs twice`);
    if (!(ratio > 0)) fail(`${name} is ${ratio}, expected a share > 0`);
    names.add(name);
  }
  const sum = entries.reduce((total, [, ratio]) => total + ratio, 0);
  if (!(Math.abs(sum - 1) <= SUM_TOLERANCE)) fail(`they sum to ${sum}, expected 1`);
  return entries;
}

/** Whole images per split by largest remainder of ratio * total; ties in declared order. */
export function splitTargets(ratios: readonly number[], total: number): number[] {
  const exact = ratios.map((ratio) => ratio * total);
  // 0.15 * 20 is 3.0000000000000004 or 2.9999999999999996 depending on the factors: a hair below a whole number is that number.
  const targets = exact.map((value) => Math.floor(value + 1e-9));
  const order = exact.map((value, j) => ({ j, remainder: value - targets[j]! }));
  order.sort((a, b) => (Math.abs(a.remainder - b.remainder) < 1e-9 ? a.j - b.j : b.remainder - a.remainder));
  let missing = total - targets.reduce((sum, value) => sum + value, 0);
  for (const { j } of order) {
    if (missing <= 0) break;
    targets[j]!++;
    missing--;
  }
  return targets;
}
