import { catalogue } from "../../catalogue/catalogue.js";
import { civitaiHashes } from "../../download/civitai-hashes.js";
import { HubError } from "../../errors.js";
import { createHub } from "../../hub.js";
import { CivitaiSource } from "../../sources/civitai-source.js";
import { type CliCommand, CliUsageError } from "../command.js";

/** `seg-hub identify`. */
export const identifyCommands: readonly CliCommand[] = [
  {
    name: "identify",
    operands: "<file>",
    help: "hash a file and say which published model it is",
    options: { offline: { type: "boolean", help: "look into the built-in catalogue only" } },
    async run(call) {
      const [path, ...more] = call.positional;
      if (path === undefined || more.length > 0) throw new CliUsageError("Name one file.");
      const hub = createHub({ env: call.io.env });
      const hashes = await civitaiHashes({ path, signal: call.io.signal }).catch((cause: NodeJS.ErrnoException) => {
        if (cause.code !== "ENOENT" && cause.code !== "EISDIR") throw cause;
        throw new HubError({ code: "NOT_FOUND", message: `${path} is no file.`, cause, details: { path } });
      });
      const known = catalogue.entries
        .filter(({ files }) => files.some(({ sha256 }) => sha256 === hashes.sha256))
        .map(({ id }) => ({ id: `catalogue:${id}`, by: "sha256" }));
      const source = hub.sources.find((candidate) => candidate instanceof CivitaiSource);
      const isOpen = !call.flag("offline") && !hub.environment.isOffline && source !== undefined;
      // The file itself first; then its tensors, which stay the same when a header was rewritten.
      for (const by of isOpen ? (["sha256", "autoV3"] as const) : []) {
        const hash = hashes[by];
        const found = hash === null ? null : await source!.findByHash(hash, { signal: call.io.signal });
        if (found === null) continue;
        known.push({ id: found.id, by });
        break;
      }
      call.result({ path, ...hashes, known }, [
        ...Object.entries(hashes).map(([name, value]) => `${name.padEnd(7)} ${value ?? "none"}`),
        ...(known.length === 0 ? ["unknown"] : known.map(({ id, by }) => `${id} (${by})`)),
      ]);
      return 0;
    },
  },
];
