/** One line a broken link: file, line, link, why. */
export function brokenLinks(options?: { files?: readonly string[] }): string[];
