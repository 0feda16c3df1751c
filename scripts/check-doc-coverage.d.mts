/** Exported symbols of all entry points, and one line for each that has no comment. */
export function docCoverage(): { count: number; missing: string[] };
