import { HubError } from "../errors.js";
import { redact } from "../internal/redact.js";
import { type CliCommand, type CliIo, CliUsageError, describeCommand, parseCall } from "./command.js";
import { commandGroups } from "./commands/index.js";

/** Exit statuses of `seg-hub`. */
export const EXIT = { ok: 0, failure: 1, usage: 2, integrity: 3, cancelled: 130 } as const;

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
    const secrets = [io.env["HF_TOKEN"], io.env["CIVITAI_TOKEN"], io.env["SEG_HUB_ADMIN_TOKEN"]];
    const isHub = HubError.isInstance(error);
    const message = redact(error instanceof Error ? error.message : String(error), secrets);
    if (json && isHub) {
      io.out(`${redact(JSON.stringify({ error: { code: error.code, message, details: error.details } }), secrets)}\n`);
    }
    io.err(`error${isHub ? ` ${error.code}` : ""}: ${message}\n`);
    if (isHub && error.details["usage"] === true) return EXIT.usage;
    return isHub && error.code === "INTEGRITY" ? EXIT.integrity : EXIT.failure;
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
