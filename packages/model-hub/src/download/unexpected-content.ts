/** Files whose content may well be HTML or JSON. */
const TEXT =
  /(\.(json|jsonl|html?|md|txt|yaml|yml|xml|csv|py|jinja|model|gitattributes|gitignore)|(^|\/)(LICEN[CS]E|NOTICE|README)[^/]*)$/i;

/** Whether a file of this name is text, so that a text answer for it is no surprise. Names without extension count as text. */
export const isTextFile = (path: string): boolean => TEXT.test(path) || !/\.[^/]+$/.test(path);

/** Reason why an answer cannot be the binary file that was asked for, from its headers; null when nothing speaks against it. */
export function unexpectedType(contentType: string | null): string | null {
  const type = (contentType ?? "").split(";")[0]!.trim().toLowerCase();
  return type === "text/html" || type === "application/xhtml+xml" || type === "application/json"
    ? `the server answered ${type}`
    : null;
}

/** The same from the first bytes: the error page or message that a server sends with status 200. */
export function unexpectedBody(head: Uint8Array): string | null {
  const text = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, 512)).toString("latin1").trimStart();
  if (/^(<!doctype html|<html|<head|<\?xml)/i.test(text)) return "the body is an HTML or XML page";
  if (/^\{\s*"(error|message|detail|statusCode|success)"/i.test(text)) return "the body is a JSON message";
  if (text.startsWith("version https://git-lfs.github.com/spec/")) return "the body is a Git LFS pointer";
  return null;
}
