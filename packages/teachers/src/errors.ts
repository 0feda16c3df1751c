import { SegError } from "@seg/nn";

export { SegError };

/** A model folder's `config.json` is not a configuration this package can build. */
export class TeacherConfigError extends SegError {
  override readonly name = "TeacherConfigError";
  readonly code = "teachers/config";
  /** Key in the file, dotted. */
  readonly field: string;
  constructor({
    field,
    expected,
    actual,
    model = "SAM",
  }: {
    field: string;
    expected: string;
    actual: unknown;
    model?: string;
  }) {
    super(
      `${model} config: "${field}" must be ${expected}, got ${JSON.stringify(actual)}. Use the config.json that was saved with the model.`,
    );
    this.field = field;
  }
}

/** A teacher that was asked for cannot be used. */
export class TeacherUnavailableError extends SegError {
  override readonly name = "TeacherUnavailableError";
  readonly code = "teachers/unavailable";
  readonly teacher: string;
  readonly reason: string;
  constructor({ teacher, reason, cause }: { teacher: string; reason: string; cause?: unknown }) {
    super(`Teacher "${teacher}" is not available: ${reason}.`, cause === undefined ? {} : { cause });
    this.teacher = teacher;
    this.reason = reason;
  }
}

/** The data carries neither boxes nor masks, or none that can be trained on. */
export class NoTrainableDataError extends SegError {
  override readonly name = "NoTrainableDataError";
  readonly code = "teachers/no-trainable-data";
  readonly images: number;
  readonly instances: number;
  constructor({ images, instances, needed }: { images: number; instances: number; needed: string }) {
    super(
      `Nothing to train on: ${images} images with ${instances} instances, none with ${needed}. Annotate some objects first.`,
    );
    this.images = images;
    this.instances = instances;
  }
}

/** A loss or gradient stopped being finite. */
export class NonFiniteTeacherLossError extends SegError {
  override readonly name = "NonFiniteTeacherLossError";
  readonly code = "teachers/non-finite-loss";
  readonly step: number;
  readonly parts: Readonly<Record<string, number>>;
  constructor({ step, parts }: { step: number; parts: Readonly<Record<string, number>> }) {
    super(`The loss at step ${step} is not finite: ${JSON.stringify(parts)}. Lower the learning rate.`);
    this.step = step;
    this.parts = parts;
  }
}
