import { createRequire } from "node:module";
import process from "node:process";
import { type OptionSpecs, type OptionValues, wordsOf } from "./args.js";
import { type CommandModule, type CommandTable, isGroup, type LeafCommand } from "./command.js";
import { hub } from "./commands/hub.js";
import { SHELLS } from "./completion/shells.js";
import { UsageError } from "./errors.js";
import { commonOptions, describeCommand, describeCommands } from "./help.js";
import { didYouMean } from "./option-names.js";
import { createOutput, type Output } from "./output.js";
import { type DecidedValue, resolveConfig } from "./resolve-config.js";
import { describeStop, onceInterrupted } from "./stopping.js";
import { tellFailure } from "./tell-failure.js";

/** Commands that take --config. */
const CONFIGURABLE: readonly string[] =
  "run validate advise train-teacher train-student optimize evaluate predict serve".split(" ");

/** Every command of `seg`. */
export const commands = {
  run: {
    summary: "everything: check, split, plan, teach, train, export, measure, report",
    isRepeatable: true,
    examples: [
      "run --data annotations.json",
      "run --data cells.json --images pictures --time-budget 60 --output experiments/cells",
      "run --data annotations.json --teacher none --edge --student.epochs 50",
    ],
    isStoppable: true,
    load: async () => {
      const { run, runOptions } = await import("./commands/run.js");
      return { options: runOptions, run };
    },
  },
  doctor: {
    summary: "say whether this machine can run seg, and what to do",
    examples: ["doctor", "doctor --skip-self-test --json"],
    isStoppable: true,
    load: async () => {
      const { doctor, doctorOptions } = await import("./commands/doctor.js");
      return { options: doctorOptions, run: doctor };
    },
  },
  validate: {
    summary: "check a dataset of any format, repair, convert, split",
    examples: [
      "validate --data annotations.json",
      "validate --data annotations.json --split train:0.7,val:0.15,test:0.15 --output data",
      "validate --data yolo/data.yaml --convert coco --output data --dry-run",
    ],
    load: async () => {
      const { validate, validateOptions } = await import("./commands/validate.js");
      return { options: validateOptions, run: validate };
    },
  },
  advise: {
    summary: "say what to train on a dataset, and why",
    examples: [
      "advise --data annotations.json --explain detailed",
      "advise --data annotations.json --priority speed --max-latency-ms 20 --output plan",
    ],
    isStoppable: true,
    load: async () => {
      const { advise, adviseOptions } = await import("./commands/advise.js");
      return { options: adviseOptions, run: advise };
    },
  },
  "augment-preview": {
    summary: "show what augmentation does to a dataset",
    examples: [
      "augment-preview --data annotations.json --characteristics changes_shape low_contrast",
      "augment-preview --data annotations.json --pipeline augment.yaml --count 8 --output sheet.png",
    ],
    isStoppable: true,
    load: async () => {
      const { augmentPreview, augmentPreviewOptions } = await import("./commands/augment-preview.js");
      return { options: augmentPreviewOptions, run: augmentPreview };
    },
  },
  "train-teacher": {
    summary: "adapt the teachers with LoRA",
    examples: [
      "train-teacher --data train.json --val val.json --output experiments/exp1",
      "train-teacher --data train.json --output experiments/exp1 --lora.r 32 --sam.epochs 20 --dry-run",
      "train-teacher --list-models",
    ],
    notes: ["Ctrl-C saves; the same command with --resume goes on and ends with the same bytes."],
    namespace: "teacher",
    isStoppable: true,
    load: async () => {
      const { trainTeacher, trainTeacherOptions } = await import("./commands/train-teacher.js");
      return { options: trainTeacherOptions, run: trainTeacher };
    },
  },
  "train-student": {
    summary: "distil a prompt-free student",
    examples: [
      "train-student --data train.json --val val.json --output experiments/exp1/student",
      "train-student --data train.json --teacher-dir experiments/exp1 --output experiments/exp1/student --epochs 200",
      "train-student --config experiments/exp1/student/distillation_config.yaml --output again --seed 1",
    ],
    notes: ["Ctrl-C saves; the same command with --resume goes on and ends with the same bytes."],
    namespace: "student",
    isStoppable: true,
    load: async () => {
      const { trainStudentCommand, trainStudentOptions } = await import("./commands/train-student.js");
      return { options: trainStudentOptions, run: trainStudentCommand };
    },
  },
  optimize: {
    summary: "export ONNX fp32 and INT8 with a certificate",
    examples: [
      "optimize --model experiments/exp1/student",
      "optimize --model experiments/exp1/student --format onnx tensorrt tflite --quantize int8",
      "optimize --model experiments/exp1/student --prune 0.3 --max-map-drop 0.01",
    ],
    isStoppable: true,
    isRepeatable: true,
    load: async () => {
      const { optimize, optimizeOptions } = await import("./commands/optimize.js");
      return { options: optimizeOptions, run: optimize };
    },
  },
  evaluate: {
    summary: "measure teacher, student and artefacts; write the report",
    examples: ["evaluate --student experiments/exp1/student --data test.json --teacher-dir experiments/exp1"],
    load: async () => {
      const { evaluate, evaluateOptions } = await import("./commands/evaluate.js");
      return { options: evaluateOptions, run: evaluate };
    },
  },
  predict: {
    summary: "run an exported model on images",
    examples: [
      "predict --model experiments/exp1/student/optimized/model_int8.onnx image.jpg",
      "predict --model model_int8.onnx --confidence 0.5 --output found pictures/a.jpg pictures/b.jpg",
    ],
    positional: "IMAGE...",
    load: async () => {
      const { predict, predictOptions } = await import("./commands/predict.js");
      return { options: predictOptions, run: predict };
    },
  },
  corrections: {
    summary: "turn what a person corrected of predictions into training data",
    examples: [
      "corrections --predicted predictions/annotations.json --corrected corrected.json",
      "corrections --predicted predictions/annotations.json --corrected corrected.json --data train.json --output next",
    ],
    load: async () => {
      const { corrections, correctionsOptions } = await import("./commands/corrections.js");
      return { options: correctionsOptions, run: corrections };
    },
  },
  hub,
  serve: {
    summary: "serve the model hub: HTTP API and dashboard",
    isRepeatable: true,
    examples: ["serve", "serve --root hub --port 8080 --database postgres://user@host/hub"],
    isStoppable: true,
    load: async () => {
      const { serve, serveOptions } = await import("./commands/serve.js");
      return { options: serveOptions, run: serve };
    },
  },
  defaults: {
    summary: "print the defaults of a command as a commented YAML file for --config",
    positional: "COMMAND",
    positionalChoices: CONFIGURABLE,
    examples: ["defaults train-student", "defaults optimize"],
    load: async (): Promise<CommandModule> => {
      const { defaults, defaultsOptions } = await import("./commands/defaults.js");
      return { options: defaultsOptions, run: (_, output, context) => defaults(commands, output, context) };
    },
  },
  completion: {
    summary: "print the completion script of a shell",
    examples: ["completion bash", "completion zsh", "completion fish"],
    notes: [
      "Load it with: source <(seg completion bash), source <(seg completion zsh) after compinit, or seg completion fish | source.",
    ],
    positional: "SHELL",
    positionalChoices: SHELLS,
    load: async (): Promise<CommandModule> => {
      const { completion, completionOptions } = await import("./commands/completion.js");
      return { options: completionOptions, run: (_, output, context) => completion(commands, output, context) };
    },
  },
} as const satisfies CommandTable;

