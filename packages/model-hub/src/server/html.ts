import { createHash } from "node:crypto";

/** Text as HTML shows it. */
export function escapeHtml(text: string): string {
  return text.replace(
    /[&<>"']/g,
    (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c] as string,
  );
}

const source = (content: string): string => `'sha256-${createHash("sha256").update(content).digest("base64")}'`;

/**
 * The Content-Security-Policy of a self-contained page: exactly these inline scripts and styles (by hash), calls to this server, nothing
 * else. Injected markup can neither run nor load anything.
 */
export function contentSecurityPolicy({
  scripts,
  styles,
}: {
  scripts: readonly string[];
  styles: readonly string[];
}): string {
  return [
    "default-src 'none'",
    `script-src ${scripts.length > 0 ? scripts.map(source).join(" ") : "'none'"}`,
    `style-src ${styles.length > 0 ? styles.map(source).join(" ") : "'none'"}`,
    "connect-src 'self'",
    "img-src 'self' data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join("; ");
}

/** A page and its policy as an answer. */
export function htmlResponse(html: string, policy: string): Response {
  return new Response(html, {
    status: 200,
    headers: { "content-type": "text/html; charset=utf-8", "content-security-policy": policy },
  });
}
