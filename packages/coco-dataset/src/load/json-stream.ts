import { isUtf8 } from "node:buffer";
import { CocoParseError } from "../errors.js";
import { locateJsonError } from "./locate-json-error.js";

/** A single array element or value may have this many bytes: more is not an annotation but a broken bracket (and must fit one string). */
const MAX_VALUE_BYTES = 64 * 2 ** 20;

/** One piece of a document: an array element (`index` >= 0), a whole value or the opening of an array (`index` -1, value `[]`). `key` is null in a top-level array. */
export interface JsonPiece {
  readonly key: string | null;
  readonly index: number;
  readonly value: unknown;
}

/** What is expected next. */
type Phase =
  | "begin"
  | "first-key"
  | "key"
  | "colon"
  | "value"
  | "after-value"
  | "first-element"
  | "element"
  | "after-element"
  | "end";

const QUOTE = 34;
const BACKSLASH = 92;
const OPEN = 1;
const CLOSE = 2;
const STRING = 3;
/** Bytes that matter inside a value; all others are passed over. */
const CLASS = new Uint8Array(256);
for (const character of "{[") CLASS[character.charCodeAt(0)] = OPEN;
for (const character of "}]") CLASS[character.charCodeAt(0)] = CLOSE;
CLASS[QUOTE] = STRING;

const EXPECTED: Readonly<Record<Phase, string>> = {
  begin: "{ or [",
  "first-key": "a key in double quotes or }",
  key: "a key in double quotes",
  colon: "':'",
  value: "a value",
  "after-value": "',' or '}'",
  "first-element": "a value or ]",
  element: "a value",
  "after-element": "',' or ']'",
  end: "the end of the document",
};

/**
 * Takes a JSON document apart while its bytes arrive, in constant memory: top-level keys in any order, and of each top-level array (or
 * of an array that is the document) one element after another. Only complete elements are parsed, so chunks may end anywhere, inside a
 * character, an escape or the byte order mark.
 */
export class JsonStream {
  readonly #name: string;
  readonly #wants: (key: string | null) => boolean;
  readonly #maxValueBytes: number;
  #data = new Uint8Array(0);
  /** Unconsumed bytes are `#data[#start, #end)`; `#at` is where scanning goes on. */
  #start = 0;
  #at = 0;
  #end = 0;
  /** Of `#data[0]` in the document. */
  #offset = 0;
  #phase: Phase = "begin";
  #isArray = false;
  #key: string | null = null;
  #index = -1;
  /** Inside a value: open brackets, whether inside a string; -1 between values. */
  #depth = -1;
  #inString = false;

  /**
   * @param name - of the document, for errors
   * @param options.wants - whether values of a key are parsed at all; others are passed over. @defaultValue all
   * @param options.maxValueBytes - longest element or value. @defaultValue {@link MAX_VALUE_BYTES}
   */
  constructor(
    name: string,
    {
      wants = () => true,
      maxValueBytes = MAX_VALUE_BYTES,
    }: { wants?: (key: string | null) => boolean; maxValueBytes?: number } = {},
  ) {
    this.#name = name;
    this.#wants = wants;
    this.#maxValueBytes = maxValueBytes;
  }

