/** What a version name looks like. */
export const VERSION_NAME = /^v\d{8}_\d{6}$/;

/** `vYYYYMMDD_HHMMSS` in UTC. @example versionName(Date.UTC(2025, 10, 11, 15, 30, 45)) // "v20251111_153045" */
export function versionName(ms: number): string {
  const digits = new Date(ms).toISOString().replace(/[-:]/g, "");
  return `v${digits.slice(0, 8)}_${digits.slice(9, 15)}`;
}

/** The second that names the next version: now, or one after the last of its model, so that names are unique and never return. */
export function nextVersionMs(nowMs: number, lastMs: number): number {
  return Math.max(Math.floor(nowMs / 1000) * 1000, lastMs + 1000);
}
