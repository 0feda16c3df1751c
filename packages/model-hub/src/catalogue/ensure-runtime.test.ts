import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { ensureRuntime } from "./ensure-runtime.js";

/** A project in which npm installs what it is asked to. */
function project(installed: Record<string, string>, { isBroken = false } = {}) {
  const calls: (readonly string[])[] = [];
  return {
    calls,
    options: {
      projectDirectory: "/project",
      versionOf: async (name: string) => installed[name] ?? null,
      runNpm: async (args: readonly string[]) => {
        calls.push(args);
        for (const spec of args.slice(1)) if (!isBroken) installed[spec.slice(0, spec.lastIndexOf("@"))] = "1";
      },
    },
  };
}

test("says the exact command and installs nothing by itself", async () => {
  const { calls, options } = project({ "onnxruntime-node": "1.30.0" });
  expect(await ensureRuntime("sam_vit_b", options)).toEqual({
    id: "sam_vit_b",
    isReady: false,
    packages: [
      { name: "onnxruntime-node", wanted: "1.30.0", installed: "1.30.0", reason: "the execution engine" },
      { name: "@tensorflow/tfjs", wanted: "4.22.0", installed: null, reason: "the network and its training" },
    ],
    command: "npm install @tensorflow/tfjs@4.22.0",
    wasInstalled: false,
  });
  expect(calls).toEqual([]);
  expect((await ensureRuntime("grounding_dino_t_onnx", options)).isReady).toBe(true);
});

test("installs on request, once", async () => {
  const { calls, options } = project({});
  expect(await ensureRuntime("sam_vit_b", { ...options, install: "npm" })).toMatchObject({
    isReady: true,
    wasInstalled: true,
  });
  expect(await ensureRuntime("sam_vit_b", { ...options, install: "npm" })).toMatchObject({ wasInstalled: false });
  expect(calls).toEqual([["install", "onnxruntime-node@1.30.0", "@tensorflow/tfjs@4.22.0"]]);
});

test("an installation that changed nothing is an error", async () => {
  const { options } = project({}, { isBroken: true });
  await expect(ensureRuntime("uvdoc", { ...options, install: "npm" })).rejects.toMatchObject({
    code: "INTERNAL",
    details: { packages: ["onnxruntime-node"] },
  });
});

test("finds what this repository has, in the versions that it asks for", async () => {
  const engine = fileURLToPath(new URL("../../../tfjs-onnxruntime", import.meta.url));
  const { packages } = await ensureRuntime("sam_vit_b", { projectDirectory: engine });
  expect(packages.map(({ installed }) => installed)).toEqual(packages.map(({ wanted }) => wanted));
  const { dependencies, devDependencies } = createRequire(`${engine}/`)("./package.json") as Record<
    string,
    Record<string, string>
  >;
  for (const { name, wanted } of packages) expect({ ...devDependencies, ...dependencies }[name]).toBe(wanted);
});
