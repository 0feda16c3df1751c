import { distance } from "fastest-levenshtein";
import type { OptionSpecs } from "./args.js";

/** The known name nearest to a mistyped one. */
export function nearest(name: string, known: readonly string[]): string | null {
  const sorted = known.map((k) => ({ k, d: distance(name, k) })).sort((x, y) => x.d - y.d);
  return sorted[0] && sorted[0].d <= Math.max(2, name.length / 3) ? sorted[0].k : null;
}

/** " Did you mean X?", or nothing. */
export function didYouMean(name: string, known: readonly string[], show: (hint: string) => string = (h) => h): string {
  const hint = nearest(name, known);
  return hint === null ? "" : ` Did you mean ${show(hint)}?`;
}

/** One form for all spellings of a name: `batch_size`, `batchSize` and `batch-size`; dots count as dashes. */
export const plainName = (name: string): string =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1-$2")
    .replaceAll(/[_.]/g, "-")
    .toLowerCase();

/** Spelled names of options. */
export interface OptionNames {
  /** The option that a typed name means, in any spelling. */
  find(typed: string): string | undefined;
  /** What a typed name may have meant, as it is spelled. */
  readonly known: readonly string[];
}

/** @param namespace - prefix that every option may carry: `student.epochs` */
export function optionNames(specs: OptionSpecs, namespace?: string): OptionNames {
  const plain = new Map<string, string>();
  const known: string[] = [];
  for (const [name, { aliases = [] }] of Object.entries(specs)) {
    for (const spelled of [name, ...aliases]) {
      plain.set(plainName(spelled), name);
      known.push(spelled);
    }
  }
  const prefix = namespace === undefined ? null : `${namespace}.`;
  return {
    known,
    find(typed) {
      const own = plain.get(plainName(typed));
      if (own !== undefined || prefix === null || !typed.startsWith(prefix)) return own;
      return plain.get(plainName(typed.slice(prefix.length)));
    },
  };
}
