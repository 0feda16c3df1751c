import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect, isIP, type OnReadOpts, type Socket } from "node:net";
import { Duplex, Readable } from "node:stream";
import { connect as connectTls } from "node:tls";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import type { Fetch } from "./http-client.js";

/**
 * Memory that the socket fills again and again. `fetch` gets a new 64 KiB buffer for every read of the socket and copies it once more:
 * 200 ms of CPU time for 256 MiB against 80 here. A megabyte is read no faster, and leaves the processor's cache before it is hashed.
 */
export const READ_BYTES = 256 << 10;
/** From here on the body is worth reading past the parser. */
const DIRECT_FROM_BYTES = 1 << 20;

/** Where the next bytes should be written; null: anywhere. What it gives is not touched once another piece has been consumed. */
export type Memory = () => Uint8Array | null;
/** Takes bytes that are valid until it returns, or until the promise it returns settles: nothing is read before. */
export type Consume = (bytes: Uint8Array) => Promise<void> | undefined;

/**
 * The connection of one request. Node's own parser reads the head; the body of a stated length can then be taken from the socket as it comes.
 */
class Connection extends Duplex {
  readonly #socket: Socket;
  /** Bytes go to the parser no longer. */
  #isHeld = false;
  #consume: Consume | null = null;
  #memory: Memory | null = null;
  /** `#consume` has not finished with its bytes. */
  #isBusy = false;
  /** What came although the socket was told to pause: TLS hands out all that it has decrypted. */
  readonly #backlog: Buffer[] = [];
  #isClosed = false;
  #remaining = 0;
  #onEnd: ((error: Error | null) => void) | null = null;

  constructor(url: URL, ca: string | undefined) {
    super();
    const own = new Uint8Array(READ_BYTES);
    const onread: OnReadOpts = {
      // Asked for after each read. While a consumer is busy its memory may still be read by others.
      buffer: () => (this.#isBusy ? null : this.#memory?.()) ?? own,
      callback: (count, buffer) => this.#receive(buffer.subarray(0, count)),
    };
    const { port, protocol } = url;
    // An IPv6 address stands in brackets in a URL only.
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const isTls = protocol === "https:";
    const at = { host, port: Number(port === "" ? (isTls ? 443 : 80) : port), onread };
    this.#socket = isTls
      ? connectTls({
          ...at,
          ALPNProtocols: ["http/1.1"],
          // No name is sent for an address.
          ...(isIP(host) === 0 ? { servername: host } : {}),
          ...(ca === undefined ? {} : { ca }),
        })
      : connect(at);
    this.#socket.on("error", (error) => this.destroy(error));
    this.#socket.on("close", () => {
      this.#isClosed = true;
      // What the parser has not read yet must still reach it: it tells a body that is whole from one that is cut.
      if (!this.#isHeld) this.push(null);
      else if (this.#consume !== null) this.#next();
    });
  }

  /** @returns whether to go on reading */
  #receive(bytes: Uint8Array): boolean {
    if (!this.#isHeld) {
      // A copy: the parser hands out parts of it, and this memory is filled again.
      this.push(Buffer.from(bytes));
      return true;
    }
    if (this.#consume !== null && !this.#isBusy) return this.#pass(bytes);
    this.#backlog.push(Buffer.from(bytes));
    return false;
  }

  #pass(bytes: Uint8Array): boolean {
    if (bytes.length > this.#remaining) {
      this.#finish(new Error("the server sent more than the stated length"));
      return false;
    }
    this.#remaining -= bytes.length;
    let pause: Promise<void> | undefined;
    try {
      pause = this.#consume!(bytes);
    } catch (error) {
      this.#finish(error as Error);
      return false;
    }
    if (pause === undefined) {
      if (this.#remaining === 0) this.#finish(null);
      return true;
    }
    this.#isBusy = true;
    pause.then(
      () => {
        this.#isBusy = false;
        this.#next();
      },
      (error: Error) => this.#finish(error),
    );
    return false;
  }

  /** Goes on with what is there, then with the socket. */
  #next(): void {
    while (!this.#isBusy && this.#onEnd !== null && this.#backlog.length > 0) this.#pass(this.#backlog.shift()!);
    if (this.#isBusy || this.#onEnd === null) return;
    if (this.#remaining === 0) this.#finish(null);
    else if (this.#isClosed) this.#finish(new Error("the connection closed before the end of the body"));
    else this.#socket.resume();
  }

  #finish(error: Error | null): void {
    const end = this.#onEnd;
    this.#onEnd = null;
    this.#memory = null;
    end?.(error);
    this.destroy();
  }

  /** The next `length` bytes of the socket, none of which the parser has seen, once {@link hold} was called. */
  passBody(length: number, consume: Consume, memory: Memory | null): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#remaining = length;
      this.#consume = consume;
      this.#memory = memory;
      this.#onEnd = (error) => (error === null ? resolve() : reject(this.errored ?? error));
      if (this.destroyed) this.#finish(new Error("the connection is closed"));
      else this.#next();
    });
  }

