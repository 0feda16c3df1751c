// Copies the texts that lie beside the code into the site: README of each package and example, FEATURES.md, CONTRIBUTING.md.
// The copies are git-ignored; their relative links are turned into links from the place of the copy.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { pageOf, rewriteLinks } from "./site-links.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const docs = join(root, "docs");

function sources() {
  const beside = ["packages", "examples"].flatMap((folder) =>
    readdirSync(join(root, folder)).flatMap((name) =>
      ["README.md", "FEATURES.md"].map((file) => join(folder, name, file)),
    ),
  );
  return ["FEATURES.md", "CONTRIBUTING.md", ...beside].filter((file) => existsSync(join(root, file)));
}

for (const folder of ["packages", "examples", "project"]) rmSync(join(docs, folder), { recursive: true, force: true });
for (const file of sources()) {
  const target = join(docs, `${pageOf(file)}.md`);
  mkdirSync(dirname(target), { recursive: true });
  const text = rewriteLinks(readFileSync(join(root, file), "utf8"), (href) => {
    const [path, anchor] = href.split("#");
    const page = pageOf(relative(root, join(root, dirname(file), path)));
    if (page !== null) return `/${page}${anchor === undefined ? "" : `#${anchor}`}`;
    return relative(dirname(target), join(root, dirname(file), path)) + (anchor === undefined ? "" : `#${anchor}`);
  });
  writeFileSync(target, `---\neditLink: false\noutline: 2\n---\n\n${text}`);
}
