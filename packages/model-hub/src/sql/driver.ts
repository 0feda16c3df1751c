/** What both databases store: text, numbers (integers up to 2^53; larger ones as text), null. JSON goes in as text, booleans as 0 and 1. */
export type SqlValue = string | number | null;
export type SqlRow = Readonly<Record<string, SqlValue>>;
export type SqlDialect = "sqlite" | "postgres";

/** Runs statements. Placeholders are `?`, in order; a statement must not contain a question mark otherwise. */
export interface SqlReader {
  readonly dialect: SqlDialect;
  all(sql: string, parameters?: readonly SqlValue[]): Promise<SqlRow[]>;
}

/** One write transaction. */
export interface SqlTransaction extends SqlReader {
  /** @returns the number of rows changed */
  run(sql: string, parameters?: readonly SqlValue[]): Promise<number>;
  /** ` FOR UPDATE` where rows are locked one by one, empty where a writer has the database to itself. */
  readonly forUpdate: string;
  /** ` FOR UPDATE SKIP LOCKED`, or empty for the same reason. */
  readonly forUpdateSkipLocked: string;
}

/**
 * The one way to the database. Reads see committed rows; each `all` outside a transaction is one consistent snapshot. Writes are serialised
 * by the database (SQLite) or by the rows that they lock (PostgreSQL), and run again when the database asks for it, so `work` must be free
 * of effects outside the transaction.
 */
export interface SqlDriver extends SqlReader {
  /** Where the data lies, without credentials. */
  readonly location: string;
  /** @throws what `work` throws, after a rollback */
  write<Result>(work: (tx: SqlTransaction) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

/** A column as text. */
export const text = (row: SqlRow, column: string): string => String(row[column]);
/** A column as text or null. */
export const textOrNull = (row: SqlRow, column: string): string | null => {
  const value = row[column];
  return value === null || value === undefined ? null : String(value);
};
/** An integer column. */
export const integer = (row: SqlRow, column: string): number => Number(row[column]);
