import { main } from "../src/cli/main.js";

/** What `seg-hub` did. */
export interface HubRun {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `seg-hub` in this process with an environment of its own. */
export async function runHub(
  argv: readonly string[],
  {
    env,
    isTerminal = false,
    signal = new AbortController().signal,
  }: { env: Readonly<Record<string, string>>; isTerminal?: boolean; signal?: AbortSignal },
): Promise<HubRun> {
  let [out, err] = ["", ""];
  const status = await main(argv, {
    env,
    out: (chunk) => {
      out += chunk;
    },
    err: (chunk) => {
      err += chunk;
    },
    isTerminal,
    signal,
  });
  return { status, out, err };
}
