const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/**
 * Text for HTML and XML, in content and in quoted attributes. Characters that XML 1.0 forbids (controls, lone surrogates) become U+FFFD,
 * since one of them makes an SVG renderer refuse the whole picture.
 *
 * @example escapeMarkup("<b>") // "&lt;b&gt;"
 */
export function escapeMarkup(text: string): string {
  // With the u flag \p{Cs} matches lone surrogates only.
  const allowed = text.replace(/[\p{Cs}\p{Cc}\ufffe\uffff]/gu, (character) =>
    character === "\n" || character === "\t" ? character : "\ufffd",
  );
  return allowed.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
