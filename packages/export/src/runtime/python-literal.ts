/** Values that a Python literal can hold here; a Map keeps integer keys and their order. */
export type PythonValue =
  | string
  | number
  | boolean
  | null
  | readonly PythonValue[]
  | ReadonlyMap<number | string, PythonValue>;

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", "\\": "\\", "'": "'", '"': '"' };

function quote(text: string): string {
  let out = "'";
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (character === "'" || character === "\\") out += `\\${character}`;
    else if (character === "\n") out += "\\n";
    else if (character === "\r") out += "\\r";
    else if (character === "\t") out += "\\t";
    else if (code < 0x20 || code === 0x7f) out += `\\x${code.toString(16).padStart(2, "0")}`;
    else out += character;
  }
  return `${out}'`;
}

/**
 * A value as `ast.literal_eval` of Python reads it: the form in which ONNX model metadata of the YOLO family is written.
 * @example toPythonLiteral(new Map([[0, "it's"]])) // "{0: 'it\\'s'}"
 */
export function toPythonLiteral(value: PythonValue): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return quote(value);
  if (Array.isArray(value)) return `[${value.map(toPythonLiteral).join(", ")}]`;
  const entries = [...(value as ReadonlyMap<number | string, PythonValue>)];
  return `{${entries.map(([key, item]) => `${toPythonLiteral(key)}: ${toPythonLiteral(item)}`).join(", ")}}`;
}

/**
 * Reads a Python literal made of dicts, lists, tuples, strings, numbers, True, False and None.
 * @throws SyntaxError naming the position
 */
export function parsePythonLiteral(text: string): PythonValue {
  let at = 0;
  const fail = (expected: string): never => {
    throw new SyntaxError(
      `Python literal: expected ${expected} at position ${at} of ${JSON.stringify(text.slice(0, 80))}.`,
    );
  };
  const skip = (): void => {
    while (at < text.length && /\s/.test(text[at]!)) at++;
  };
  const readString = (): string => {
    const mark = text[at++]!;
    let out = "";
    while (at < text.length && text[at] !== mark) {
      if (text[at] !== "\\") {
        out += text[at++];
        continue;
      }
      const kind = text[at + 1] ?? fail("an escape");
      const length = { x: 2, u: 4, U: 8 }[kind];
      if (length !== undefined) {
        out += String.fromCodePoint(Number.parseInt(text.slice(at + 2, at + 2 + length), 16));
        at += 2 + length;
      } else {
        out += ESCAPES[kind] ?? `\\${kind}`;
        at += 2;
      }
    }
    if (text[at] !== mark) fail(`closing ${mark}`);
    at++;
    return out;
  };
  const readSequence = (close: string): PythonValue[] => {
    const items: PythonValue[] = [];
    at++;
    for (skip(); text[at] !== close; skip()) {
      items.push(read());
      skip();
      if (text[at] === ",") at++;
      else if (text[at] !== close) fail(`"," or "${close}"`);
    }
    at++;
    return items;
  };
  const readDict = (): Map<number | string, PythonValue> => {
    const map = new Map<number | string, PythonValue>();
    at++;
    for (skip(); text[at] !== "}"; skip()) {
      const key = read();
      if (typeof key !== "number" && typeof key !== "string") return fail("a number or string key");
      skip();
      if (text[at] !== ":") fail('":"');
      at++;
      map.set(key, read());
      skip();
      if (text[at] === ",") at++;
      else if (text[at] !== "}") fail('"," or "}"');
    }
    at++;
    return map;
  };
  function read(): PythonValue {
    skip();
    const character = text[at];
    if (character === undefined) return fail("a value");
    if (character === "'" || character === '"') return readString();
    if (character === "[") return readSequence("]");
    if (character === "(") return readSequence(")");
    if (character === "{") return readDict();
    const word = /^(True|False|None|[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)/.exec(text.slice(at))?.[0];
    if (word === undefined) return fail("a value");
    at += word.length;
    if (word === "None") return null;
    return word === "True" ? true : word === "False" ? false : Number(word);
  }
  const value = read();
  skip();
  if (at < text.length) fail("the end");
  return value;
}
