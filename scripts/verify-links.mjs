// Every link and picture of the texts leads somewhere: the file is there, the heading is there, no package registry is named.
// `node scripts/verify-links.mjs`; addresses of other hosts are not asked, so that it works offline.
import { existsSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { entryPoints } from "../docs/entry-points.mjs";
import { proseOf, ROOT, readText, texts } from "./doc-texts.mjs";

/** Pages that `npm run docs:build` writes; anything may be linked in them. */
const generated = () => new Set(["commands", "errors", "index", ...entryPoints().map(({ name }) => name)]);

const REGISTRY =
  /\b(?:registry|packages?|files)\.[\w-]+\.(?:org|com|io|dev)\b|\bnpm\w*\.(?:com|org)\b|\bpypi\.\w{2,4}\b/i;

/** Ids of headings as the site has them; text in `{#id}` wins. */
const siteId = (heading) =>
  heading
    .normalize("NFKD")
    .replaceAll(/[\u0300-\u036f]/g, "")
    .replaceAll(/[\s~`!@#$%^&*()\-_+=[\]{}|\\;:"'“”‘’<>,.?/]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .replace(/^(\d)/, "_$1")
    .toLowerCase();
/** Ids as code hosts make them. */
const hostId = (heading) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(" ", "-");

const anchors = new Map();
/** @returns {{ site: Set<string>, host: Set<string> }} */
function anchorsOf(file) {
  const known = anchors.get(file);
  if (known !== undefined) return known;
  const found = { site: new Set(), host: new Set() };
  const count = new Map();
  const lines = readText(file).split("\n");
  // Headings may hold code, which the prose has not: the prose only says which lines are headings.
  for (const [index, line] of proseOf(readText(file)).split("\n").entries()) {
    if (!/^#{1,6} /.test(line)) continue;
    const heading = lines[index]
      .replace(/^#+ /, "")
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .replaceAll("`", "");
    const given = heading.match(/\{#([\w-]+)\}\s*$/)?.[1];
    for (const [kind, id] of [
      ["site", given ?? siteId(heading)],
      ["host", given ?? hostId(heading)],
    ]) {
      const times = count.get(kind + id) ?? 0;
      count.set(kind + id, times + 1);
      found[kind].add(times === 0 ? id : `${id}-${times}`);
    }
  }
  anchors.set(file, found);
  return found;
}

const LINK = /!?\[(?:[^\][]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|(?<![:\w])(?:href|src)="([^"{}]+)"/g;

/** The markdown file behind a path, null for one that is no page, undefined for nothing. */
function pageAt(path) {
  const full = join(ROOT, path);
  const candidates = [
    path,
    `${path}.md`,
    path.replace(/\.html$/, ".md"),
    join(path, "README.md"),
    join(path, "index.md"),
  ];
  const page = candidates.find(
    (file) => file.endsWith(".md") && existsSync(join(ROOT, file)) && statSync(join(ROOT, file)).isFile(),
  );
  return page ?? (existsSync(full) ? null : undefined);
}

/** Why a link is broken, null if it is not. */
function problemOf(file, href, pages) {
  if (/^[a-z][a-z+.-]*:/i.test(href)) {
    if (REGISTRY.test(href)) return "names a package registry";
    return URL.canParse(href) ? null : "is no address";
  }
  const [path = "", anchor] = href.split("#");
  const isSite = file.startsWith("docs/");
  const target =
    path === "" ? file : path.startsWith("/") ? join("docs", path) : normalize(join(dirname(file), decodeURI(path)));
  if (target.startsWith("..")) return "leaves the repository";
  const api = target.match(/^docs\/api\/(.+?)(?:\.md|\.html|\/)?$/)?.[1];
  if (api !== undefined) return pages.has(api.replace(/\/index$/, "")) ? null : "is no generated page";
  const page = pageAt(target);
  if (page === undefined) return "leads to nothing";
  if (anchor === undefined || page === null) return null;
  const { site, host } = anchorsOf(page);
  // Texts outside docs/ are read in both places.
  const isThere = site.has(anchor) && (isSite || host.has(anchor));
  if (isThere) return null;
  return `has no such heading; known: ${[...site].slice(0, 30).join(", ")}`;
}

/**
 * @param {{ files?: string[] }} [options] - all texts unless given
 * @returns {string[]} one line a broken link: file, line, link, why
 */
export function brokenLinks({ files = texts() } = {}) {
  const pages = generated();
  return files.flatMap((file) => {
    const text = readText(file);
    const prose = proseOf(text);
    const at = (index) => `${file}:${prose.slice(0, index).split("\n").length}`;
    const links = [...prose.matchAll(LINK)].flatMap(({ index, 1: inMarkdown, 2: inHtml }) => {
      const href = inMarkdown ?? inHtml;
      const problem = problemOf(file, href, pages);
      return problem === null ? [] : [`${at(index)}: ${href} ${problem}`];
    });
    const registry = text.match(REGISTRY);
    return registry === null
      ? links
      : [...links, `${at(registry.index)}: ${registry[0]} is a package registry; name none`];
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const files = texts();
  const broken = brokenLinks({ files });
  for (const line of broken) console.error(line);
  console.log(`${files.length} texts, ${broken.length} broken links`);
  process.exit(broken.length === 0 ? 0 : 1);
}
