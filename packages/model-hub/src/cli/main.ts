import { HubError } from "../errors.js";
import { redact } from "../internal/redact.js";
import { certainStorageError } from "../internal/storage-error.js";
import { type CliCommand, type CliIo, CliUsageError, describeCommand, parseCall } from "./command.js";
import { commandGroups } from "./commands/index.js";

/** Exit statuses of `seg-hub`. */
export const EXIT = { ok: 0, failure: 1, usage: 2, integrity: 3, cancelled: 130 } as const;

/** A failure as the command line tells it: no secret of the environment, null code for what is no {@link HubError}. */
export function failureOf(given: unknown, env: CliIo["env"]) {
  const error = certainStorageError(given);
  const hide = (text: string) => redact(text, [env["HF_TOKEN"], env["CIVITAI_TOKEN"], env["SEG_HUB_ADMIN_TOKEN"]]);
  const message = hide(error instanceof Error ? error.message : String(error));
  if (!HubError.isInstance(error)) return { code: null, message, details: {}, status: EXIT.failure };
  const isUsage = error.details["usage"] === true;
  return {
    code: error.code,
    message,
    details: JSON.parse(hide(JSON.stringify(error.details))) as Readonly<Record<string, unknown>>,
    status: isUsage ? EXIT.usage : error.code === "INTEGRITY" ? EXIT.integrity : EXIT.failure,
  };
}

/** The command that the first words of a command line name. @throws {@link CliUsageError} */
export async function findHubCommand(words: readonly string[]): Promise<CliCommand> {
  const group = await commandGroups[words[0] ?? ""]?.();
  const command = [words.slice(0, 2), words.slice(0, 1)].flatMap(
    (some) => group?.find(({ name }) => name === some.join(" ")) ?? [],
  )[0];
  if (command === undefined) throw new CliUsageError(`No command "${words.join(" ")}".`);
  return command;
}

/** Runs `seg-hub` with `argv` and returns its exit status; never throws. */
export async function main(argv: readonly string[], io: CliIo): Promise<number> {
  const json = argv.includes("--json");
  try {
    return await dispatch(argv, io);
  } catch (error) {
    if (io.signal.aborted) {
      io.err("cancelled\n");
      return EXIT.cancelled;
    }
    const { code, message, details, status } = failureOf(error, io.env);
    if (json && code !== null) io.out(`${JSON.stringify({ error: { code, message, details } })}\n`);
    io.err(`error${code === null ? "" : ` ${code}`}: ${message}\n`);
    return status;
  }
}

async function dispatch(argv: readonly string[], io: CliIo): Promise<number> {
  const [first, second] = argv;
  if (first === undefined || first === "--help" || first === "help") {
    const all = (await Promise.all(Object.values(commandGroups).map((load) => load()))).flat();
    io.out(`seg-hub: find, fetch, verify, store, version and serve models\n\n${all.map(summary).join("\n")}\n`);
    return first === undefined ? EXIT.usage : EXIT.ok;
  }
  const load = commandGroups[first];
  if (load === undefined) {
    throw new CliUsageError(`Unknown command "${first}". Known: ${Object.keys(commandGroups).join(", ")}.`);
  }
  const group = await load();
  const byName = (name: string) => group.find((command) => command.name === name);
  const pair = second === undefined ? undefined : byName(`${first} ${second}`);
  const command = pair ?? byName(first);
  if (command === undefined) {
    if (argv.includes("--help")) {
      io.out(`${group.map(summary).join("\n")}\n`);
      return EXIT.ok;
    }
    throw new CliUsageError(
      `seg-hub ${first} needs one of: ${group.map(({ name }) => name.slice(first.length + 1)).join(", ")}.`,
    );
  }
  const rest = argv.slice(pair === undefined ? 1 : 2);
  if (rest.includes("--help")) {
    io.out(describeCommand(command));
    return EXIT.ok;
  }
  return command.run(parseCall(command, rest, io));
}

const summary = ({ name, operands = "", help }: CliCommand): string => `  ${`${name} ${operands}`.padEnd(44)} ${help}`;
