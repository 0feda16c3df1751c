/** How a fake server misbehaves for a request whose path contains `match`. */
export type Fault = {
  /** Part of the path and query. */
  readonly match: string;
  /** How many requests are hit. @defaultValue 1 */
  readonly times?: number;
  readonly method?: string;
} & (
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  /** Closes the connection after this share of the body. */
  | { readonly kind: "cut"; readonly at: number }
  /** Flips one byte at this share of the body, same length. */
  | { readonly kind: "corrupt"; readonly at: number }
  /** Sends a body (and Content-Length) that is this many bytes longer or shorter. */
  | { readonly kind: "length"; readonly delta: number }
  | { readonly kind: "ignore-range" }
  /** Answers 206 with a Content-Range that starts elsewhere. */
  | { readonly kind: "bad-range" }
  | { readonly kind: "etag"; readonly etag: string }
  | { readonly kind: "html" }
  | { readonly kind: "json" }
  /** Pauses between small pieces. */
  | { readonly kind: "drip"; readonly pauseMs: number; readonly pieceBytes: number }
  /** Sends headers and this share of the body, then nothing. @defaultValue 10 bytes */
  | { readonly kind: "hang"; readonly at?: number }
  | { readonly kind: "redirect"; readonly location: string }
);

/** Which faults are still armed. */
export class Faults {
  #armed: { fault: Fault; left: number }[] = [];

  add(fault: Fault): void {
    this.#armed.push({ fault, left: fault.times ?? 1 });
  }

  clear(): void {
    this.#armed = [];
  }

  /** The first armed fault for a request, used up by one. */
  take(path: string, method: string): Fault | null {
    const entry = this.#armed.find(
      ({ fault, left }) => left > 0 && path.includes(fault.match) && (fault.method ?? method) === method,
    );
    if (entry === undefined) return null;
    entry.left--;
    return entry.fault;
  }
}
