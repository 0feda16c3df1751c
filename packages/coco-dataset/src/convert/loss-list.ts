import { MAX_FINDING_IDS } from "../findings.js";
import type { ConversionLoss } from "./conversion-report.js";

/** Collects ids by kind of loss. */
export class LossList {
  readonly #losses = new Map<
    ConversionLoss["code"],
    { message: string; needsConsent: boolean; ids: number[]; count: number }
  >();

  /** Declares nothing and counts one: the message and consent of the first call of a code stand for all. */
  add(code: ConversionLoss["code"], id: number, message: string, needsConsent: boolean): void {
    let loss = this.#losses.get(code);
    if (loss === undefined) {
      loss = { message, needsConsent, ids: [], count: 0 };
      this.#losses.set(code, loss);
    }
    loss.count++;
    if (loss.ids.length < MAX_FINDING_IDS) loss.ids.push(id);
  }

  list(): ConversionLoss[] {
    return [...this.#losses].map(([code, loss]) => ({ code, ...loss }));
  }
}