  /**
   * Adds bytes and gives the pieces that became complete.
   * @throws CocoParseError with the byte offset; line and column unknown (-1)
   */
  *push(chunk: Uint8Array): Generator<JsonPiece> {
    this.#append(chunk);
    for (;;) {
      if (this.#depth >= 0) {
        if (!this.#scanValue()) return;
        const piece = this.#finishValue();
        if (piece !== null) yield piece;
        continue;
      }
      if (!this.#skipSpace()) return;
      const closed = this.#step(this.#data[this.#at]!);
      if (closed !== null) yield closed;
    }
  }

  /** @throws CocoParseError when the document is not complete */
  finish(): void {
    if (this.#phase === "end") return;
    const isEmpty = this.#phase === "begin" && this.#at === this.#end;
    if (this.#depth >= 0) this.#reportValue(this.#end);
    throw this.#error(this.#offset + this.#end, isEmpty ? "JSON" : EXPECTED[this.#phase], null);
  }

  #append(chunk: Uint8Array): void {
    const pending = this.#end - this.#start;
    if (pending + chunk.length > this.#data.length) {
      const grown = new Uint8Array(Math.max(pending + chunk.length, pending > chunk.length ? 2 * pending : 0));
      grown.set(this.#data.subarray(this.#start, this.#end));
      this.#data = grown;
    } else this.#data.copyWithin(0, this.#start, this.#end);
    this.#data.set(chunk, pending);
    this.#offset += this.#start;
    this.#at -= this.#start;
    this.#start = 0;
    this.#end = pending + chunk.length;
  }

  /** False when the bytes ran out. */
  #skipSpace(): boolean {
    if (this.#phase === "begin" && this.#offset + this.#at === 0) {
      // A byte order mark may be cut by the chunk.
      if (this.#end < 3 && this.#data[0] === 0xef) return false;
      if (this.#data[0] === 0xef && this.#data[1] === 0xbb && this.#data[2] === 0xbf) this.#at = 3;
    }
    while (this.#at < this.#end) {
      const byte = this.#data[this.#at]!;
      if (byte !== 32 && byte !== 10 && byte !== 13 && byte !== 9) break;
      this.#at++;
    }
    this.#start = this.#at;
    return this.#at < this.#end;
  }

  /** Handles the byte between values; a piece when an empty or finished array must be announced. */
  #step(byte: number): JsonPiece | null {
    const character = String.fromCharCode(byte);
    switch (this.#phase) {
      case "begin":
        if (character !== "{" && character !== "[") break;
        this.#isArray = character === "[";
        this.#advance(this.#isArray ? "first-element" : "first-key");
        return this.#isArray ? this.#opened() : null;
      case "first-key":
      case "key":
        if (character === "}" && this.#phase === "first-key") return this.#advance("end");
        if (character !== '"') break;
        this.#depth = 0;
        return null;
      case "colon":
        if (character !== ":") break;
        return this.#advance("value");
      case "value":
        if (character !== "[") {
          this.#depth = 0;
          return null;
        }
        this.#index = 0;
        this.#advance("first-element");
        return this.#opened();
      case "after-value":
        if (character === ",") return this.#advance("key");
        if (character === "}") return this.#advance("end");
        break;
      case "first-element":
      case "element":
        if (character === "]" && this.#phase === "first-element") return this.#endArray();
        if (this.#index < 0) this.#index = 0;
        this.#depth = 0;
        return null;
      case "after-element":
        if (character === ",") return this.#advance("element");
        if (character === "]") return this.#endArray();
        break;
      case "end":
        break;
    }
    throw this.#error(this.#offset + this.#at, EXPECTED[this.#phase], character);
  }

  #advance(phase: Phase): null {
    this.#phase = phase;
    this.#start = ++this.#at;
    return null;
  }

  /** Says that an array is there, also when it is empty. */
  #opened(): JsonPiece | null {
    return this.#wants(this.#key) ? { key: this.#key, index: -1, value: [] } : null;
  }

  #endArray(): null {
    this.#index = -1;
    return this.#advance(this.#isArray ? "end" : "after-value");
  }

  /** Goes on through the value that begins at `#start`; true when it is complete and ends before `#at`. */
  #scanValue(): boolean {
    const data = this.#data;
    const end = this.#end;
    let at = this.#at;
    let depth = this.#depth;
    let inString = this.#inString;
    let isDone = false;
    const isScalar = depth === 0 && !inString && CLASS[data[this.#start]!] === 0;
    if (isScalar) {
      while (at < end && !isDelimiter(data[at]!)) at++;
      isDone = at < end;
    } else {
      while (at < end) {
        const byte = data[at]!;
        if (inString) {
          if (byte === QUOTE) {
            inString = false;
            at++;
            if (depth === 0) {
              isDone = true;
              break;
            }
            continue;
          }
          if (byte === BACKSLASH) {
            // The escaped byte may lie in the next chunk: stay before the backslash.
            if (at + 1 >= end) break;
            at++;
          }
          at++;
          continue;
        }
        const kind = CLASS[byte]!;
        at++;
        if (kind === 0) continue;
        if (kind === STRING) inString = true;
        else if (kind === OPEN) depth++;
        else if (--depth <= 0) {
          isDone = true;
          break;
        }
      }
    }
    this.#at = at;
    this.#depth = depth;
    this.#inString = inString;
    if (at - this.#start > this.#maxValueBytes) {
      this.#reportValue(at);
      throw new CocoParseError({
        reason: "too-large",
        byteOffset: this.#offset + this.#start,
        message: `${this.#name}: the value at byte ${this.#offset + this.#start} has more than ${this.#maxValueBytes} bytes. A bracket may be missing there.`,
      });
    }
    return isDone;
  }

  #finishValue(): JsonPiece | null {
    const isKey = this.#phase === "first-key" || this.#phase === "key";
    const isElement = this.#phase === "first-element" || this.#phase === "element";
    this.#depth = -1;
    this.#inString = false;
    const isWanted = isKey || this.#wants(this.#key);
    const value = isWanted ? this.#parse() : undefined;
    this.#start = this.#at;
    if (isKey) {
      this.#key = value as string;
      this.#phase = "colon";
      return null;
    }
    this.#phase = isElement ? "after-element" : "after-value";
    const piece = { key: this.#key, index: isElement ? this.#index++ : -1, value };
    return isWanted ? piece : null;
  }

  #parse(): unknown {
    const bytes = Buffer.from(this.#data.buffer, this.#start, this.#at - this.#start);
    try {
      if (isUtf8(bytes)) return JSON.parse(bytes.toString("utf8"));
    } catch (cause) {
      this.#reportValue(this.#at, cause);
    }
    throw new CocoParseError({
      reason: "encoding",
      byteOffset: this.#offset + this.#start,
      message: `${this.#name} is not UTF-8 text in the value at byte ${this.#offset + this.#start}. Save it as UTF-8 JSON.`,
    });
  }

  /** Throws where the value `#data[#start, end)` stops being JSON; returns when it is only cut off. */
  #reportValue(end: number, cause?: unknown): void {
    const bytes = Buffer.from(this.#data.buffer, this.#start, end - this.#start);
    const text = bytes.toString("utf8");
    const problem = locateJsonError(text);
    if (problem === null || problem.index >= text.length) {
      // Without a cause the value is still open. With one it ended too early, at the byte that follows.
      if (cause === undefined) return;
      const next = String.fromCharCode(this.#data[end] ?? 0);
      throw this.#error(this.#offset + end, problem?.expected ?? "JSON", next, cause);
    }
    const offset = this.#offset + this.#start + Buffer.byteLength(text.slice(0, problem.index));
    throw this.#error(offset, problem.expected, text[problem.index]!, cause);
  }

  /** @param found - null: the end of the file */
  #error(byteOffset: number, expected: string, found: string | null, cause?: unknown): CocoParseError {
    const todo =
      found === null ? "The file is cut off: export or download it again." : "Fix it there or export the file again.";
    return new CocoParseError({
      reason: "json",
      byteOffset,
      cause,
      message: `${this.#name} is not JSON: expected ${expected}, got ${found === null ? "the end of the file" : JSON.stringify(found)} at byte ${byteOffset}. ${todo}`,
    });
  }
}

/** Ends a number or a word. */
function isDelimiter(byte: number): boolean {
  return byte === 44 || byte === 93 || byte === 125 || byte === 32 || byte === 10 || byte === 13 || byte === 9;
}
