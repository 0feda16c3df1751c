import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import type { TrainerModule } from "@seg/model-hub";
import { openConnectedHub } from "@seg/model-hub/server";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { reportDryRun } from "../dry-run.js";
import { CommandError } from "../errors.js";
import { drawSweep } from "../hub/draw-sweep.js";
import { createPredictor } from "../hub/predictor.js";
import { configOption, dryRunOption, grouped } from "../option-specs.js";
import type { Output } from "../output.js";

export const serveOptions: OptionSpecs = {
  ...grouped("Where", {
    root: { type: "string", path: "folder", help: "folder of the hub", usual: "SEG_HUB_HOME, else ~/.cache/seg/hub" },
    port: {
      type: "number",
      range: { integer: true, min: 0, max: 65_535 },
      fallback: 8000,
      help: "0 takes a free one",
    },
    host: {
      type: "string",
      fallback: "127.0.0.1",
      help: "address to listen on; put a proxy with TLS before any other",
    },
    database: {
      type: "string",
      help: "postgres:// address or SQLite file",
      usual: "SEG_HUB_DATABASE, else <root>/registry.sqlite",
    },
    store: {
      type: "string",
      help: "folder or s3+https://host/bucket of the models' bytes",
      usual: "SEG_HUB_STORE, else <root>/objects",
    },
    redis: { type: "string", help: "redis:// address of the job queue", usual: "SEG_HUB_REDIS, else the database" },
    trainer: {
      type: "list",
      path: "file",
      help: "modules of other trainers; the first is the default",
      usual: "seg's student and teacher",
    },
    "text-encoder": {
      type: "string",
      path: "folder",
      help: "Grounding DINO whose text encoder compares tasks with adapters: a folder, or grounding-dino-tiny-synthetic",
      usual: "words and character grams are compared",
    },
  }),
  ...grouped("Who may call", {
    "jwt-issuer": { type: "string", help: "accept JWTs of this issuer, with --jwt-audience and --jwt-jwks" },
    "jwt-audience": { type: "string", help: "audience that JWTs must name" },
    "jwt-jwks": { type: "string", help: "address of the issuer's key set" },
    "cors-origin": { type: "list", help: "origins whose pages may call", usual: "none" },
    "trusted-proxies": {
      type: "number",
      range: { integer: true, min: 0, max: 10 },
      fallback: 0,
      help: "proxies in front that append to X-Forwarded-For",
    },
    "requests-per-minute": {
      type: "number",
      range: { integer: true, min: 1 },
      fallback: 120,
      help: "limit of one token",
    },
  }),
  ...configOption,
  ...dryRunOption,
};

/** seg's own trainers of students and teachers, for `openConnectedHub` of @seg/model-hub; beside this file whether built or not. */
export const ownTrainers = (): readonly TrainerModule[] =>
  ["student-trainer", "teacher-trainer"].map((name) => ({
    module: new URL(import.meta.url.endsWith(".ts") ? `../hub/${name}.ts` : `./${name}.js`, import.meta.url).href,
  }));

/** A path or a package; paths become file URLs, because the training process has another working directory. */
const trainerModule = (name: string): TrainerModule => ({
  module: /^[./]|^[A-Za-z]:[\\/]/.test(name) ? pathToFileURL(resolve(name)).href : name,
});

/**
 * Listens for a moment, before anything is written.
 * @throws {@link CommandError} `cli/port-unavailable` naming the port and what to do
 */
async function checkPort(port: number, host: string): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(port, host, resolve);
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reasons: Readonly<Record<string, string>> = {
      EADDRINUSE: `Port ${port} of ${host} is in use. Give another one with --port, or 0 for a free one.`,
      EACCES: `Port ${port} may not be opened by this user. Give one from 1024 on with --port.`,
    };
    const elsewhere = `Nothing can listen on ${host}. Give an address of this machine with --host, such as 127.0.0.1.`;
    throw new CommandError({ code: "cli/port-unavailable", message: reasons[code ?? ""] ?? elsewhere });
  }
  await new Promise((closed) => server.close(closed));
}

