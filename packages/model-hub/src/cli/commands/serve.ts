import { openConnectedHub } from "../../server/open-connected-hub.js";
import type { CliCommand } from "../command.js";
import { hubRoot, STATE_OPTIONS } from "../open-state.js";
import { trainerModules } from "../trainer-modules.js";

/** `seg-hub serve`: the HTTP API and the dashboard, with trainers of one's own. */
export const serveCommands: readonly CliCommand[] = [
  {
    name: "serve",
    help: "serve API and dashboard until interrupted; seg serve does the same with seg's trainers",
    options: {
      ...STATE_OPTIONS,
      port: { type: "string", help: "0 takes a free one [8000]" },
      host: { type: "string", help: "address to listen on [127.0.0.1]" },
      trainer: { type: "string", multiple: true, help: "module[#export] of a trainer; the first is the default" },
    },
    async run(call) {
      const { env, signal, err } = call.io;
      const databaseUrl = call.text("database") ?? env["SEG_HUB_DATABASE"];
      const redisUrl = call.text("redis") ?? env["SEG_HUB_REDIS"];
      const hub = await openConnectedHub({
        root: hubRoot(call),
        env,
        storeAddress: call.text("store"),
        port: call.integer("port", { min: 0, max: 65_535 }) ?? 8000,
        host: call.text("host") ?? "127.0.0.1",
        trainers: trainerModules(call.list("trainer")),
        adminToken: env["SEG_HUB_ADMIN_TOKEN"] ?? null,
        ...(databaseUrl === undefined ? {} : { databaseUrl }),
        ...(redisUrl === undefined ? {} : { redisUrl }),
        onDerivedError: (error, what) => err(`warning: ${what}: ${error instanceof Error ? error.message : error}\n`),
        app: {
          onFault: ({ requestId, method, path, error }) =>
            err(`fault ${requestId} ${method} ${path}: ${error instanceof Error ? error.stack : error}\n`),
        },
      });
      call.result({ url: hub.url, token: hub.firstToken }, [
        `${hub.url}/dashboard`,
        ...(hub.firstToken === null ? [] : [`${hub.firstToken}  (role admin, shown this once)`]),
      ]);
      await new Promise<void>((stop) => {
        if (signal.aborted) stop();
        signal.addEventListener("abort", () => stop(), { once: true });
      });
      await hub.close();
      return 0;
    },
  },
];
