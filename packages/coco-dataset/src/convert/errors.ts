import { CocoError } from "../errors.js";
import { listSome } from "../findings.js";
import type { ConversionLoss } from "./conversion-report.js";
import type { ImportIssue } from "./import-issues.js";

/** The path holds no data of a known format, of several, or of one that cannot be read. */
export class FormatError extends CocoError {
  override readonly name = "FormatError";
  readonly code = "coco/format";
  /** `missing`: nothing there; `unknown`: no known format; `ambiguous`: more than one; `unsupported`: recognised, but not read here. */
  readonly reason: "missing" | "unknown" | "ambiguous" | "unsupported";
  readonly file: string;
  constructor({
    message,
    reason,
    file,
    cause,
  }: {
    message: string;
    reason: "missing" | "unknown" | "ambiguous" | "unsupported";
    file: string;
    cause?: unknown;
  }) {
    super(message, { cause });
    this.reason = reason;
    this.file = file;
  }
}

/** Files of a recognised format that cannot be read; every place is listed, not only the first. */
export class ImportError extends CocoError {
  override readonly name = "ImportError";
  readonly code = "coco/import";
  /** At most 50; {@link ImportError.count} is the true number. */
  readonly issues: readonly ImportIssue[];
  readonly count: number;
  constructor({ format, issues, count }: { format: string; issues: readonly ImportIssue[]; count: number }) {
    const places = issues.map(({ file, line, message }) => `${file}${line === null ? "" : `:${line}`}: ${message}`);
    const more = count > 3 ? ` And ${count - 3} more.` : "";
    super(
      `The ${format} data has ${count} ${count === 1 ? "place" : "places"} that cannot be read. ${places.slice(0, 3).join(" ")}${more}`,
    );
    this.issues = issues;
    this.count = count;
  }
}

/** A conversion that would change or drop what people annotated; nothing was written. */
export class ConversionLossError extends CocoError {
  override readonly name = "ConversionLossError";
  readonly code = "coco/conversion-loss";
  readonly losses: readonly ConversionLoss[];
  constructor({ to, losses }: { to: string; losses: readonly ConversionLoss[] }) {
    const ids = [...new Set(losses.flatMap((loss) => loss.ids))];
    const list = losses.map((loss) => `${loss.count} ${loss.message} (${loss.code}: ${listSome(loss.ids)}).`);
    super(`Writing ${to} would lose annotations: ${list.join(" ")} Repair them, or accept it with allowLoss: true.`, {
      ids,
    });
    this.losses = losses;
  }
}
