import { main } from "@seg/cli";
import { vi } from "vitest";

/** What one command line wrote and returned. */
export interface SegRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line in this process with both streams caught. */
export async function runSeg(...argv: string[]): Promise<SegRun> {
  const text = { stdout: "", stderr: "" };
  const spies = (["stdout", "stderr"] as const).map((name) =>
    vi.spyOn(process[name], "write").mockImplementation((chunk) => {
      text[name] += String(chunk);
      return true;
    }),
  );
  try {
    const code = await main(argv);
    return { code, ...text };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
