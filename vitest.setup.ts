import process from "node:process";
import fc from "fast-check";
import { afterAll, vi } from "vitest";

// Property tests draw the same examples on every machine; SEG_PROPERTY_SEED explores others.
fc.configureGlobal({ seed: Number(process.env["SEG_PROPERTY_SEED"] ?? 42) });

/** The part of tfjs-core's engine that is needed here; tfjs keeps it on globalThis. */
interface TfjsEngine {
  readonly backendName: string | undefined;
  getSortedBackends(): string[];
  setBackend(name: string): Promise<boolean>;
}

// Files of a package share processes (vitest.package.ts): the next one finds the environment, the globals and the backend as a first one does.
const environment = { ...process.env };
afterAll(async () => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
  vi.useRealTimers();
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  for (const [name, value] of Object.entries(environment)) if (process.env[name] !== value) process.env[name] = value;
  const engine = (globalThis as { _tfengine?: TfjsEngine })._tfengine;
  if (engine?.backendName) await engine.setBackend(engine.getSortedBackends()[0]!);
});
