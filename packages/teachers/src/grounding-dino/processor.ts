import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { GroundingDinoSizeOptions } from "@seg/preprocess";
import { TeacherConfigError, TeacherUnavailableError } from "../errors.js";
import { loadBertTokenizer } from "./bert-tokenizer.js";
import { ClassNameError } from "./errors.js";

/** How a model folder wants its captions and pictures. */
export interface GroundingDinoProcessor {
  readonly size: GroundingDinoSizeOptions;
  /**
   * Class names as phrases: lower case, `_`, `.`, `?` and control characters become spaces, runs of spaces collapse.
   * @throws {@link ClassNameError} for a name that is empty or equal to another one after that
   */
  phrases(names: readonly string[]): string[];
  /** Token ids of the caption "a. b. c.", with [CLS] and [SEP]. */
  encode(phrases: readonly string[]): number[];
  /** Word pieces of a text, without [CLS] and [SEP]. */
  pieces(text: string): string[];
}

/**
 * Reads tokenizer and `preprocessor_config.json` of a model folder.
 * @throws {@link TeacherUnavailableError} when a file is missing or no JSON, {@link TeacherConfigError} without a usable size
 */
export function loadGroundingDinoProcessor(directory: string): GroundingDinoProcessor {
  const read = (name: string): Record<string, unknown> => {
    try {
      return JSON.parse(readFileSync(join(directory, name), "utf8")) as Record<string, unknown>;
    } catch (cause) {
      const reason = `${name} in ${directory} cannot be read; copy it from where the weights come from`;
      throw new TeacherUnavailableError({ teacher: "grounding_dino", reason, cause });
    }
  };
  const tokenizer = loadBertTokenizer(directory);
  const { size } = read("preprocessor_config.json") as { size?: { shortest_edge?: unknown; longest_edge?: unknown } };
  const edge = (key: "shortest_edge" | "longest_edge"): number => {
    const value = size?.[key];
    if (Number.isInteger(value) && (value as number) > 0) return value as number;
    throw new TeacherConfigError({
      model: "Grounding DINO",
      field: `preprocessor_config.json size.${key}`,
      expected: "an integer > 0",
      actual: value,
    });
  };
  return {
    size: { shortestEdge: edge("shortest_edge"), longestEdge: edge("longest_edge") },
    phrases: phrasesOf,
    encode: (phrases) => tokenizer.encode(`${phrases.join(". ")}.`).ids,
    pieces: (text) => tokenizer.tokenize(text),
  };
}

function phrasesOf(names: readonly string[]): string[] {
  const phrases: string[] = [];
  for (const [index, className] of names.entries()) {
    const phrase = className
      .toLowerCase()
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is replaced
      .replace(/[_.?\u0000-\u001f\u007f]/g, " ")
      .replace(/\s+/g, " ")
      .trim();
    if (phrase === "") throw new ClassNameError({ className, index, reason: "holds no word" });
    const other = phrases.indexOf(phrase);
    if (other >= 0) {
      throw new ClassNameError({ className, index, reason: `is the phrase "${phrase}", as class ${other} is` });
    }
    phrases.push(phrase);
  }
  return phrases;
}
