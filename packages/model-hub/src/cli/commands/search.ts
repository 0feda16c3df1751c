import { createHub } from "../../hub.js";
import type { SearchQueryInput } from "../../sources/types.js";
import { type CliCommand, CliUsageError } from "../command.js";
import { createProgressPrinter } from "../progress-printer.js";

/** `seg-hub search` and `seg-hub download`. */
export const searchCommands: readonly CliCommand[] = [
  {
    name: "search",
    operands: "[text]",
    help: "search all hubs",
    options: {
      source: { type: "string", multiple: true, help: "hf, civitai, local or catalogue; repeatable" },
      kind: { type: "string", multiple: true, help: "checkpoint, lora, embedding, textual_inversion, ...; repeatable" },
      sort: { type: "string", help: "relevance, downloads, likes, updated or created" },
      limit: { type: "string", help: "1 to 1000 [50]" },
      "permissive-only": { type: "boolean", help: "only permissive licences" },
    },
    async run(call) {
      const limit = call.integer("limit", { min: 1, max: 1000 });
      const query = {
        ...(call.positional.length > 0 ? { text: call.positional.join(" ") } : {}),
        ...(call.list("source").length > 0 ? { sources: call.list("source") } : {}),
        ...(call.list("kind").length > 0 ? { kinds: call.list("kind") } : {}),
        ...(call.text("sort") === undefined ? {} : { sort: call.text("sort") }),
        ...(limit === undefined ? {} : { limit }),
        ...(call.flag("permissive-only") ? { permissiveOnly: true } : {}),
      } as SearchQueryInput;
      const result = await createHub({ env: call.io.env }).search(query, { signal: call.io.signal });
      for (const { source, message } of result.warnings) call.io.err(`warning: ${source}: ${message}\n`);
      call.result(
        result,
        result.hits.map(
          (h) => `${h.id.padEnd(50)} ${h.kind.padEnd(18)} ${(h.licence ?? "unknown").padEnd(16)} ${h.downloads ?? ""}`,
        ),
      );
      return 0;
    },
  },
];

export const downloadCommands: readonly CliCommand[] = [
  {
    name: "download",
    operands: "<ref>",
    help: "fetch hf:owner/name, civitai:<id>, an AIR URN or a URL, verified",
    options: {
      allow: { type: "string", multiple: true, help: "pattern of wanted files; repeatable" },
      ignore: { type: "string", multiple: true, help: "pattern of unwanted files; repeatable" },
      verify: { type: "string", help: "require, pin or warn [require]" },
      offline: { type: "boolean", help: "use the cache only" },
      "accept-licence": { type: "boolean", help: "agree to unknown, non-commercial or gated terms" },
      "allow-pickle": { type: "boolean", help: "take scanned pickles from CivitAI" },
    },
    async run(call) {
      const [ref, ...more] = call.positional;
      if (ref === undefined || more.length > 0) throw new CliUsageError("Name one model to download.");
      const verify = call.text("verify") ?? "require";
      if (verify !== "require" && verify !== "pin" && verify !== "warn")
        throw new CliUsageError("--verify is require, pin or warn.");
      const installed = await createHub({ env: call.io.env }).download(ref, {
        signal: call.io.signal,
        verify,
        ...(call.list("allow").length > 0 ? { allow: call.list("allow") } : {}),
        ...(call.list("ignore").length > 0 ? { ignore: call.list("ignore") } : {}),
        ...(call.flag("offline") ? { offline: true } : {}),
        acceptLicence: call.flag("accept-licence"),
        allowPickle: call.flag("allow-pickle"),
        onProgress: createProgressPrinter(call.io),
      });
      for (const warning of installed.warnings) call.io.err(`warning: ${warning}\n`);
      call.result(installed, [installed.path]);
      return 0;
    },
  },
];
