/** TensorRT version. */
export interface TrtVersion {
  major: number;
  minor: number;
  patch: number;
}

/** What `trtexec` says about the machine and the engine; null for lines that are not there. */
export interface TrtexecLog {
  version: TrtVersion | null;
  /** Median GPU time of one inference, milliseconds. */
  medianMs: number | null;
  /** Inferences a second, host transfers included. */
  throughput: number | null;
  device: string | null;
  computeCapability: string | null;
}

/** @example formatTrtVersion({ major: 10, minor: 5, patch: 0 }) // "10.5.0" */
export const formatTrtVersion = ({ major, minor, patch }: TrtVersion): string => `${major}.${minor}.${patch}`;

/**
 * Version from the banner `[TensorRT v8601]` or `[TensorRT v100500]`: one digit for the minor version up to 8 and 9, two from 10 on.
 * @example parseTrtVersion("&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec") // { major: 8, minor: 6, patch: 1 }
 */
export function parseTrtVersion(log: string): TrtVersion | null {
  const digits = /\[TensorRT v(\d+)\]/.exec(log)?.[1];
  if (digits === undefined) return null;
  const number = Number(digits);
  const hundreds = Math.floor(number / 100);
  return number < 10_000
    ? { major: Math.floor(number / 1000), minor: hundreds % 10, patch: number % 100 }
    : { major: Math.floor(number / 10_000), minor: hundreds % 100, patch: number % 100 };
}

/** Reads the lines "GPU Compute Time: ... median = x ms", "Throughput: x qps", "Selected Device: ...", "Compute Capability: ...". */
export function parseTrtexecLog(log: string): TrtexecLog {
  const number = (pattern: RegExp): number | null => {
    const text = pattern.exec(log)?.[1];
    return text === undefined ? null : Number(text);
  };
  return {
    version: parseTrtVersion(log),
    medianMs: number(/GPU Compute Time:[^\n]*\bmedian = ([\d.eE+-]+) ms/),
    throughput: number(/Throughput: ([\d.eE+-]+) qps/),
    device: /Selected Device:[ \t]*([^\n]+?)[ \t]*\r?(?:\n|$)/.exec(log)?.[1] ?? null,
    computeCapability: /Compute Capability:[ \t]*([\d.]+)/.exec(log)?.[1] ?? null,
  };
}
