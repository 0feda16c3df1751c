// Where a file of the repository is found in the site.

/**
 * The page that shows a text beside the code, without leading slash and extension; null for files that are no page or lie in docs/.
 * @param {string} path - relative to the repository's root; a folder means its README
 * @returns {string | null}
 */
export function pageOf(path) {
  const clean = path.replace(/\/$/, "");
  const beside = clean.match(/^(packages|examples)\/([\w-]+)(?:\/(README|FEATURES)\.md)?$/);
  if (beside !== null) return `${beside[1]}/${beside[2]}${beside[3] === "FEATURES" ? "-features" : ""}`;
  const top = clean.match(/^(FEATURES|CONTRIBUTING)\.md$/);
  return top === null ? null : `project/${top[1].toLowerCase()}`;
}

/**
 * Applies `change` to every relative link and picture of a markdown text, outside code.
 * @param {string} markdown
 * @param {(href: string) => string} change
 */
export function rewriteLinks(markdown, change) {
  return markdown
    .split(/(^```[\s\S]*?^```|`[^`\n]*`)/m)
    .map((part, index) =>
      index % 2 === 1
        ? part
        : part.replace(/(\]\()([^()\s]+)(\))/g, (whole, open, href, close) =>
            /^([a-z]+:|#|\/)/.test(href) ? whole : open + change(href) + close,
          ),
    )
    .join("");
}
