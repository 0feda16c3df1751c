import sax from "sax";

/** An element of a parsed document: attributes, child elements and the text directly inside, trimmed. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlElement[];
  readonly text: string;
  /** 1-based line where the element begins. */
  readonly line: number;
}

/** Text that is not well-formed XML, or that uses what annotation files have no use for. */
export class XmlSyntaxError extends Error {
  override readonly name = "XmlSyntaxError";
  /** 1-based. */
  readonly line: number;
  constructor({ message, line, cause }: { message: string; line: number; cause?: unknown }) {
    super(message, { cause });
    this.line = line;
  }
}

/** Deeper nesting is no annotation file; the limit keeps every walk over the tree shallow. */
const MAX_DEPTH = 64;
/** Characters handed to the parser at once; it refuses a single text beyond its own limit only between chunks. */
const CHUNK = 65536;

interface OpenElement {
  name: string;
  attributes: Record<string, string>;
  children: OpenElement[];
  text: string;
  line: number;
}

/**
 * A whole document as a tree. Strict: names match, one root. Only the five predefined entities and character references are resolved; a
 * document type is refused, so no entity can be declared, expanded or fetched.
 *
 * @throws XmlSyntaxError with the line
 */
export function parseXml(text: string): XmlElement {
  const parser = sax.parser(true, { position: true });
  const open: OpenElement[] = [];
  let root: OpenElement | null = null;
  const line = () => parser.line + 1;
  const fail = (message: string, cause?: unknown) => {
    throw new XmlSyntaxError({ message, line: line(), cause });
  };
  parser.onerror = (error) => fail(String(error.message.split("\n")[0]).replace(/\.$/, ""), error);
  parser.ondoctype = () =>
    fail("a document type (<!DOCTYPE ...>) is not read, because it could declare entities; remove that line");
  parser.onopentag = ({ name, attributes }) => {
    if (open.length >= MAX_DEPTH) fail(`elements are nested deeper than ${MAX_DEPTH}`);
    const element: OpenElement = {
      name,
      attributes: attributes as Record<string, string>,
      children: [],
      text: "",
      line: line(),
    };
    const parent = open.at(-1);
    if (parent !== undefined) parent.children.push(element);
    else if (root === null) root = element;
    else fail("the document has a second root element");
    open.push(element);
  };
  const append = (part: string) => {
    const element = open.at(-1);
    if (element !== undefined) element.text += part;
  };
  parser.ontext = append;
  parser.oncdata = append;
  parser.onclosetag = () => {
    const element = open.pop();
    if (element !== undefined) element.text = element.text.trim();
  };
  for (let start = 0; start < text.length; start += CHUNK) parser.write(text.slice(start, start + CHUNK));
  parser.close();
  if (root === null) throw new XmlSyntaxError({ message: "the document has no element", line: 1 });
  return root;
}

/** The name of the root element of a document, or null where the text does not begin like XML. Reads no further than the first tag. */
export function xmlRootName(head: string): string | null {
  const parser = sax.parser(true);
  let name: string | null = null;
  let isXml = true;
  parser.onopentagstart = (tag) => {
    name ??= tag.name;
  };
  parser.onerror = () => {
    isXml = false;
    // sax keeps the error and would throw it at the next write.
    parser.error = null as unknown as Error;
  };
  parser.write(head);
  return isXml || name !== null ? name : null;
}

/** The first child of that name, or null. */
export function child(element: XmlElement, name: string): XmlElement | null {
  return element.children.find((candidate) => candidate.name === name) ?? null;
}

/** Text of the first child of that name, or null where absent or empty. */
export function childText(element: XmlElement, name: string): string | null {
  const text = child(element, name)?.text ?? "";
  return text === "" ? null : text;
}