  /** Nothing more goes to the parser, and little more is read. */
  hold(): void {
    this.#isHeld = true;
    this.#socket.pause();
  }

  override _read(): void {}
  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }
  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done);
  }
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    const end = this.#onEnd;
    this.#onEnd = null;
    end?.(error ?? new Error("the request was given up"));
    done(error);
  }
}

/** A response whose body can be taken without streams in between. */
export class DirectResponse extends Response {
  readonly #take: (consume: Consume, memory: Memory | null) => Promise<void>;

  constructor({
    take,
    cancel,
    ...init
  }: {
    take: (consume: Consume, memory: Memory | null) => Promise<void>;
    cancel: () => void;
    status: number;
    statusText: string;
    headers: Headers;
  }) {
    let resume: (() => void) | null = null;
    let isStarted = false;
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>) => {
      resume?.();
      if (isStarted) return;
      isStarted = true;
      take((bytes) => {
        controller.enqueue(bytes.slice());
        return new Promise((next) => {
          resume = next;
        });
      }, null).then(
        () => controller.close(),
        (error) => controller.error(error),
      );
    };
    super(new ReadableStream({ pull, cancel }, { highWaterMark: 0 }), init);
    this.#take = take;
  }

  /**
   * Passes the whole body to `consume`, once, instead of `body`. Rejects when the connection breaks, or with what `consume` throws.
   * @param memory - where pieces are written, as far as they can be, so that nobody need copy them
   */
  consume(consume: Consume, memory: Memory | null = null): Promise<void> {
    return this.#take(consume, memory);
  }
}

/** What a server's `content-encoding` means; a body that was asked for as it is has none. */
const DECODERS: Readonly<Record<string, () => Duplex>> = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

function decoded(message: IncomingMessage): Readable {
  const decoder = DECODERS[message.headers["content-encoding"] ?? ""]?.();
  if (decoder === undefined) return message;
  message.on("error", (error) => decoder.destroy(error));
  return message.pipe(decoder);
}

/**
 * `fetch` for the bodies of large files: GET and HEAD over one connection of its own, redirects as they are. Node's parser reads the head;
 * a body of stated length of a MiB or more is a {@link DirectResponse}.
 *
 * @param ca - certificates to trust, PEM. @defaultValue Node's
 */
export function createDirectFetch({ ca }: { ca?: string } = {}): Fetch {
  return (address, { method = "GET", headers = {}, signal } = {}) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const url = new URL(address);
      const connection = new Connection(url, ca);
      const request = httpRequest({
        method,
        path: `${url.pathname}${url.search}`,
        headers: { host: url.host, connection: "close", ...(headers as Record<string, string>) },
        createConnection: () => connection,
      });
      const abort = () => {
        const reason: unknown = signal!.reason;
        connection.destroy(reason instanceof Error ? reason : new Error(String(reason)));
      };
      signal?.addEventListener("abort", abort, { once: true });
      connection.once("close", () => signal?.removeEventListener("abort", abort));
      request.on("error", (error) => reject(signal?.aborted ? signal.reason : error));
      request.on("response", (message) => {
        const head = {
          status: message.statusCode!,
          statusText: message.statusMessage ?? "",
          headers: new Headers(
            Array.from({ length: message.rawHeaders.length / 2 }, (_, i): [string, string] => [
              message.rawHeaders[2 * i]!,
              message.rawHeaders[2 * i + 1]!,
            ]),
          ),
        };
        const length = Number(message.headers["content-length"] ?? Number.NaN);
        const isPlain = message.headers["transfer-encoding"] === undefined && !message.headers["content-encoding"];
        const isEmpty = method === "HEAD" || head.status === 204 || head.status === 304;
        if (isEmpty || !isPlain || !(length >= DIRECT_FROM_BYTES)) {
          // Without a listener a broken connection would be an uncaught error; whoever reads the stream sees it.
          message.on("error", () => {});
          if (isEmpty) message.resume();
          resolve(new Response(isEmpty ? null : (Readable.toWeb(decoded(message)) as ReadableStream), head));
          return;
        }
        connection.hold();
        message.on("error", () => {});
        const take = async (consume: Consume, memory: Memory | null) => {
          // What came with the head has gone through the parser once this turn is over; nothing follows while the socket is held.
          await new Promise(setImmediate);
          const early = message.read() as Buffer | null;
          if (early !== null) await consume(early);
          const rest = length - (early?.length ?? 0);
          if (rest > 0) await connection.passBody(rest, consume, memory);
          else connection.destroy();
        };
        resolve(new DirectResponse({ ...head, take, cancel: () => connection.destroy() }));
      });
      request.end();
    });
}
