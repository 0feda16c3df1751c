import { SegError } from "@seg/nn";

const some = (list: readonly string[]) =>
  `${list.slice(0, 5).join(", ")}${list.length > 5 ? `, ... (${list.length})` : ""}`;

/** The configuration's targets do not name adaptable modules of this model. Nothing was changed. */
export class LoraTargetError extends SegError {
  override readonly name = "LoraTargetError";
  readonly code = "lora/target";
  /** The entry or module path at fault. */
  readonly target: string;
  /** Paths of this model that come close, best first. */
  readonly nearest: readonly string[];
  constructor({ target, reason, nearest = [] }: { target: string; reason: string; nearest?: readonly string[] }) {
    super(`LoRA target "${target}": ${reason}.${nearest.length > 0 ? ` Nearest modules: ${some(nearest)}.` : ""}`);
    this.target = target;
    this.nearest = nearest;
  }
}

/** Adapter settings that are out of range or unknown. Nothing was changed. */
export class LoraConfigError extends SegError {
  override readonly name = "LoraConfigError";
  readonly code = "lora/config";
  readonly issues: readonly { readonly field: string; readonly message: string }[];
  constructor({ issues }: { issues: readonly { readonly field: string; readonly message: string }[] }) {
    super(`LoRA settings: ${issues.map(({ field, message }) => `${field}: ${message}`).join("; ")}.`);
    this.issues = issues;
  }
}

/** An adapter or configuration asks for something that is not implemented; using it anyway would compute something else. */
export class UnsupportedAdapterError extends SegError {
  override readonly name = "UnsupportedAdapterError";
  readonly code = "lora/unsupported";
  /** PEFT name of the field, or a file name. */
  readonly field: string;
  constructor({ field, reason }: { field: string; reason: string }) {
    super(`Adapter not supported, ${field}: ${reason}.`);
    this.field = field;
  }
}

/** Adapter tensors do not fit the model. Nothing was changed. */
export class AdapterMismatchError extends SegError {
  override readonly name = "AdapterMismatchError";
  readonly code = "lora/mismatch";
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly mismatched: readonly { key: string; expected: readonly number[]; actual: readonly number[] }[];
  /** Hashes of the base that the adapter was trained on and of this model; null when they agree or none is recorded. */
  readonly otherBase: { readonly expected: string; readonly actual: string } | null;
  constructor({
    path,
    missing = [],
    unexpected = [],
    mismatched = [],
    otherBase = null,
  }: {
    path: string;
    missing?: readonly string[];
    unexpected?: readonly string[];
    mismatched?: readonly { key: string; expected: readonly number[]; actual: readonly number[] }[];
    otherBase?: { readonly expected: string; readonly actual: string } | null;
  }) {
    const parts: string[] = [];
    if (otherBase) {
      const [expected, actual] = [otherBase.expected.slice(0, 12), otherBase.actual.slice(0, 12)];
      parts.push(
        `it was trained on base weights ${expected}, these are ${actual}; pass allowOtherBase to load it all the same`,
      );
    }
    if (missing.length > 0) parts.push(`missing ${some(missing)}`);
    if (unexpected.length > 0) parts.push(`unexpected ${some(unexpected)}`);
    if (mismatched.length > 0) {
      const texts = mismatched.map((m) => `${m.key} is [${m.actual.join(",")}], expected [${m.expected.join(",")}]`);
      parts.push(`another shape: ${some(texts)}`);
    }
    super(
      `${path} does not fit this model: ${parts.join("; ")}. Was it trained on another base model or configuration?`,
    );
    this.missing = missing;
    this.unexpected = unexpected;
    this.mismatched = mismatched;
    this.otherBase = otherBase;
  }
}

/** A model has no adapter of this name. */
export class UnknownAdapterError extends SegError {
  override readonly name = "UnknownAdapterError";
  readonly code = "lora/unknown-adapter";
  readonly adapter: string;
  readonly known: readonly string[];
  constructor({ adapter, known }: { adapter: string; known: readonly string[] }) {
    super(`The model has no adapter "${adapter}"; it has ${known.length > 0 ? known.join(", ") : "none"}.`);
    this.adapter = adapter;
    this.known = known;
  }
}

/** The set of trainable parameters is not what LoRA training may have. */
export class FreezingError extends SegError {
  override readonly name = "FreezingError";
  readonly code = "lora/freezing";
  /** Offending parameter names; empty when a count is at fault. */
  readonly names: readonly string[];
  constructor({ reason, names = [] }: { reason: string; names?: readonly string[] }) {
    super(`${reason}${names.length > 0 ? `: ${some(names)}` : ""}.`);
    this.names = names;
  }
}

/** Adapters cannot be merged or unmerged now. No weight was changed. */
export class MergeError extends SegError {
  override readonly name = "MergeError";
  readonly code = "lora/merge";
  /** Paths of the modules at fault. */
  readonly paths: readonly string[];
  constructor({ reason, paths }: { reason: string; paths: readonly string[] }) {
    super(`${reason}${paths.length > 0 ? `: ${some(paths)}` : ""}.`);
    this.paths = paths;
  }
}
