/**
 * Where a text stops being JSON (RFC 8259). V8's own messages omit the position in short texts and change between versions.
 *
 * @returns character index of the first offending character (the length where the text ends too early) and what was expected there;
 * null when the text is JSON
 */
export function locateJsonError(text: string): { index: number; expected: string } | null {
  let at = 0;
  const failure = (expected: string, index = at) => ({ index, expected });
  const skip = () => {
    for (let c = text.charCodeAt(at); c === 32 || c === 9 || c === 10 || c === 13; c = text.charCodeAt(at)) at++;
  };
  const numberPattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
  const string = (): { index: number; expected: string } | null => {
    for (at++; at < text.length; at++) {
      const c = text.charCodeAt(at);
      if (c === 34) {
        at++;
        return null;
      }
      if (c < 32) return failure("no raw control character inside a string");
      if (c === 92) {
        const escaped = text[at + 1];
        if (escaped === "u") {
          if (!/^[0-9a-fA-F]{4}$/.test(text.slice(at + 2, at + 6))) return failure("four hexadecimal digits after \\u");
          at += 5;
        } else if (escaped !== undefined && '"\\/bfnrt'.includes(escaped)) at++;
        else return failure("a JSON escape (a backslash in RLE counts must be written twice)");
      }
    }
    return failure('a closing "');
  };
  /** Open containers: true for an object. An explicit stack, because foreign files may nest without bound. */
  const stack: boolean[] = [];
  for (;;) {
    // A value begins here.
    skip();
    const c = text[at];
    let isOpened = false;
    if (c === "{" || c === "[") {
      at++;
      stack.push(c === "{");
      skip();
      if (text[at] === (c === "{" ? "}" : "]")) {
        at++;
        stack.pop();
      } else isOpened = true;
    } else if (c === '"') {
      const problem = string();
      if (problem !== null) return problem;
    } else {
      const word = ["true", "false", "null"].find((candidate) => text.startsWith(candidate, at));
      if (word !== undefined) at += word.length;
      else {
        numberPattern.lastIndex = at;
        const match = numberPattern.exec(text);
        if (match === null) return failure("a value");
        at += match[0].length;
      }
    }
    // A value ended (or a container opened): closers, then a comma or the end.
    while (!isOpened) {
      skip();
      const top = stack.at(-1);
      if (top === undefined) return at < text.length ? failure("the end of the document") : null;
      if (text[at] === ",") {
        at++;
        isOpened = true;
      } else if (text[at] === (top ? "}" : "]")) {
        at++;
        stack.pop();
      } else return failure(top ? "',' or '}'" : "',' or ']'");
    }
    if (stack.at(-1) === true) {
      skip();
      if (text[at] !== '"') return failure("a key in double quotes");
      const problem = string();
      if (problem !== null) return problem;
      skip();
      if (text[at] !== ":") return failure("':'");
      at++;
    }
  }
}
