import { spawn } from "node:child_process";

/** A running measurement of the power that a GPU draws. */
export interface GpuPowerMeter {
  /**
   * Ends the measurement.
   * @returns mean of the readings in watts; null where no reading was got
   */
  stop(): Promise<number | null>;
}

/** NVML refreshes its reading about ten times a second. */
const INTERVAL_MS = 100;

/**
 * Reads the power of the first GPU through `nvidia-smi` (NVML) until it is stopped. A machine without the program, or a GPU that does not report its
 * power, is no error: the result is null.
 *
 * @param command - program to ask. @defaultValue "nvidia-smi"
 */
export function meterGpuPower(command = "nvidia-smi"): GpuPowerMeter {
  const query = ["--id=0", "--query-gpu=power.draw", "--format=csv,noheader,nounits", `--loop-ms=${INTERVAL_MS}`];
  const child = spawn(command, query, { stdio: ["ignore", "pipe", "ignore"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  const ended = new Promise<void>((resolve) => {
    child.on("error", () => resolve());
    child.on("close", () => resolve());
  });
  return {
    async stop() {
      child.kill();
      await ended;
      // A last line without its end may be half a number; "[N/A]" is none.
      const lines = text.split("\n").slice(0, -1);
      const watts = lines.map((line) => Number.parseFloat(line)).filter((value) => Number.isFinite(value) && value > 0);
      return watts.length === 0 ? null : watts.reduce((sum, value) => sum + value, 0) / watts.length;
    },
  };
}
