import process from "node:process";
import { type CliCommand, callOf, failureOf, findHubCommand } from "@seg/model-hub";
import type { OptionSpec, OptionSpecs } from "../args.js";
import type { CommandModule } from "../command.js";
import { CommandError, UsageError } from "../errors.js";

/** `--metric`, `--port`: what `seg-hub` reads as text is checked by the command itself. */
const specOf = ({ type, multiple = false, help }: NonNullable<CliCommand["options"]>[string]): OptionSpec => {
  // "[default]" at the end of a help is what holds without the option.
  const [, text = help, usual] = /^(.*?)(?: \[([^\]]+)\])?$/.exec(help) ?? [];
  return {
    type: multiple ? "list" : type,
    help: text,
    ...(usual === undefined ? {} : { usual }),
    ...(type === "boolean" ? { fallback: false } : {}),
  };
};

/** Advice of `seg-hub` in the words of `seg`. */
const translate = (text: string, words: readonly (readonly [hub: string, seg: string])[]): string =>
  words.reduce((all, [hub, seg]) => all.replaceAll(new RegExp(`\\bseg-hub ${hub}\\b`, "g"), seg), text);

/**
 * A command of `seg-hub` as one of `seg`: the same work, options and exit codes, with seg's output.
 *
 * @param name - its words in `seg-hub`
 * @param words - words of `seg` by words of `seg-hub`, longest first
 */
export async function hubCommand(
  name: string,
  words: readonly (readonly [hub: string, seg: string])[],
): Promise<CommandModule> {
  const command = await findHubCommand(name.split(" "));
  const options: OptionSpecs = Object.fromEntries(
    Object.entries(command.options ?? {}).map(([option, spec]) => [option, specOf(spec)]),
  );
  return {
    options,
    async run(values, output, { positional, signal }) {
      const { env } = process;
      const isQuiet = values["quiet"] === true;
      const write = (text: string) => {
        if (!isQuiet) process.stderr.write(translate(text, words));
      };
      let status: number;
      try {
        status = await command.run(
          callOf({
            values: values as Parameters<typeof callOf>[0]["values"],
            positional,
            json: output.json,
            io: { env, signal, isTerminal: process.stderr.isTTY === true, out: write, err: write },
            result(value, lines) {
              for (const line of lines) output.line(line);
              output.result({
                command: `hub ${name}`,
                ...(Array.isArray(value) ? { list: value } : (value as object)),
              });
            },
          }),
        );
      } catch (error) {
        if (signal.aborted) throw new DOMException("stopped", "AbortError");
        const { code, message, status } = failureOf(error, env);
        if (code === null) throw error;
        const told = translate(message, words);
        if (status === 2) throw new UsageError(told);
        throw new CommandError({ code, message: told, exitCode: status });
      }
      if (status !== 0) {
        throw new CommandError({
          code: status === 3 ? "INTEGRITY" : "cli/hub-incomplete",
          message:
            status === 3
              ? "Something stored is not what its checksum says; the lines above name it. Install or register it again."
              : "Not all of it was done; the lines above say what and why.",
          exitCode: status,
        });
      }
    },
  };
}
