/** What the report prints for a value that nobody measured. */
export const NOT_MEASURED = "not measured";

const NBSP = "\u00a0";
const MINUS = "\u2212";

type Maybe = number | null | undefined;

/** A finite value, or null. */
export const known = (value: Maybe): number | null =>
  typeof value === "number" && Number.isFinite(value) ? value : null;

/** A quality in 0..1, or null; evaluators mark "no ground truth" by -1, which must not be shown as a score. */
export const knownScore = (value: Maybe): number | null => {
  const number = known(value);
  return number === null || number < 0 ? null : number;
};

/** Three decimals. @example formatScore(0.87249) // "0.872" */
export const formatScore = (value: Maybe): string => knownScore(value)?.toFixed(3) ?? NOT_MEASURED;

/** Thousands apart. @example formatCount(12345) // "12,345" */
export function formatCount(value: Maybe): string {
  const number = known(value);
  return number === null ? NOT_MEASURED : String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Three significant digits without an exponent. */
export function formatNumber(value: number): string {
  if (value === 0) return "0";
  const digits = Math.max(0, Math.min(12, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toFixed(digits).replace("-", MINUS);
}

/** Decimal units: 1 MB is 1,000,000 bytes. @example formatBytes(3_410_000) // "3.41 MB" */
export function formatBytes(value: Maybe): string {
  const number = known(value);
  if (number === null) return NOT_MEASURED;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = number;
  let unit = 0;
  // 999.5 would print as "1000".
  while (Math.abs(size) >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(size) : formatNumber(size)}${NBSP}${units[unit]}`;
}

/** Three significant digits and the unit. @example formatMilliseconds(12.34) // "12.3 ms" */
export function formatMilliseconds(value: Maybe): string {
  const number = known(value);
  return number === null ? NOT_MEASURED : `${formatNumber(number)}${NBSP}ms`;
}

/** Images per second, three significant digits. */
export function formatRate(value: Maybe): string {
  const number = known(value);
  return number === null ? NOT_MEASURED : formatNumber(number);
}

/**
 * A ratio in percent: whole, with one decimal where rounding would turn "almost all" into 100 or something small into 0.
 * @example formatPercent(0.978) // "98 %"
 */
export function formatPercent(ratio: Maybe): string {
  const number = known(ratio);
  if (number === null) return NOT_MEASURED;
  const percent = number * 100;
  const rounded = Math.round(percent);
  const isBlurred = rounded !== percent && (rounded === 100 || Math.abs(percent) < 10);
  return `${(isBlurred ? percent.toFixed(1) : String(rounded)).replace("-", MINUS)}${NBSP}%`;
}

/** With its sign. @example formatDelta(-0.017) // "−0.017" */
export function formatDelta(value: number): string {
  const text = Math.abs(value).toFixed(3);
  if (text === "0.000") return "±0.000";
  return `${value < 0 ? MINUS : "+"}${text}`;
}

/**
 * How much sooner one model is done than another. Within 3 %, less than what repeated timings differ by, they count as equally fast.
 * @example formatSpeed(2.08) // "2.1× faster"
 */
export function formatSpeed(ratio: number): string {
  if (ratio > 1 / 1.03 && ratio < 1.03) return "equally fast";
  const factor = ratio >= 1 ? ratio : 1 / ratio;
  return `${factor < 1.095 ? factor.toFixed(2) : factor.toFixed(1)}× ${ratio >= 1 ? "faster" : "slower"}`;
}

/** "1:05" or "2:03:09". */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
