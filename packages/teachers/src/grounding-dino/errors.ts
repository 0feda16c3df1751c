import { SegError } from "../errors.js";

/** One phrase alone has more tokens than the network reads. */
export class PromptTooLongError extends SegError {
  override readonly name = "PromptTooLongError";
  readonly code = "teachers/prompt-too-long";
  readonly phrase: string;
  /** Tokens of a caption that holds the phrase alone, with [CLS], "." and [SEP]. */
  readonly tokens: number;
  readonly limit: number;
  constructor({ phrase, tokens, limit }: { phrase: string; tokens: number; limit: number }) {
    super(
      `The phrase "${phrase.length > 60 ? `${phrase.slice(0, 60)}...` : phrase}" takes ${tokens} tokens, the model reads ${limit}. Shorten it.`,
    );
    this.phrase = phrase;
    this.tokens = tokens;
    this.limit = limit;
  }
}

/** A class name that cannot be a phrase of a caption. */
export class ClassNameError extends SegError {
  override readonly name = "ClassNameError";
  readonly code = "teachers/class-name";
  readonly className: string;
  /** Position in the list. */
  readonly index: number;
  constructor({ className, index, reason }: { className: string; index: number; reason: string }) {
    super(`Class ${index} "${className}" ${reason}. Rename it, or map it to another phrase.`);
    this.className = className;
    this.index = index;
  }
}
