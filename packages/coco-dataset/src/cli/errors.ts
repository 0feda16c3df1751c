import { CocoError } from "../errors.js";

/** A command line that says nothing possible. */
export class CliUsageError extends CocoError {
  override readonly name = "CliUsageError";
  readonly code = "coco/usage";
}

/** The output is there already, or is the input. */
export class OutputExistsError extends CocoError {
  override readonly name = "OutputExistsError";
  readonly code = "coco/output-exists";
  readonly file: string;
  constructor({ file, isInput }: { file: string; isInput: boolean }) {
    super(
      isInput
        ? `${file} is the file that was read, and inputs are never written to. Give another path.`
        : `${file} exists. Give another path, or --force to replace it.`,
    );
    this.file = file;
  }
}
