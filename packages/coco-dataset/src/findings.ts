/** `error`: training must refuse; `warn`: probably wrong, still usable; `info`: good to know. */
export type Severity = "error" | "warn" | "info";

/** Where a finding comes from. */
export type FindingLayer = "structural" | "geometry" | "images" | "distribution" | "split" | "results";

/** How a finding can be repaired; `safe` fixes lose nothing that a person meant. */
export interface FindingFix {
  readonly kind:
    | "drop-annotation"
    | "drop-part"
    | "drop-category"
    | "clip-box"
    | "flip-box"
    | "set-iscrowd-0"
    | "recompute-box"
    | "recompute-area"
    | "box-from-corners"
    | "box-from-center"
    | "box-from-normalised";
  readonly safe: boolean;
}

/** One kind of problem in a dataset. */
export interface Finding {
  /** Stable, for example `zero_area`. */
  readonly code: string;
  readonly severity: Severity;
  readonly layer: FindingLayer;
  /** What is wrong, where (ids and file names), what to do. */
  readonly message: string;
  /** How many annotations, images, categories or files are concerned. */
  readonly count: number;
  /** Ids of the annotations (images, categories where the code says so), at most 50. */
  readonly ids: readonly number[];
  /** File names of the images concerned, at most 50. */
  readonly files?: readonly string[];
  readonly fix?: FindingFix;
}

/** Ids and names kept in a finding. */
export const MAX_FINDING_IDS = 50;

/** `a, b, c and 4 more`. */
export function listSome(items: readonly (string | number)[], limit = 5): string {
  const rest = items.length - limit;
  return items.slice(0, limit).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
