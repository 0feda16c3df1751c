import { CliUsageError } from "./command.js";

/** `name=number` of `--metric`. @throws {@link CliUsageError} */
export function metricOf(given: string): [string, number] {
  const match = /^([^=]{1,100})=(.+)$/.exec(given);
  const value = Number(match?.[2]);
  if (match === null || !Number.isFinite(value))
    throw new CliUsageError(`--metric is name=number, such as psnr=40.3; got "${given}".`);
  return [match[1]!, value];
}