/** Serves the model hub until it is stopped: HTTP API, dashboard, and the worker that trains. */
export async function serve(options: OptionValues, output: Output, { signal, config }: CommandContext): Promise<void> {
  const { env } = process;
  const text = (name: string) => options[name] as string | undefined;
  const root = resolve(
    text("root") ?? env["SEG_HUB_HOME"] ?? join(env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "seg", "hub"),
  );
  const databaseUrl = text("database") ?? env["SEG_HUB_DATABASE"];
  const redisUrl = text("redis") ?? env["SEG_HUB_REDIS"];
  const trainers = options["trainer"] as readonly string[] | undefined;
  const [issuer, audience, jwks] = [text("jwt-issuer"), text("jwt-audience"), text("jwt-jwks")];
  const given = [issuer, audience, jwks].filter((value) => value !== undefined).length;
  if (given !== 0 && given !== 3) {
    throw new CommandError({
      code: "cli/jwt-incomplete",
      message: "JWTs need --jwt-issuer, --jwt-audience and --jwt-jwks together: give all three or none.",
    });
  }
  await checkPort(options["port"] as number, text("host")!);
  if (options["dry-run"] === true) {
    const database = databaseUrl ?? join(root, "registry.sqlite");
    const store = text("store") ?? env["SEG_HUB_STORE"] ?? join(root, "objects");
    return reportDryRun({
      ...{ command: "serve", config, output },
      plan: {
        decisions: [
          { what: "root", choice: root, why: existsSync(root) ? "exists" : "would be made" },
          { what: "queue", choice: redisUrl === undefined ? "the database" : "Redis", why: redisUrl ?? "no --redis" },
        ],
        steps: [`listen on http://${text("host")}:${options["port"]} until stopped`],
        writes: [
          { path: database, what: "registry, jobs and tokens" },
          { path: store, what: "bytes of the models" },
        ],
      },
    });
  }
  const encoder = text("text-encoder");
  const embedder =
    encoder === undefined ? null : await (await import("../teacher/open-text-encoder.js")).openTextEncoder(encoder);
  const hub = await openConnectedHub({
    root,
    env,
    storeAddress: text("store"),
    port: options["port"] as number,
    host: text("host")!,
    trainers: trainers?.map(trainerModule) ?? ownTrainers(),
    adminToken: env["SEG_HUB_ADMIN_TOKEN"] ?? null,
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    ...(redisUrl === undefined ? {} : { redisUrl }),
    ...(given === 0 ? {} : { jwt: { issuer: issuer!, audience: audience!, jwks: new URL(jwks!) } }),
    predictor: (parts) => createPredictor(parts),
    drawSweep,
    ...(embedder === null ? {} : { embedder }),
    onDerivedError: (error, what) => output.line(`warning: ${what}: ${error instanceof Error ? error.message : error}`),
    app: {
      trustedProxies: options["trusted-proxies"] as number,
      limits: { requestsPerMinute: options["requests-per-minute"] as number },
      corsOrigins: (options["cors-origin"] as readonly string[] | undefined) ?? [],
      onFault: ({ requestId, method, path, error }) =>
        output.line(
          `fault ${requestId} ${method} ${path}: ${error instanceof Error ? (error.stack ?? error.message) : error}`,
        ),
    },
  });
  output.line(`hub         ${root}`);
  output.line(`dashboard   ${hub.url}/dashboard`);
  output.line(`API         ${hub.url}/docs`);
  if (hub.firstToken !== null) {
    output.line(`token       ${hub.firstToken}`);
    output.line("            of role admin, shown this once; seg-hub tokens create makes others");
  }
  output.event({ type: "listening", url: hub.url, ...(hub.firstToken === null ? {} : { token: hub.firstToken }) });
  // A service manager ends with SIGTERM; running jobs are handed back either way.
  await new Promise<void>((stop) => {
    if (signal.aborted) stop();
    signal.addEventListener("abort", () => stop(), { once: true });
    process.once("SIGTERM", () => stop());
  });
  await hub.close();
  embedder?.dispose();
  output.line("hub         stopped");
}
