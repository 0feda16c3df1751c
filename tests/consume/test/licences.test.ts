import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { isAllowed, isPermissive, shippedPackages } from "../../../scripts/check-licences.mjs";

const lock = JSON.parse(readFileSync(new URL("../../../package-lock.json", import.meta.url), "utf8"));

describe("isPermissive", () => {
  test.each([
    ["MIT", true],
    ["(MIT OR GPL-3.0-only)", true],
    ["Apache-2.0 AND MIT", true],
    ["Apache-2.0 AND LGPL-3.0-or-later", false],
    ["AGPL-3.0-only", false],
    ["SEE LICENSE IN LICENSE.txt", false],
    ["", false],
  ])("%s: %s", (expression, expected) => {
    expect(isPermissive(expression)).toBe(expected);
  });
});

describe("isAllowed", () => {
  test("lets the LGPL in for libvips alone", () => {
    expect(isAllowed({ name: "@img/sharp-libvips-linux-x64", license: "LGPL-3.0-or-later" })).toBe(true);
    expect(isAllowed({ name: "@img/sharp-win32-x64", license: "Apache-2.0 AND LGPL-3.0-or-later" })).toBe(true);
    expect(isAllowed({ name: "@img/sharp-libvips-linux-x64", license: "GPL-3.0-or-later" })).toBe(false);
    expect(isAllowed({ name: "sharp-libvips", license: "LGPL-3.0-or-later" })).toBe(false);
  });
  test("refuses a package that states no licence", () => {
    expect(isAllowed({ name: "mystery" })).toBe(false);
  });
});

describe("shippedPackages", () => {
  const entries = {
    "packages/a": { dependencies: { "@seg/b": "0.1.0", x: "1.0.0" }, devDependencies: { dev: "1.0.0" } },
    "packages/b": {
      peerDependencies: { peer: "1", perhaps: "1" },
      peerDependenciesMeta: { perhaps: { optional: true } },
    },
    "tests/t": { dependencies: { ours: "1.0.0" } },
    "node_modules/@seg/b": { link: true, resolved: "packages/b" },
    "node_modules/x": { version: "1.0.0", license: "MIT", optionalDependencies: { y: "2", absent: "1" } },
    "node_modules/x/node_modules/y": { version: "2.0.0", license: "ISC", dependencies: { x: "1" } },
    "node_modules/y": { version: "1.0.0", license: "GPL-3.0-only" },
    "node_modules/peer": { version: "1.0.0", license: "MIT" },
    "node_modules/perhaps": { version: "1.0.0", license: "MIT" },
    "node_modules/dev": { version: "1.0.0", license: "GPL-3.0-only" },
    "node_modules/ours": { version: "1.0.0", license: "MIT" },
  };
  test("follows what npm would install, by Node's resolution, and leaves development and optional peers out", () => {
    expect(shippedPackages(entries).map(({ name, version }) => `${name}@${version}`)).toEqual([
      "peer@1.0.0",
      "x@1.0.0",
      "y@2.0.0",
    ]);
  });
  test("everything in the lock file may be installed with ours", () => {
    const shipped = shippedPackages(lock.packages);
    expect(shipped.map(({ name }) => name)).toEqual(expect.arrayContaining(["onnxruntime-node", "sharp", "zod"]));
    expect(shipped.filter((entry) => !isAllowed(entry))).toEqual([]);
  });
});
