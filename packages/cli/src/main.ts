import process from "node:process";
import { describeOptions, nearest, type OptionSpecs, type OptionValues, parseArguments } from "./args.js";
import { configFileArguments } from "./config-file.js";
import { UsageError } from "./errors.js";
import { explainError } from "./explain-error.js";
import { createOutput, type Output } from "./output.js";

interface Command {
  readonly summary: string;
  /** Name of the positional argument, where the command takes one or more. */
  readonly positional?: string;
  /**
   * Ctrl-C aborts {@link CommandContext.signal} and the command saves what it has. The others are ended by the system at once: they keep
   * nothing half done that is worth saving, write files whole, and compute without a turn of the event loop, so no handler would run.
   */
  readonly isStoppable?: boolean;
  /** Loaded when the command runs: `seg --help` must not pull in the engine. */
  load(): Promise<{
    options: OptionSpecs;
    run(options: OptionValues, output: Output, context: CommandContext): Promise<void>;
  }>;
}

/** What a command gets beside its options. */
export interface CommandContext {
  readonly positional: readonly string[];
  /** Aborted by the first Ctrl-C: finish the step, save, end. */
  readonly signal: AbortSignal;
}

export const commands: Readonly<Record<string, Command>> = {
  validate: {
    summary: "check a dataset of any format, repair, convert, split",
    load: async () => {
      const { validate, validateOptions } = await import("./commands/validate.js");
      return { options: validateOptions, run: validate };
    },
  },
  advise: {
    summary: "say what to train on a dataset, and why",
    isStoppable: true,
    load: async () => {
      const { advise, adviseOptions } = await import("./commands/advise.js");
      return { options: adviseOptions, run: advise };
    },
  },
  "augment-preview": {
    summary: "show what augmentation does to a dataset",
    isStoppable: true,
    load: async () => {
      const { augmentPreview, augmentPreviewOptions } = await import("./commands/augment-preview.js");
      return { options: augmentPreviewOptions, run: augmentPreview };
    },
  },
  "train-teacher": {
    summary: "adapt the teachers with LoRA",
    isStoppable: true,
    load: async () => {
      const { trainTeacher, trainTeacherOptions } = await import("./commands/train-teacher.js");
      return { options: trainTeacherOptions, run: trainTeacher };
    },
  },
  "train-student": {
    summary: "distil a prompt-free student",
    isStoppable: true,
    load: async () => {
      const { trainStudentCommand, trainStudentOptions } = await import("./commands/train-student.js");
      return { options: trainStudentOptions, run: trainStudentCommand };
    },
  },
  optimize: {
    summary: "export ONNX fp32 and INT8 with a certificate",
    load: async () => {
      const { optimize, optimizeOptions } = await import("./commands/optimize.js");
      return { options: optimizeOptions, run: optimize };
    },
  },
  evaluate: {
    summary: "measure teacher, student and artefacts; write the report",
    load: async () => {
      const { evaluate, evaluateOptions } = await import("./commands/evaluate.js");
      return { options: evaluateOptions, run: evaluate };
    },
  },
  predict: {
    summary: "run an exported model on images",
    positional: "IMAGE...",
    load: async () => {
      const { predict, predictOptions } = await import("./commands/predict.js");
      return { options: predictOptions, run: predict };
    },
  },
  serve: {
    summary: "serve the model hub: HTTP API and dashboard",
    isStoppable: true,
    load: async () => {
      const { serve, serveOptions } = await import("./commands/serve.js");
      return { options: serveOptions, run: serve };
    },
  },
};

const common: OptionSpecs = {
  json: { type: "boolean", fallback: false, help: "JSON lines on stdout for machines" },
  quiet: { type: "boolean", fallback: false, help: "results only" },
  help: { type: "boolean", fallback: false, help: "this text" },
};

function overview(): string {
  const list = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(15)} ${summary}`);
  return `seg COMMAND [options]\n\n${list.join("\n")}\n\nseg COMMAND --help shows the options.`;
}

/** What the file behind `--config` says, for commands that have the option. */
function configWords(argv: readonly string[], specs: OptionSpecs): string[] {
  if (!("config" in specs)) return [];
  const at = argv.findLastIndex((word) => word === "--config" || word.startsWith("--config="));
  const path = at < 0 ? undefined : argv[at] === "--config" ? argv[at + 1] : argv[at]!.slice("--config=".length);
  return path === undefined || path.startsWith("--") ? [] : configFileArguments(path, specs);
}

/**
 * Runs one command line.
 * @returns the exit code: 0 done, 1 the command failed (one sentence on stderr), 2 wrong usage, 130 interrupted
 */
export async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  const isSet = (flag: string) => argv.includes(flag) || argv.includes(`${flag}=true`);
  const json = isSet("--json");
  const output = createOutput({ json, quiet: isSet("--quiet") });
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(130);
    output.settle();
    process.stderr.write("Stopping after this step; once more stops at once.\n");
    controller.abort();
  };
  try {
    if (name === undefined || name === "--help" || name === "-h" || name === "help") {
      process.stdout.write(`${overview()}\n`);
      return name === undefined ? 2 : 0;
    }
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command === undefined) {
      const hint = nearest(name, Object.keys(commands));
      throw new UsageError(
        `Unknown command "${name}".${hint === null ? "" : ` Did you mean "${hint}"?`} seg --help lists them.`,
      );
    }
    const { options, run } = await command.load();
    const specs = { ...options, ...common };
    if (rest.includes("--help") || rest.includes("-h")) {
      const usage = ["seg", name, command.positional ?? "[options]"].join(" ");
      process.stdout.write(`${usage}\n${command.summary}\n\n${describeOptions(specs)}\n`);
      return 0;
    }
    const { values, positional } = parseArguments([...configWords(rest, specs), ...rest], specs);
    if (positional.length > 0 && command.positional === undefined) {
      throw new UsageError(`seg ${name} takes no argument "${positional[0]}".`);
    }
    if (command.isStoppable) process.on("SIGINT", interrupt);
    await run(values, output, { positional, signal: controller.signal });
    return controller.signal.aborted ? 130 : 0;
  } catch (error) {
    output.settle();
    if (controller.signal.aborted && error instanceof Error && error.name === "AbortError") {
      if (json) process.stdout.write(`${JSON.stringify({ type: "error", code: "aborted", message: "stopped" })}\n`);
      process.stderr.write("stopped before the end\n");
      return 130;
    }
    const { code, message } = explainError(error, { command: name });
    if (json) process.stdout.write(`${JSON.stringify({ type: "error", code, message })}\n`);
    process.stderr.write(`error: ${message}\n`);
    if (process.env["SEG_DEBUG"] !== undefined && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    return error instanceof UsageError ? 2 : 1;
  } finally {
    process.off("SIGINT", interrupt);
  }
}
