/** The generated module as text. */
export function dashboardModule(): Promise<string>;
/** Where it is kept. */
export function committedModule(): string;
