import { iou } from "../mask/iou.js";
import { area } from "../mask/rle.js";
import type { Rle } from "../types.js";

/** One annotation whose mask did not survive. */
export interface MaskChange {
  readonly id: number;
  /** Intersection over union of the masks before and after, in [0, 1]. */
  readonly iou: number;
  readonly pixelsBefore: number;
  readonly pixelsAfter: number;
}

/** Outcome of a round trip, per annotation. */
export interface MaskAudit {
  /** Masks compared. */
  readonly numCompared: number;
  /** Equal in every pixel. */
  readonly numLossless: number;
  /** 1 when nothing was compared. */
  readonly minIou: number;
  readonly meanIou: number;
  /** Masks of run lengths and of several polygon parts among those compared: the ones that other tools damage. */
  readonly numRle: number;
  readonly numMultiPart: number;
  /** Worst first, at most 50, below the threshold. */
  readonly changed: readonly MaskChange[];
  readonly numChanged: number;
}

const MAX_CHANGES = 50;

/** Running audit of one conversion. */
export class MaskAuditor {
  readonly #threshold: number;
  readonly #changes: MaskChange[] = [];
  #compared = 0;
  #lossless = 0;
  #min = 1;
  #sum = 0;
  #rle = 0;
  #multiPart = 0;

  /** @param minIou - masks with a lower IoU are changes. @defaultValue 1: every pixel counts */
  constructor({ minIou = 1 }: { minIou?: number } = {}) {
    this.#threshold = minIou;
  }

  /** Compares one mask; returns its IoU. Two empty masks agree (1); an empty one against a filled one is 0. */
  compare({
    id,
    before,
    after,
    kind,
  }: {
    id: number;
    before: Rle;
    after: Rle;
    kind: "polygon" | "parts" | "rle";
  }): number {
    const value = maskIou(before, after);
    this.#compared++;
    if (value === 1) this.#lossless++;
    if (kind === "rle") this.#rle++;
    if (kind === "parts") this.#multiPart++;
    this.#min = Math.min(this.#min, value);
    this.#sum += value;
    if (value < this.#threshold) {
      this.#changes.push({ id, iou: value, pixelsBefore: area(before), pixelsAfter: area(after) });
    }
    return value;
  }

  get changedIds(): number[] {
    return this.#changes.map((change) => change.id);
  }

  result(): MaskAudit {
    return {
      numCompared: this.#compared,
      numLossless: this.#lossless,
      minIou: this.#min,
      meanIou: this.#compared === 0 ? 1 : this.#sum / this.#compared,
      numRle: this.#rle,
      numMultiPart: this.#multiPart,
      changed: this.#changes.toSorted((a, b) => a.iou - b.iou || a.id - b.id).slice(0, MAX_CHANGES),
      numChanged: this.#changes.length,
    };
  }
}

/** |A and B| / |A or B| of two masks of one size; 1 when both are empty. */
export function maskIou(a: Rle, b: Rle): number {
  if (area(a) === 0 && area(b) === 0) return 1;
  return iou([a], [b])[0]!;
}