/** A command with the words that lead to it. */
interface Found {
  readonly path: readonly string[];
  readonly command: LeafCommand;
  readonly rest: readonly string[];
}

const isHelp = (word: string | undefined): boolean => word === undefined || word === "--help" || word === "-h";

/**
 * Follows the words to a command; null when they end at a group, whose commands `describe` then gets.
 * @throws {@link UsageError} for an unknown command, naming the nearest
 */
function findCommand(words: readonly string[], describe: (path: readonly string[], table: CommandTable) => void) {
  let table: CommandTable = commands;
  const path = ["seg"];
  for (const [index, word] of words.entries()) {
    if (isHelp(word)) break;
    const command = Object.hasOwn(table, word) ? table[word] : undefined;
    const what = path.length === 1 ? `command "${word}"` : `command "${word}" of ${path.join(" ")}`;
    if (command === undefined) {
      const meant = didYouMean(word, Object.keys(table), (hint) => `"${hint}"`);
      throw new UsageError(`Unknown ${what}.${meant} ${path.join(" ")} --help lists them.`);
    }
    path.push(word);
    if (!isGroup(command)) return { path, command, rest: words.slice(index + 1) } satisfies Found;
    table = command.subcommands;
  }
  describe(path, table);
  return null;
}

/** Runs a command that has been found; what it says goes to `output`. */
async function execute({
  found: { path, command, rest },
  decided = {},
  output,
  signal,
  onStart = () => {},
  onHelp,
}: {
  found: Found;
  decided?: Readonly<Record<string, DecidedValue>>;
  output: Output;
  signal: AbortSignal;
  /** Everything is checked; the command begins. */
  onStart?: (options: OptionSpecs) => void;
  /** Asked for help instead. */
  onHelp?: (options: OptionSpecs) => void;
}): Promise<void> {
  const { options, run } = await command.load();
  const specs: OptionSpecs = { ...options, ...commonOptions };
  if (onHelp !== undefined && rest.some((word) => word === "--help" || word === "-h")) return onHelp(specs);
  const config = resolveConfig({ argv: rest, specs, namespace: command.namespace, decided });
  if (config.positional.length > 0 && command.positional === undefined) {
    throw new UsageError(`${path.join(" ")} takes no argument "${config.positional[0]}". See --help.`);
  }
  onStart(specs);
  await run(config.values, output, { positional: config.positional, signal, config });
}

