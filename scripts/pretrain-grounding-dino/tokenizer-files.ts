import { PHRASE_WORDS } from "@seg/teachers";

/** Rows of the word embedding. */
const VOCABULARY = 1200;
/** First id of whole words; everything below has the meaning it has in BERT's uncased vocabulary. */
const FIRST_WORD = 1100;
/** Words of industrial scenes beside those of the shape world. Never trained on: a LoRA run gives them their meaning. */
const OTHER_WORDS = [
  ..."bag ear label defect object part hole scratch dent crack stain spot tear seal cap".split(" "),
  ..."bottle box can screw bolt cell bead logo text line".split(" "),
];
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const DIGITS = "0123456789";

/** Ids of the small vocabulary: special tokens, punctuation, digits and letters where BERT has them, words and "##" pieces behind. */
function vocabulary(): string[] {
  const words: string[] = Array.from({ length: VOCABULARY }, (_, id) => `[unused${id}]`);
  words[0] = "[PAD]";
  for (const [i, special] of ["[UNK]", "[CLS]", "[SEP]", "[MASK]"].entries()) words[100 + i] = special;
  // BERT's uncased order of the printable ASCII characters.
  for (const [i, mark] of [..."!\"#$%&'()*+,-./"].entries()) words[999 + i] = mark;
  for (const [i, digit] of [...DIGITS].entries()) words[1014 + i] = digit;
  for (const [i, mark] of [...":;<=>?@"].entries()) words[1024 + i] = mark;
  for (const [i, mark] of [..."[\\]^_`"].entries()) words[1031 + i] = mark;
  for (const [i, letter] of [...LETTERS].entries()) words[1037 + i] = letter;
  let next = FIRST_WORD;
  for (const word of [...PHRASE_WORDS, ...OTHER_WORDS]) words[next++] = word;
  // Any other word is spelled.
  for (const letter of [...LETTERS, ...DIGITS]) words[next++] = `##${letter}`;
  if (next > VOCABULARY) throw new Error(`The vocabulary needs ${next} ids, the model has ${VOCABULARY}.`);
  return words;
}

/** `vocab.txt`, `tokenizer.json` and `tokenizer_config.json` of the small Grounding DINO, by file name. */
export function tokenizerFiles(maxLength: number): Record<string, string> {
  const words = vocabulary();
  const special = [0, 100, 101, 102, 103].map((id) => ({
    id,
    content: words[id]!,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const token = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special,
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
      single: [token("[CLS]"), { Sequence: { id: "A", type_id: 0 } }, token("[SEP]")],
      pair: [
        token("[CLS]"),
        { Sequence: { id: "A", type_id: 0 } },
        token("[SEP]"),
        { Sequence: { id: "B", type_id: 1 } },
        token("[SEP]"),
      ],
      special_tokens: {
        "[CLS]": { id: "[CLS]", ids: [101], tokens: ["[CLS]"] },
        "[SEP]": { id: "[SEP]", ids: [102], tokens: ["[SEP]"] },
      },
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(words.map((word, id) => [word, id])),
    },
  };
  const config = {
    cls_token: "[CLS]",
    do_lower_case: true,
    mask_token: "[MASK]",
    model_max_length: maxLength,
    pad_token: "[PAD]",
    sep_token: "[SEP]",
    tokenizer_class: "BertTokenizer",
    unk_token: "[UNK]",
  };
  const json = (content: object) => `${JSON.stringify(content, null, 1)}\n`;
  return {
    "vocab.txt": `${words.join("\n")}\n`,
    "tokenizer.json": json(tokenizer),
    "tokenizer_config.json": json(config),
  };
}
