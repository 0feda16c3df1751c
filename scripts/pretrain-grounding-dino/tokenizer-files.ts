import { BERT_TOKENIZER_CONFIG, bertTokenizerJson, PHRASE_WORDS } from "@seg/teachers";

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
  const text = `${words.join("\n")}\n`;
  const json = (content: object) => `${JSON.stringify(content, null, 1)}\n`;
  return {
    "vocab.txt": text,
    "tokenizer.json": json(bertTokenizerJson(text)),
    "tokenizer_config.json": json({ ...BERT_TOKENIZER_CONFIG, model_max_length: maxLength }),
  };
}
