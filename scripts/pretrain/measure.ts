import process from "node:process";

/** CPU time of this process so far, all threads. */
export const cpuSecondsNow = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** A figure as metrics files hold it. */
export const round = (value: number, digits = 4): number => Number(value.toFixed(digits));
