// An application folder with the packed packages, as npm would install them, without network.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";

const readJson = (file) => JSON.parse(readFileSync(file, "utf8"));

/** The manifests of all packages under `packages/`. */
export function manifests(repository) {
  return readdirSync(join(repository, "packages")).map((name) =>
    readJson(join(repository, "packages", name, "package.json")),
  );
}

/** Packs every package into `folder`; name of the package -> its tarball. */
export function packAll({ repository, folder, packages }) {
  const folders = packages.map(({ name }) => `./packages/${name.split("/")[1]}`);
  const packed = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--offline", "--pack-destination", folder, ...folders], {
      cwd: repository,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      maxBuffer: 1 << 28,
    }),
  );
  // npm 10 prints a list, npm 11 an object by name.
  return new Map(
    Object.values(packed).map(({ name, filename }) => [
      name,
      join(folder, filename.replace("@", "").replace("/", "-")),
    ]),
  );
}

/**
 * Unpacks tarballs into `app/node_modules`; links the third-party packages that the manifests declare (and nothing else, so an undeclared
 * import fails) to the repository's own.
 */
export function layOut({ repository, app, packages, tarballs }) {
  const modules = join(app, "node_modules");
  for (const [name, tarball] of tarballs) {
    const target = join(modules, name);
    mkdirSync(target, { recursive: true });
    execFileSync("tar", ["-xzf", tarball, "--strip-components=1"], { cwd: target });
  }
  const declared = packages.flatMap((m) => Object.keys({ ...m.dependencies, ...m.peerDependencies }));
  // What an application in TypeScript installs beside.
  const thirdParty = new Set([...declared.filter((name) => !name.startsWith("@seg/")), "@types/node"]);
  for (const name of thirdParty) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(repository, "node_modules", name), join(modules, name), "junction");
  }
  cpSync(join(import.meta.dirname, "app"), app, { recursive: true });
}

/** Every specifier that has an entry for code: `@seg/onnx`, `@seg/export/runtime`. */
export function specifiers(packages) {
  return packages.flatMap(({ name, exports }) =>
    Object.keys(exports)
      // Modules; data files are read, not imported.
      .filter((key) => !/\.(?:json|yaml)$/.test(key))
      .map((key) => name + key.slice(1)),
  );
}
