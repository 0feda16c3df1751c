import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { TeacherUnavailableError } from "../errors.js";

/** Tokens that are never split nor lower-cased. */
const SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/**
 * The `tokenizer.json` of BERT uncased for a vocabulary: clean, lower-case without accents, split at spaces, punctuation and Chinese characters,
 * longest-match WordPiece, [CLS] ... [SEP].
 *
 * @param vocabulary - text of a `vocab.txt`: one token a line, its id is the line number from 0
 * @throws {@link TeacherUnavailableError} when a special token is missing
 */
export function bertTokenizerJson(vocabulary: string): Record<string, unknown> {
  const lines = vocabulary.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const vocab = Object.fromEntries(lines.map((token, id) => [token, id]));
  const id = (token: string): number => {
    const value = vocab[token];
    if (value !== undefined) return value;
    const reason = `the vocabulary of ${lines.length} tokens holds no ${token}; it is not one of BERT uncased`;
    throw new TeacherUnavailableError({ teacher: "grounding_dino", reason });
  };
  const special = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } });
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content) => ({
      id: id(content),
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single: [special("[CLS]"), { Sequence: { id: "A", type_id: 0 } }, special("[SEP]")],
      pair: [
        special("[CLS]"),
        { Sequence: { id: "A", type_id: 0 } },
        special("[SEP]"),
        { Sequence: { id: "B", type_id: 1 } },
        { SpecialToken: { id: "[SEP]", type_id: 1 } },
      ],
      special_tokens: Object.fromEntries(
        ["[CLS]", "[SEP]"].map((token) => [token, { id: token, ids: [id(token)], tokens: [token] }]),
      ),
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab,
    },
  };
}

/** The `tokenizer_config.json` that goes with {@link bertTokenizerJson}. */
export const BERT_TOKENIZER_CONFIG = {
  clean_up_tokenization_spaces: true,
  cls_token: "[CLS]",
  do_lower_case: true,
  mask_token: "[MASK]",
  pad_token: "[PAD]",
  sep_token: "[SEP]",
  tokenizer_class: "BertTokenizer",
  unk_token: "[UNK]",
} as const;

/**
 * The tokenizer of a model folder: `tokenizer.json`, or BERT's rules over `vocab.txt`.
 * @throws {@link TeacherUnavailableError} when neither can be read
 */
export function loadBertTokenizer(directory: string): Tokenizer {
  const read = (name: string): string => readFileSync(join(directory, name), "utf8");
  try {
    if (existsSync(join(directory, "tokenizer.json"))) {
      const config = existsSync(join(directory, "tokenizer_config.json"))
        ? (JSON.parse(read("tokenizer_config.json")) as object)
        : BERT_TOKENIZER_CONFIG;
      return new Tokenizer(JSON.parse(read("tokenizer.json")) as object, config);
    }
    return new Tokenizer(bertTokenizerJson(read("vocab.txt")), BERT_TOKENIZER_CONFIG);
  } catch (cause) {
    if (TeacherUnavailableError.isInstance(cause)) throw cause;
    const reason = `${directory} holds no readable tokenizer.json or vocab.txt; copy it from where the weights come from`;
    throw new TeacherUnavailableError({ teacher: "grounding_dino", reason, cause });
  }
}
