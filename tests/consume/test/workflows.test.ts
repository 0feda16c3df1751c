import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { parseDocument } from "yaml";

const root = resolve(import.meta.dirname, "../../..");
const github = join(root, ".github");
const { scripts, engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
  engines: { node: string };
};

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Record<string, unknown>;
}
interface Job {
  readonly permissions?: Record<string, string>;
  readonly "timeout-minutes"?: number;
  readonly strategy?: { readonly matrix?: { readonly node?: readonly number[] } };
  readonly steps: readonly Step[];
}
interface Workflow {
  readonly permissions?: Record<string, string>;
  readonly jobs: Record<string, Job>;
}

const files = readdirSync(github, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".yml"));
const read = (path: string): unknown => {
  const document = parseDocument(readFileSync(join(github, path), "utf8"), { strict: true, uniqueKeys: true });
  expect(document.errors).toEqual([]);
  return document.toJS();
};
const workflows = files
  .filter((path) => path.startsWith("workflows"))
  .map((path) => ({ path, workflow: read(path) as Workflow }));
const jobs = workflows.flatMap(({ path, workflow }) =>
  Object.entries(workflow.jobs).map(([name, job]) => ({ at: `${path} ${name}`, job })),
);

test.each(files)(".github/%s is YAML", (path) => {
  expect(read(path)).toBeTypeOf("object");
});

describe.each(workflows)("$path", ({ path, workflow }) => {
  test("grants nothing but reading, unless a job asks", () => {
    expect(workflow.permissions).toEqual({ contents: "read" });
  });
  test("names every action by commit, with its version beside", () => {
    const lines = readFileSync(join(github, path), "utf8")
      .split("\n")
      .filter((line) => /\buses:/.test(line));
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line).toMatch(/ uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });
});

describe.each(jobs)("$at", ({ job }) => {
  test("ends by itself", () => {
    expect(job["timeout-minutes"]).toBeLessThanOrEqual(45);
  });
  test("calls scripts that exist", () => {
    const commands = job.steps.flatMap(({ run }) => (run === undefined ? [] : run.split("\n")));
    expect(commands.length).toBeGreaterThan(0);
    for (const command of commands) {
      const [program, first, second] = command.split(" ");
      if (program === "node") expect(existsSync(join(root, first!)), command).toBe(true);
      else if (first === "run") expect(Object.keys(scripts), command).toContain(second);
      else expect(command).toBe("npm ci");
    }
  });
  test("runs on Node versions that the packages allow", () => {
    const versions = job.strategy?.matrix?.node ?? job.steps.flatMap((step) => step.with?.["node-version"] ?? []);
    const lowest = Number(/^>=(\d+)/.exec(engines.node)![1]);
    expect(versions.length).toBeGreaterThan(0);
    for (const version of versions) expect(version).toBeGreaterThanOrEqual(lowest);
  });
});

test("every supported line of Node is tested", () => {
  const tested = jobs
    .filter(({ at }) => at.startsWith("workflows/ci.yml"))
    .map(({ job }) => job.strategy?.matrix?.node);
  expect(tested).toEqual([[20, 22, 24], [20, 22, 24], undefined]);
});
test("only publishing may sign", () => {
  const signers = jobs.filter(({ job }) => job.permissions?.["id-token"] !== undefined);
  expect(signers.map(({ at, job }) => [at, job.permissions])).toEqual([
    ["workflows/release.yml publish", { contents: "read", "id-token": "write" }],
  ]);
});
test("every script of package.json that runs a file has that file", () => {
  const missing = Object.entries(scripts).flatMap(([name, command]) =>
    [...command.matchAll(/\b[\w./-]+\.(?:mjs|ts)\b/g)]
      .map(([file]) => file)
      .filter((file) => !existsSync(join(root, file)))
      .map((file) => `${name}: ${file}`),
  );
  expect(missing).toEqual([]);
});
