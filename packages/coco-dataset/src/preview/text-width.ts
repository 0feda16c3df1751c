/** Widths of a bold sans-serif face in em, on the wide side (DejaVu Sans Bold): a label that fits by this estimate fits in any usual font. */
const NARROW = new Set("iIjl.,:;'|!()[] fr");
const WIDE = new Set("mwMW@%");

/** Scripts that are set on a full em: CJK, Hangul, kana, full-width forms, emoji. */
function isFullWidth(code: number): boolean {
  return (
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    code >= 0x1f000
  );
}

/**
 * Estimated width of a text in pixels: an upper estimate, since neither SVG nor a pure function can ask the font.
 *
 * @param fontSize - pixels per em
 * @example textWidth("RBC", 10) // 23.4
 */
export function textWidth(text: string, fontSize: number): number {
  let em = 0;
  for (const character of text) em += characterWidth(character);
  return em * fontSize;
}

function characterWidth(character: string): number {
  if (isFullWidth(character.codePointAt(0)!)) return 1.05;
  if (NARROW.has(character)) return 0.46;
  if (WIDE.has(character)) return 1.1;
  return character >= "A" && character <= "Z" ? 0.78 : 0.7;
}

/**
 * As {@link fitText}, but cut in the middle: of many names that begin alike the ends tell them apart.
 * @example fitMiddle("long name number 7", 10, 80) // "long na…ber 7"
 */
export function fitMiddle(text: string, fontSize: number, maxWidth: number): string {
  if (textWidth(text, fontSize) <= maxWidth) return text;
  const tail = [...text].slice(-5).join("").trimStart();
  const head = fitText(text, fontSize, maxWidth - textWidth(tail, fontSize));
  return head === "" ? fitText(text, fontSize, maxWidth) : `${head}${tail}`;
}

/**
 * The text itself, or as much of it as fits with an ellipsis behind; empty when not even one character fits.
 *
 * @param maxWidth - pixels by {@link textWidth}
 */
export function fitText(text: string, fontSize: number, maxWidth: number): string {
  const room = maxWidth / fontSize - characterWidth("…");
  let em = 0;
  let kept = "";
  for (const character of text) {
    em += characterWidth(character);
    if (em > room) return textWidth(text, fontSize) <= maxWidth ? text : kept.trimEnd() && `${kept.trimEnd()}…`;
    kept += character;
  }
  return text;
}
