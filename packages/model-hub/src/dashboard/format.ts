/** What stands for an unknown value. */
export const UNKNOWN = "–";

/** 0.9234 -> "92.3 %" */
export const formatPercent = (rate: number | null | undefined): string =>
  rate === null || rate === undefined ? UNKNOWN : `${(100 * rate).toFixed(1)} %`;

/** F1 and loss: four decimals. */
export const formatDecimal = (value: number | null | undefined, digits = 4): string =>
  value === null || value === undefined ? UNKNOWN : value.toFixed(digits);

export const formatCount = (value: number | null | undefined): string =>
  value === null || value === undefined ? UNKNOWN : value.toLocaleString("en-US");

/** 75 -> "1 min 15 s"; 45 -> "45 s"; 7300 -> "2 h 2 min" */
export function formatDuration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 === 0 ? "" : ` ${whole % 60} s`}`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Powers of 1000, as file managers show them. */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return UNKNOWN;
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** Local date and time, minutes. */
export function formatInstant(iso: string | null | undefined): string {
  if (iso === null || iso === undefined) return UNKNOWN;
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  return date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** A learning rate without trailing zeros: 0.001, 3.2e-5. */
export function formatRate(value: number): string {
  return value >= 0.001 ? String(Number(value.toPrecision(3))) : value.toExponential(1).replace(".0e", "e");
}
