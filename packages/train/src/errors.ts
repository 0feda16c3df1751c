import { SegError } from "@seg/nn";

/** A configuration key or value is not acceptable. */
export class ConfigError extends SegError {
  override readonly name = "ConfigError";
  readonly code = "train/config";
  /** Dotted path of the key. */
  readonly key: string;
  /** The known key that resembles an unknown one most, or null. */
  readonly nearest: string | null;
  constructor({ key, message, nearest = null }: { key: string; message: string; nearest?: string | null }) {
    super(message);
    this.key = key;
    this.nearest = nearest;
  }
}

/** A gradient holds NaN or infinity; nothing was applied. */
export class NonFiniteGradientError extends SegError {
  override readonly name = "NonFiniteGradientError";
  readonly code = "train/non-finite-gradient";
  /** First bad parameter, in parameter order. */
  readonly parameter: string;
  readonly index: number;
  readonly value: number;
  constructor({
    parameter,
    index,
    value,
    reason,
  }: { parameter: string; index: number; value: number; reason?: string }) {
    super(
      `The gradient of "${parameter}" is ${value} at element ${index}${reason ? ` (${reason})` : ""}. Nothing was applied. ` +
        "Lower the learning rate, lengthen the warm-up, or look at the batch.",
    );
    this.parameter = parameter;
    this.index = index;
    this.value = value;
  }
}

/** The loss is NaN or infinite; no gradient was applied. */
export class NonFiniteLossError extends SegError {
  override readonly name = "NonFiniteLossError";
  readonly code = "train/non-finite-loss";
  /** 0-based count of batches before this one. */
  readonly step: number;
  readonly loss: number;
  readonly parts: Readonly<Record<string, number>>;
  constructor({ step, loss, parts }: { step: number; loss: number; parts: Readonly<Record<string, number>> }) {
    const terms = Object.entries(parts).map(([name, value]) => `${name} ${value}`);
    super(
      `The loss of step ${step} is ${loss}${terms.length > 0 ? ` (${terms.join(", ")})` : ""}. No gradient was applied. ` +
        "Look at the term that is not finite and at the images of this batch.",
    );
    this.step = step;
    this.loss = loss;
    this.parts = parts;
  }
}

/** A checkpoint could not be written; earlier files are intact. */
export class CheckpointWriteError extends SegError {
  override readonly name = "CheckpointWriteError";
  readonly code = "train/checkpoint-write";
  readonly path: string;
  constructor({ path, cause }: { path: string; cause: unknown }) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`Cannot write ${path}: ${why}. The temporary file was removed and earlier files are intact.`, { cause });
    this.path = path;
  }
}

/** No usable checkpoint: every file found fails its checksum or cannot be parsed. */
export class CheckpointCorruptError extends SegError {
  override readonly name = "CheckpointCorruptError";
  readonly code = "train/checkpoint-corrupt";
  readonly files: readonly { readonly path: string; readonly reason: string }[];
  constructor({ files }: { files: readonly { path: string; reason: string }[] }) {
    const list = files.map((file) => `${file.path} (${file.reason})`).join(", ");
    super(`No valid checkpoint: ${list}. Restore one from a copy, or start a new run.`);
    this.files = files;
  }
}

/** A run cannot go on from a checkpoint because what it trains has changed. */
export class ResumeMismatchError extends SegError {
  override readonly name = "ResumeMismatchError";
  readonly code = "train/resume-mismatch";
  readonly differences: readonly { readonly key: string; readonly saved: unknown; readonly current: unknown }[];
  constructor({ differences }: { differences: readonly { key: string; saved: unknown; current: unknown }[] }) {
    const lines = differences.map(
      (d) => `${d.key}: saved ${JSON.stringify(d.saved)}, now ${JSON.stringify(d.current)}`,
    );
    super(`Cannot resume: ${lines.join("; ")}. Undo the change, or start a new run from these weights.`);
    this.differences = differences;
  }
}
