/**
 * Opens every page of the built site (`npm run docs:build`) in headless Chromium: no console errors, no failed requests, nothing wider than
 * a phone, no accessibility violation on the pages named below, a search that finds. `npm run docs:look [-- --pictures FOLDER] [--few]`: the named pages
 * alone.
 */
import { createReadStream, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { accessibilityViolations, complaintsOf, findChromium, launchChromium } from "../scripts/browser/chromium.js";

const dist = fileURLToPath(new URL(".vitepress/dist", import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".json": "application/json",
};
/** Pages that are looked at as pictures and checked for accessibility; all are opened. */
const LOOKED_AT = [
  "index.html",
  "guide/getting-started.html",
  "explanation/knowledge-distillation.html",
  "explanation/architecture.html",
  "how-to/choose-a-student.html",
  "api/commands.html",
  "api/@seg/lora.html",
  "help/troubleshooting.html",
  "reference/glossary.html",
];
const WIDE = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };

const executable = findChromium();
if (!existsSync(dist)) throw new Error("Build the site first: npm run docs:build.");
if (executable === null) throw new Error("No Chromium found. Name one with SEG_TEST_CHROMIUM.");
const { pictures, few } = parseArgs({ options: { pictures: { type: "string" }, few: { type: "boolean" } } }).values;
if (pictures !== undefined) mkdirSync(pictures, { recursive: true });

const server = createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname));
  const file = join(dist, path.endsWith("/") ? join(path, "index.html") : path);
  if (!file.startsWith(dist) || !existsSync(file) || !statSync(file).isFile()) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;

const browser = await launchChromium(executable);
let problems = 0;
const report = (lines: readonly string[]): void => {
  problems += lines.length;
  for (const line of lines) console.error(line);
};
const pages = few
  ? LOOKED_AT
  : readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((name) => /(?<!404)\.html$/.test(name));
try {
  const context = await browser.newContext({ viewport: PHONE, reducedMotion: "reduce" });
  const page = await context.newPage();
  const complaints = complaintsOf(page);
  /** Opens a page and waits until its scripts have run: the theme's switch gets its name last. */
  const open = async (name: string): Promise<void> => {
    await page.goto(base + name);
    await page.waitForFunction("document.querySelector('.VPSwitchAppearance')?.title");
  };
  for (const name of pages) {
    await open(name);
    const overflow = (await page.evaluate("document.documentElement.scrollWidth - innerWidth")) as number;
    if (overflow > 1) report([`${name}: ${overflow} px wider than a phone`]);
    report(complaints.splice(0).map((line) => `${name}: ${line}`));
  }
  for (const name of LOOKED_AT) {
    for (const [kind, viewport, colorScheme] of [
      ["wide", WIDE, "light"],
      ["phone", PHONE, "dark"],
    ] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(viewport);
      await open(name);
      report((await accessibilityViolations(page)).map((line) => `${name} (${kind}): ${line}`));
      if (pictures === undefined) continue;
      const file = `${name.replaceAll(/[/@]/g, "-").replace(".html", "")}-${kind}.png`;
      await page.screenshot({ path: join(pictures, file) });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(WIDE);
  await open("");
  await page.click("#local-search button");
  await page.fill("#localsearch-input", "certificate");
  const found = await page.waitForSelector(".result .titles", { timeout: 15_000 }).catch(() => null);
  if (found === null) report(["search finds nothing for certificate"]);
  if (pictures !== undefined) await page.screenshot({ path: join(pictures, "search.png") });
  report(complaints.map((line) => `search: ${line}`));
} finally {
  await browser.close();
  server.close();
}
console.log(`${pages.length} pages, ${problems} problems`);
process.exitCode = problems === 0 ? 0 : 1;
