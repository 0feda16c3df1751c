import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ImportIssues } from "./import-issues.js";
import { parseXml, type XmlElement, XmlSyntaxError } from "./xml-tree.js";

/** Parses one XML file; what is not well-formed is added to the issues and null comes back. */
export async function readXml(root: string, file: string, issues: ImportIssues): Promise<XmlElement | null> {
  const bytes = await readFile(join(root, file));
  let text: string;
  try {
    text = decodeXml(bytes);
  } catch {
    issues.add(file, null, "is neither UTF-8 nor UTF-16 text. Save it as UTF-8.");
    return null;
  }
  try {
    return parseXml(text);
  } catch (error) {
    if (!(error instanceof XmlSyntaxError)) throw error;
    issues.add(file, error.line, `is not XML that can be read: ${error.message}.`);
    return null;
  }
}

/** UTF-16 where a byte order mark says so, else UTF-8; a BOM is dropped. */
function decodeXml(bytes: Uint8Array): string {
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : "utf-8";
  return new TextDecoder(encoding, { fatal: true }).decode(bytes);
}

/** A number that a text holds completely, or null. */
export function toNumber(text: string | null | undefined): number | null {
  if (text === null || text === undefined || text.trim() === "") return null;
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}