/**
 * Runs one command as a function, with options as values under their names; they are checked as on the command line.
 *
 * @param name - a command, or the words of a nested one: `["hub", "search"]`
 * @param options - beat the file of `config`, which beats `decided`, which beats the defaults
 * @param decided - what the caller took from the data, with reasons; origin "data" in the resolved configuration
 * @returns what `--json` prints as the last line
 * @throws UsageError, CommandError and the errors of the packages; AbortError when `signal` is aborted
 * @example
 * await runCommand("validate", { options: { data: "annotations.json" }, output: createOutput({ json: false }) });
 */
export async function runCommand(
  name: string | readonly string[],
  {
    options = {},
    decided = {},
    positional = [],
    output,
    signal = new AbortController().signal,
  }: {
    options?: OptionValues;
    decided?: Readonly<Record<string, DecidedValue>>;
    positional?: readonly string[];
    output: Output;
    signal?: AbortSignal;
  },
): Promise<Readonly<Record<string, unknown>>> {
  const words = typeof name === "string" ? [name] : name;
  const found = findCommand([...words, ...wordsOf(options), "--", ...positional], (path) => {
    throw new UsageError(`${path.join(" ")} needs one of its commands.`);
  });
  let result: Readonly<Record<string, unknown>> = {};
  const listening: Output = {
    ...output,
    result(value) {
      result = value;
      output.result(value);
    },
  };
  if (found !== null) await execute({ found, decided, output: listening, signal });
  return result;
}

/** Whether a flag is on, before anything else of the command line is known. */
const isSwitchedOn = (argv: readonly string[], flag: string): boolean =>
  argv.includes(`${flag}=true`) || argv.some((word, k) => word === flag && argv[k + 1] !== "false");

/** Version of this package. */
export const version = (): string =>
  (createRequire(import.meta.url)("../package.json") as { readonly version: string }).version;

/**
 * Runs one command line.
 * @returns the exit code: see {@link EXIT_CODES}
 */
export async function main(argv: readonly string[]): Promise<number> {
  const json = isSwitchedOn(argv, "--json");
  const output = createOutput({ json, quiet: isSwitchedOn(argv, "--quiet") });
  const controller = new AbortController();
  let endListening = () => {};
  let stopped: ReturnType<typeof describeStop> | null = null;
  const columns = process.stdout.columns ?? 80;
  const print = (text: string) => void process.stdout.write(`${text}\n`);
  const sayStopped = ({ isError = false } = {}) => {
    if (stopped === null) return;
    if (json && isError) print(JSON.stringify({ type: "error", code: "aborted", ...stopped }));
    process.stderr.write(`${stopped.message}\n`);
  };
  let name: string | undefined;
  try {
    if (argv[0] === "--version" || argv[0] === "-V") {
      print(version());
      return 0;
    }
    // `seg help train-student` is `seg train-student --help`.
    const words = argv[0] === "help" ? [...argv.slice(1), "--help"] : argv;
    const found = findCommand(words, (path, table) => print(describeCommands({ path, table, columns })));
    if (found === null) return isHelp(words.at(-1)) && words.length > 0 ? 0 : 2;
    const { path, command } = found;
    name = path.slice(1).join(" ");
    await execute({
      found,
      output,
      signal: controller.signal,
      onHelp: (options) => print(describeCommand({ path, command, options, columns })),
      onStart: (specs) => {
        if (!command.isStoppable) return;
        endListening = onceInterrupted(() => {
          stopped = describeStop({ argv, command, specs });
          output.settle();
          process.stderr.write("Stopping after this step; once more stops at once.\n");
          controller.abort();
        });
      },
    });
    if (!controller.signal.aborted) return 0;
    sayStopped();
    return 130;
  } catch (error) {
    output.settle();
    if (controller.signal.aborted && error instanceof Error && error.name === "AbortError") {
      sayStopped({ isError: true });
      return 130;
    }
    return tellFailure(error, { command: name, json });
  } finally {
    endListening();
  }
}
