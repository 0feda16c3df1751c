import type { OptionSpec, OptionSpecs } from "./args.js";

/** Puts options under one heading of the help. */
export const grouped = <Specs extends OptionSpecs>(group: string, specs: Specs): Specs =>
  Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, { ...spec, group }])) as Specs;

/** Headings that several commands share. */
export const DATA = "Data";
export const HOW = "How it runs";

/** `--config`: the file that defaults give way to. */
export const configOption: Readonly<Record<"config", OptionSpec>> = {
  config: {
    type: "string",
    path: "file",
    help: "YAML file of these options, such as one that an earlier run saved; the command line wins",
    group: HOW,
  },
};

/** `--dry-run`: of every command that writes. */
export const dryRunOption: Readonly<Record<"dry-run", OptionSpec>> = {
  "dry-run": {
    type: "boolean",
    fallback: false,
    help: "check everything, say what would be done and written, and why; write nothing",
    group: HOW,
  },
};

/** Options of commands that start the engine; `startEngine` reads them. */
export const engineOptions: Readonly<Record<"gpu" | "threads", OptionSpec>> = {
  gpu: {
    type: "number",
    range: { integer: true, min: 0, max: 63 },
    help: "number of the GPU that computes, for example 0; it must be usable",
    usual: "the processor",
    group: HOW,
  },
  threads: {
    type: "number",
    range: { integer: true, min: 1 },
    help: "threads of the engine",
    usual: "cores",
    group: HOW,
  },
};
