import { RleError } from "../errors.js";
import type { Rle } from "../types.js";
import { checkSize } from "./rle.js";
import { RunBuffer } from "./run-buffer.js";

/** Characters of one number: 32 bits and a sign in groups of five. */
const MAX_CODES = 7;

/**
 * pycocotools' printable counts: from the fourth run on the difference to the run two before, in groups of five bits with a
 * continuation bit, as characters 48..111 (`0`..`o`, backslash included).
 */
export function toCompressed(rle: Rle): string {
  const { counts } = rle;
  const codes = Buffer.allocUnsafe(MAX_CODES * counts.length);
  let length = 0;
  for (let i = 0; i < counts.length; i++) {
    let value = counts[i]!;
    if (i > 2) value -= counts[i - 2]!;
    for (;;) {
      let group = value & 31;
      value >>= 5;
      const more = (group & 16) !== 0 ? value !== -1 : value !== 0;
      if (more) group |= 32;
      codes[length++] = group + 48;
      if (!more) break;
    }
  }
  return codes.toString("latin1", 0, length);
}

/**
 * Run lengths of pycocotools' printable counts. Only the syntax is checked here, the sum where the mask is used.
 * @throws RleError (reason `string`) on a character outside 48..111, a number of more than six characters, a negative run or a cut end
 */
export function fromString(text: string, height: number, width: number): Rle {
  checkSize(height, width);
  const buffer = new RunBuffer(text.length);
  appendCompressed(buffer, text);
  return { size: [height, width], counts: buffer.data.slice(0, buffer.length) };
}

/** {@link fromString} into a buffer that holds other masks already. */
export function appendCompressed(buffer: RunBuffer, text: string): void {
  buffer.reserve(text.length);
  const { data, length: first } = buffer;
  let length = first;
  let position = 0;
  while (position < text.length) {
    const start = position;
    let value = 0;
    let shift = 0;
    for (;;) {
      if (position >= text.length) throw stringError("ends inside a number");
      const code = text.charCodeAt(position) - 48;
      if (code < 0 || code > 63)
        throw stringError(`has character ${JSON.stringify(text[position])} at ${position}, expected 0..o`);
      if (position - start >= 6) throw stringError(`has a number of more than six characters at ${start}`);
      position++;
      // Six groups are 30 bits; the sign extension below stays inside 32.
      value |= (code & 31) << shift;
      shift += 5;
      if ((code & 32) === 0) {
        if ((code & 16) !== 0) value |= -1 << shift;
        break;
      }
    }
    if (length - first > 2) value += data[length - 2]!;
    if (value < 0 || value > 0xffffffff) throw stringError(`has an impossible run (${value}) at ${start}`);
    data[length++] = value;
  }
  buffer.length = length;
}

function stringError(what: string): RleError {
  return new RleError({
    reason: "string",
    message: `compressed counts: the string ${what}. A JSON writer may have dropped a backslash; re-encode the mask.`,
  });
}
