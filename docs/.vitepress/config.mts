import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { type DefaultTheme, defineConfig } from "vitepress";
import { entryPages } from "../reference/entry-pages.data.mts";
import { pageOf } from "../site-links.mjs";

const docs = fileURLToPath(new URL("..", import.meta.url));
const root = join(docs, "..");

const titleOf = (file: string): string => readFileSync(file, "utf8").match(/^# (.+)$/m)?.[1] ?? file;

/** All pages of a folder under their headings, in the order of their names. */
function pagesOf(folder: string, { title = (heading: string) => heading } = {}): DefaultTheme.SidebarItem[] {
  const path = join(docs, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md") && !name.endsWith("index.md"))
    .sort()
    .map((name) => ({ text: title(titleOf(join(path, name))), link: `/${folder}/${name.slice(0, -3)}` }));
}

const named = (folder: string, names: readonly string[]): DefaultTheme.SidebarItem[] =>
  names.map((name) => ({ text: titleOf(join(docs, folder, `${name}.md`)), link: join("/", folder, name) }));

const decisions = pagesOf("decisions").map(({ text, link }) => {
  const number = link?.match(/(\d{4})-/)?.[1] ?? "";
  return { text: `${number} ${text?.replace(/^\d{4}\s*/, "")}`, ...(link === undefined ? {} : { link }) };
});

const guide: DefaultTheme.SidebarItem[] = [
  { text: "Guide", items: named("guide", ["getting-started", "first-own-dataset", "reading-the-report"]) },
  {
    text: "How to",
    items: named("how-to", [
      "validate-and-split",
      "convert-formats",
      "boxes-or-masks",
      "train-a-teacher",
      "choose-a-student",
      "train-a-student",
      "unlabelled-images",
      "optimise",
      "predict",
      "evaluate-against-a-gate",
      "serve-and-retrain",
      "published-checkpoints",
      "use-in-ci",
      "resume",
      "speed-up-on-cpu",
      "use-a-gpu",
      "offline-machine",
      "own-augmentation",
      "single-packages",
      "migrate-from-python",
    ]),
  },
  {
    text: "Explanation",
    items: named("explanation", [
      "why-prompt-free",
      "data-decides",
      "teachers-and-lora",
      "knowledge-distillation",
      "int8",
      "certificate",
      "architecture",
      "determinism",
      "performance",
      "comparison",
    ]).concat(named("", ["engine", "advisor"])),
  },
  {
    text: "Help",
    items: [...named("help", ["troubleshooting"]), ...named("", ["cli-errors"]), ...named("help", ["faq", "licences"])],
  },
];

/** The reference's sidebar; the pages of the section that is open stand below the first group. */
const reference = (open: DefaultTheme.SidebarItem[] = []): DefaultTheme.SidebarItem[] => [
  {
    text: "Reference",
    items: [
      { text: "Commands", link: "/api/commands" },
      { text: "Error codes", link: "/api/errors" },
      ...named("reference", ["glossary", "api", "file-formats", "environment", "decisions"]),
      ...named("", ["model-hub-coverage"]),
      { text: "Packages", link: "/packages/cli" },
    ],
  },
  ...open,
  { text: "Examples", items: pagesOf("examples") },
  {
    text: "Measured",
    items: [{ text: "How it is measured", link: "/explanation/performance" }, ...pagesOf("results")],
  },
  { text: "Project", items: pagesOf("project") },
];

const sidebars: DefaultTheme.SidebarMulti = {
  "/": guide,
  ...Object.fromEntries(["reference", "api", "examples", "results", "project"].map((f) => [`/${f}/`, reference()])),
  "/api/@seg/": reference([
    { text: "API", items: entryPages().map(({ name, url }) => ({ text: name, link: url.replace(/\.html$/, "") })) },
  ]),
  "/packages/": reference([{ text: "Packages", items: pagesOf("packages") }]),
  "/decisions/": reference([{ text: "Decisions", items: decisions }]),
};

/** `--base /name/` of the build, for a site below the root of its host. */
export default defineConfig({
  title: "seg",
  description: "COCO file in, measured prompt-free INT8 model out. The documentation.",
  cleanUrls: false,
  lastUpdated: false,
  srcExclude: ["**/node_modules/**"],
  themeConfig: {
    nav: [
      { text: "Guide", link: "/guide/getting-started", activeMatch: "^/(guide|how-to|explanation|help)/" },
      { text: "Reference", link: "/api/commands", activeMatch: "^/(reference|api|packages|examples)/" },
      { text: "Measured", link: "/explanation/performance", activeMatch: "^/results/" },
    ],
    sidebar: sidebars,
    outline: { level: [2, 3] },
    search: {
      provider: "local",
      options: {
        // Explanations before the thousands of entries of the API. Runs in the browser: no outer names.
        miniSearch: { searchOptions: { boostDocument: (id: string) => (id.includes("/api/@seg/") ? 0.3 : 1) } },
      },
    },
    docFooter: { prev: "Before", next: "Next" },
    footer: { message: "Apache-2.0" },
  },
  markdown: {
    // Comments of the usual themes are too pale to read.
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" },
    config(md) {
      // Links that leave docs/ lead to the collected page; where there is none, the text stays without a link.
      md.core.ruler.push("seg-links", (state) => {
        const here = (state.env as { relativePath?: string }).relativePath ?? "";
        for (const { children } of state.tokens) {
          const tokens = children ?? [];
          for (let i = 0; i < tokens.length; i++) {
            const token = tokens[i]!;
            if (token.type !== "link_open") continue;
            const href = token.attrGet("href") ?? "";
            if (/^([a-z]+:|#|\/)/i.test(href)) continue;
            const [path = "", anchor] = href.split("#");
            const target = relative(root, normalize(join(docs, dirname(here), path)));
            if (target.startsWith("docs/")) continue;
            const page = pageOf(target);
            if (page !== null) {
              token.attrSet("href", `/${page}${anchor === undefined ? "" : `#${anchor}`}`);
            } else {
              const close = tokens.findIndex((t, at) => at > i && t.type === "link_close");
              for (const at of [i, close])
                Object.assign(tokens[at]!, { type: "text", tag: "", content: "", nesting: 0 });
            }
          }
        }
      });
      // Drawings become part of the page, so that they follow its light and dark colours.
      const image = md.renderer.rules.image!;
      md.renderer.rules.image = (tokens, index, options, env, self) => {
        const token = tokens[index]!;
        const source = token.attrGet("src") ?? "";
        if (!source.endsWith(".svg")) return image(tokens, index, options, env, self);
        const svg = readFileSync(join(docs, dirname((env as { relativePath: string }).relativePath), source), "utf8");
        const label = token.content.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
        const drawing = svg
          .trim()
          .replace(/<title>.*?<\/title><style>[\s\S]*?<\/style>/, "")
          .replace("<svg ", `<svg role="img" aria-label="${label}" class="figure" v-pre `);
        // On a phone a figure scrolls sideways; the keyboard reaches it.
        return `<span class="figure-scroll" tabindex="0" role="group" aria-label="Figure">${drawing}</span>`;
      };
    },
  },
});
