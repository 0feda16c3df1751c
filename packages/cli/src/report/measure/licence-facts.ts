import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { CocoDataset } from "@seg/coco-dataset";
import type { ReportData } from "../report-data.js";

type Licence = ReportData["licences"][number];

interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly license?: unknown;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** package.json of a dependency as `from` resolves it; null where it is not installed. */
function packageOf(name: string, from: string): { file: string; content: PackageJson } | null {
  // Packages may hide their package.json from `require.resolve`: walk the folders that Node would search.
  for (const folder of createRequire(from).resolve.paths(name) ?? []) {
    const file = join(folder, name, "package.json");
    if (existsSync(file)) return { file, content: JSON.parse(readFileSync(file, "utf8")) as PackageJson };
  }
  return null;
}

/**
 * Licences of the packages behind a run: what the `@seg/*` packages depend on and the native parts of those, as their installed
 * package.json says. What those depend on in turn is not listed.
 *
 * @param from - file whose package.json the walk begins with @defaultValue this package
 */
export function dependencyLicences(from: string = import.meta.url): Licence[] {
  const found = new Map<string, PackageJson>();
  const seen = new Set<string>();
  const visit = (name: string, parent: string, depth: number): void => {
    const entry = packageOf(name, parent);
    if (entry === null || seen.has(entry.file)) return;
    seen.add(entry.file);
    const { content, file } = entry;
    const isOwn = name.startsWith("@seg/");
    if (!isOwn) found.set(`${content.name} ${content.version}`, content);
    const next = isOwn
      ? { ...content.dependencies, ...content.optionalDependencies }
      : depth > 0
        ? content.optionalDependencies
        : {};
    // The native libraries of a dependency are its optional dependencies, and theirs.
    for (const child of Object.keys(next ?? {}).sort()) visit(child, file, isOwn ? 2 : depth - 1);
  };
  visit("@seg/cli", from, 2);
  return [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([what, { license }]) => ({
      what,
      licence: typeof license === "string" ? license : "not stated",
      source: "its package.json",
    }));
}

/** Licence of a folder of weights: its model card's front matter, or the package that the folder comes with. */
export function modelLicence({ what, folder }: { what: string; folder: string }): Licence {
  const card = join(folder, "README.md");
  const front = existsSync(card) ? /^---\r?\n([\s\S]*?)\r?\n---/.exec(readFileSync(card, "utf8"))?.[1] : undefined;
  const stated = front === undefined ? undefined : /^licen[cs]e:\s*(\S.*)$/m.exec(front)?.[1]?.trim();
  if (stated !== undefined) return { what, licence: stated, source: "its model card" };
  for (let parent = dirname(folder); parent !== dirname(parent); parent = dirname(parent)) {
    const file = join(parent, "package.json");
    if (!existsSync(file)) continue;
    const { name, version, license } = JSON.parse(readFileSync(file, "utf8")) as PackageJson;
    // Any project has a package.json; only ours ship weights.
    if (!name?.startsWith("@seg/") || typeof license !== "string") break;
    return { what, licence: license, source: `package.json of ${name} ${version}` };
  }
  return { what, licence: "not stated", source: "its folder has no model card with a licence" };
}

/** Licences that a COCO file states for its images, with how many images each holds. */
export function dataLicences({ what, dataset }: { what: string; dataset: CocoDataset }): Licence[] {
  const source = "the annotation file";
  const counts = new Map<unknown, number>();
  for (const { license } of dataset.images) counts.set(license, (counts.get(license) ?? 0) + 1);
  const stated = (dataset.licenses ?? []).flatMap((entry) => {
    const { id, name, url } = (entry ?? {}) as { id?: unknown; name?: unknown; url?: unknown };
    const text = [name, url].filter((part): part is string => typeof part === "string" && part !== "").join(", ");
    const count = counts.get(id) ?? 0;
    return text === "" || count === 0 ? [] : [{ text, count }];
  });
  const covered = stated.reduce((sum, { count }) => sum + count, 0);
  const images = (count: number) => `${what}, ${count} ${count === 1 ? "image" : "images"}`;
  return [
    ...stated.map(({ text, count }) => ({ what: images(count), licence: text, source })),
    ...(covered < dataset.images.length
      ? [{ what: images(dataset.images.length - covered), licence: "not stated", source }]
      : []),
  ];
}
