import { HubError } from "../errors.js";
import { type HubClock, systemClock } from "../internal/clock.js";
import { reserveBytes } from "./reserve-bytes.js";
import type {
  Lease,
  LoadedModel,
  ModelLoader,
  PoolDevice,
  PooledModel,
  PoolMetrics,
  PoolPrecision,
  PoolStatus,
} from "./types.js";
import { chooseVictims } from "./victims.js";

/** What loading needs beyond the weights: buffers of the reader and of the allocator. */
const LOAD_FACTOR = 1.1;
/** Of weights in half precision. */
const HALF = 0.5;

/** Options of {@link ModelPool}. */
export interface ModelPoolOptions {
  readonly devices: readonly PoolDevice[];
  /** Reduced forms that may stand in for a model that does not fit. @defaultValue "none" */
  readonly quantisation?: "none" | "fp16" | "int8" | "auto";
  /** A model that nobody used for so long goes first when room is needed, and with every {@link ModelPool.expire}. @defaultValue 300_000 */
  readonly keepAliveMs?: number;
  /** Callers that may wait for room. @defaultValue 64 */
  readonly maxWaiting?: number;
  /** How long one waits. @defaultValue 60_000 */
  readonly timeoutMs?: number;
  readonly clock?: HubClock;
  /** Called before each load, for example `monitor.check`. */
  readonly beforeLoad?: () => Promise<unknown>;
}

/** What {@link ModelPool.cleanup} leaves. */
export interface CleanupOptions {
  /** Share of each budget, 0..1; 0 drops all that is idle. @defaultValue 0 */
  readonly target?: number;
  /** Measured bytes by device, where they are known better than by the pool's own count. */
  readonly used?: Readonly<Record<string, number>>;
}

/** A model of the pool, from the first request until its memory is free again. */
interface Entry {
  readonly key: string;
  readonly loader: ModelLoader<unknown>;
  state: PooledModel["state"];
  device: Device | null;
  precision: PoolPrecision;
  bytes: number;
  /** Leases given and promised. */
  users: number;
  lastUse: number;
  reloadMs: number | null;
  loaded: LoadedModel<unknown> | null;
  /** Where it is moving to: its bytes count there as well. */
  target: Device | null;
  /** Resolves when the move has ended, one way or the other. */
  moved: Deferred<void>;
  /** Settles when the model is loaded, or will not be. */
  readonly ready: Deferred<void>;
  /** Resolves when the entry is out of the pool. */
  readonly gone: Deferred<void>;
}

interface Device {
  readonly id: string;
  readonly isAccelerator: boolean;
  readonly budget: number;
}

/** How long a caller waits. */
interface Limits {
  readonly key: string;
  readonly signal: AbortSignal | undefined;
  /** Milliseconds of the clock. */
  readonly until: number;
  readonly timeoutMs: number;
}

/** A place that a model would fit if the device were empty. */
interface Placement {
  readonly device: Device;
  readonly precision: PoolPrecision;
  readonly bytes: number;
}

/**
 * Models in memory, within a budget of bytes per device. Bytes are reserved before a model is loaded and replaced by what was
 * measured afterwards; one load per model and one at a time per device; a model in use stays. Where room is short, in this order: what was
 * idle for long goes, idle models move to the cpu, the new model comes in a reduced form, the least recently used ones go. Callers that
 * find no room wait in order.
 *
 * @example
 * await using lease = await pool.acquire("sam-b", samLoader);
 * await lease.model.segment(image);
 */
export class ModelPool {
  readonly #devices: readonly Device[];
  readonly #quantisation: NonNullable<ModelPoolOptions["quantisation"]>;
  readonly #keepAliveMs: number;
  readonly #maxWaiting: number;
  readonly #timeoutMs: number;
  readonly #clock: HubClock;
  readonly #beforeLoad: () => Promise<unknown>;
  readonly #entries = new Map<string, Entry>();
  /** Models that wait for room, in order. */
  readonly #queue: Entry[] = [];
  /** What models turned out to need, by key and precision. */
  readonly #measured = new Map<string, number>();
  readonly #counts = { hits: 0, loads: 0, evictions: 0, expirations: 0, offloads: 0, waits: 0, failures: 0 };
  #waiting = 0;
  #isClosed = false;

  constructor({
    devices,
    quantisation = "none",
    keepAliveMs = 300_000,
    maxWaiting = 64,
    timeoutMs = 60_000,
    clock = systemClock,
    beforeLoad,
  }: ModelPoolOptions) {
    const ids = new Set(devices.map(({ id }) => id));
    if (devices.length === 0 || ids.size < devices.length) {
      throw new HubError({
        code: "INVALID_REQUEST",
        message: `A pool needs devices with distinct ids, got [${devices.map(({ id }) => id).join(", ")}].`,
      });
    }
    this.#devices = devices.map(({ id, totalBytes, reserveBytes: reserve = reserveBytes(totalBytes) }) => ({
      id,
      isAccelerator: id !== "cpu",
      budget: Math.max(0, totalBytes - reserve),
    }));
    this.#quantisation = quantisation;
    this.#keepAliveMs = keepAliveMs;
    this.#maxWaiting = maxWaiting;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
    this.#beforeLoad = beforeLoad ?? (async () => undefined);
  }

  /**
   * The model of `key`, loaded if it is not there. Calls with one key share one load.
   * @throws HubError `MODEL_TOO_LARGE` at once if it fits on no device, `POOL_FULL`, `POOL_TIMEOUT`, `INVALID_STATE` after
   *   {@link ModelPool.close}; what `loader.load` throws; `signal.reason`
   */
  async acquire<Model>(
    key: string,
    loader: ModelLoader<Model>,
    { signal, timeoutMs = this.#timeoutMs }: { signal?: AbortSignal; timeoutMs?: number } = {},
  ): Promise<Lease<Model>> {
    const limits = { key, signal, until: this.#clock.now() + timeoutMs, timeoutMs };
    for (;;) {
      signal?.throwIfAborted();
      if (this.#isClosed) throw this.#closed();
      const known = this.#entries.get(key);
      if (known?.state === "resident") {
        this.#counts.hits++;
        known.users++;
        return this.#lease<Model>(known);
      }
      if (known?.state === "disposing" || known?.state === "moving") {
        await this.#within(known.state === "moving" ? known.moved.promise : known.gone.promise, limits);
        continue;
      }
      const entry = known ?? this.#enter(key, loader);
      entry.users++;
      if (known === undefined) this.#pump();
      return this.#await<Model>(entry, limits);
    }
  }

  /** Models, room and counts. */
  status(): PoolStatus {
    const now = this.#clock.now();
    return {
      devices: this.#devices.map((device) => ({
        id: device.id,
        budgetBytes: device.budget,
        usedBytes: this.#used(device),
      })),
      models: [...this.#entries.values()].map((entry) => ({
        key: entry.key,
        state: entry.state,
        device: entry.device?.id ?? null,
        precision: entry.precision,
        bytes: entry.bytes,
        leases: entry.users,
        pinned: entry.loader.pinned ?? false,
        idleMs: entry.users > 0 || entry.state !== "resident" ? null : now - entry.lastUse,
      })),
      waiting: this.#waiting,
      metrics: this.metrics(),
    };
  }

  metrics(): PoolMetrics {
    return { ...this.#counts };
  }

  /** Drops models that nobody used for `keepAliveMs`. @returns their keys, once their memory is free */
  async expire(): Promise<string[]> {
    const expired = this.#idle().filter((entry) => this.#isExpired(entry));
    await Promise.all(expired.map((entry) => this.#drop(entry, "expirations")));
    return expired.map(({ key }) => key);
  }

  /**
   * Drops idle models, least valuable first, until no device uses more than a share of its budget.
   * @returns keys of what went, once its memory is free
   */
  async cleanup({ target = 0, used = {} }: CleanupOptions = {}): Promise<string[]> {
    const dropped: Entry[] = [];
    for (const device of this.#devices) {
      const idle = this.#idle(device);
      const wanted = (used[device.id] ?? this.#used(device)) - target * device.budget;
      if (wanted > 0) dropped.push(...(chooseVictims(idle, wanted) ?? idle));
    }
    await Promise.all(dropped.map((entry) => this.#drop(entry, "evictions")));
    return dropped.map(({ key }) => key);
  }

  /**
   * Drops one model if nobody uses it.
   * @returns whether it went; its memory is free then
   */
  async evict(key: string): Promise<boolean> {
    const entry = this.#entries.get(key);
    if (entry?.state !== "resident" || entry.users > 0) return false;
    await this.#drop(entry, "evictions");
    return true;
  }

  /** Refuses further requests, drops what is idle now and the rest as it is released. Resolves when nothing is left. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const entry of this.#queue.splice(0)) {
      this.#remove(entry, this.#closed());
    }
    const all = [...this.#entries.values()];
    for (const entry of this.#idle()) void this.#drop(entry, "evictions");
    for (const entry of all) if (entry.loader.pinned && entry.users === 0) void this.#drop(entry, "evictions");
    await Promise.all(all.map((entry) => entry.gone.promise));
  }

  #enter(key: string, loader: ModelLoader<unknown>): Entry {
    const entry: Entry = {
      key,
      loader,
      state: "waiting",
      device: null,
      precision: "full",
      bytes: 0,
      users: 0,
      lastUse: this.#clock.now(),
      reloadMs: null,
      loaded: null,
      target: null,
      moved: deferred(),
      ready: deferred(),
      gone: deferred(),
    };
    this.#entries.set(key, entry);
    this.#queue.push(entry);
    return entry;
  }

  /** Waits as one of an entry's users until it is loaded. */
  async #await<Model>(entry: Entry, limits: Limits): Promise<Lease<Model>> {
    const waits = entry.state === "waiting";
    if (waits && this.#waiting >= this.#maxWaiting) {
      this.#leave(entry);
      throw new HubError({
        code: "POOL_FULL",
        message: `${this.#waiting} callers wait for room already; "${entry.key}" was not added.`,
        details: { key: entry.key, waiting: this.#waiting },
      });
    }
    if (waits) {
      this.#waiting++;
      this.#counts.waits++;
    }
    try {
      await this.#within(entry.ready.promise, limits);
    } catch (error) {
      this.#leave(entry);
      throw error;
    } finally {
      if (waits) this.#waiting--;
    }
    return this.#lease<Model>(entry);
  }

  /** `promise`, or the end of patience. */
  async #within(promise: Promise<void>, { key, signal, until, timeoutMs }: Limits): Promise<void> {
    const over = new AbortController();
    const onAbort = () => over.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const timeout = this.#clock.sleep(Math.max(0, until - this.#clock.now()), over.signal).then(() => {
      throw new HubError({
        code: "POOL_TIMEOUT",
        message: `"${key}" found no room within ${timeoutMs / 1000} s: the models in memory are in use.`,
        details: { key, timeout_ms: timeoutMs },
      });
    });
    try {
      await Promise.race([promise, timeout]);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      over.abort();
      timeout.catch(() => undefined);
    }
  }

  #lease<Model>(entry: Entry): Lease<Model> {
    let isHeld = true;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      this.#leave(entry);
    };
    return {
      key: entry.key,
      model: entry.loaded!.model as Model,
      device: entry.device!.id,
      precision: entry.precision,
      release,
      [Symbol.asyncDispose]: async () => release(),
    };
  }

  /** One user less: a lease given back, or a caller that stopped waiting. */
  #leave(entry: Entry): void {
    entry.users--;
    entry.lastUse = this.#clock.now();
    if (entry.users > 0) return;
    if (entry.state === "waiting" && this.#entries.get(entry.key) === entry) {
      this.#queue.splice(this.#queue.indexOf(entry), 1);
      this.#remove(entry, null);
    }
    if (this.#isClosed && entry.state === "resident") void this.#drop(entry, "evictions");
    this.#pump();
  }

  /** Takes an entry out; whoever waits for it gets `error`. */
  #remove(entry: Entry, error: unknown): void {
    this.#entries.delete(entry.key);
    entry.ready.promise.catch(() => undefined);
    if (error !== null) entry.ready.reject(error);
    entry.gone.resolve();
  }

  #used(device: Device): number {
    let bytes = 0;
    for (const entry of this.#entries.values()) {
      if (entry.device === device || entry.target === device) bytes += entry.bytes;
    }
    return bytes;
  }

  /** Loaded models that nobody uses and that may go. */
  #idle(device?: Device): Entry[] {
    return [...this.#entries.values()].filter((entry) => {
      const isThere = device === undefined || entry.device === device;
      return isThere && entry.state === "resident" && entry.users === 0 && entry.loader.pinned !== true;
    });
  }

  #isExpired({ lastUse }: Entry): boolean {
    return this.#clock.now() - lastUse >= this.#keepAliveMs;
  }

  /** Places what waits where there is room; on each device in order. */
  #pump(): void {
    const blocked = new Set<Device>();
    for (const entry of [...this.#queue]) {
      const placements = this.#placements(entry);
      const [first] = placements;
      if (first !== undefined && blocked.has(first.device)) continue;
      const placement =
        first === undefined ? null : this.#makeRoom(placements.filter(({ device }) => device === first.device));
      if (first !== undefined && placement === null) {
        blocked.add(first.device);
        continue;
      }
      this.#queue.splice(this.#queue.indexOf(entry), 1);
      if (placement === null) this.#remove(entry, this.#tooLarge(entry));
      else void this.#load(entry, placement);
    }
  }

  /** Where a model would fit, full precision first on each device. */
  #placements({ key, loader }: Entry): Placement[] {
    const { weightBytes, activationBytes = 0, variants = {}, devices } = loader;
    const candidates =
      devices === undefined
        ? this.#devices
        : devices.flatMap((id) => this.#devices.filter((device) => device.id === id));
    const allows = (precision: "fp16" | "int8") => this.#quantisation === "auto" || this.#quantisation === precision;
    return candidates.flatMap((device) => {
      const forms: [PoolPrecision, number][] = [["full", weightBytes]];
      if (allows("fp16") && device.isAccelerator && variants.fp16 !== undefined) forms.push(["fp16", variants.fp16]);
      if (allows("int8") && variants.int8 !== undefined) forms.push(["int8", variants.int8]);
      return forms.flatMap(([precision, weights]) => {
        const estimate = Math.ceil(LOAD_FACTOR * weights + activationBytes * (precision === "fp16" ? HALF : 1));
        const bytes = this.#measured.get(`${precision} ${key}`) ?? estimate;
        return bytes <= device.budget ? [{ device, precision, bytes }] : [];
      });
    });
  }

  #closed(): HubError {
    return new HubError({ code: "INVALID_STATE", message: "The model pool is closed." });
  }

  #tooLarge({ key, loader }: Entry): HubError {
    const bytes = Math.ceil(LOAD_FACTOR * loader.weightBytes + (loader.activationBytes ?? 0));
    const budgets = this.#devices.map(({ id, budget }) => `${id} ${budget}`).join(", ");
    return new HubError({
      code: "MODEL_TOO_LARGE",
      message: `"${key}" needs ${bytes} bytes; the whole budgets are: ${budgets}. Choose a smaller model, or allow a reduced form (quantisation).`,
      details: { key, bytes, budgets: Object.fromEntries(this.#devices.map(({ id, budget }) => [id, budget])) },
    });
  }

  /**
   * Room for the first of a device's placements, or for a reduced form of it.
   * @returns null where it must wait: for a load on the device, for memory that is being freed, or for a lease to end
   */
  #makeRoom(placements: readonly Placement[]): Placement | null {
    const { device, bytes } = placements[0]!;
    const there = [...this.#entries.values()].filter((entry) => entry.device === device);
    const isBusy = [...this.#entries.values()].some(
      (entry) => (entry.state === "loading" && entry.device === device) || entry.target === device,
    );
    if (isBusy) return null;
    const free = device.budget - this.#used(device);
    if (bytes <= free) return placements[0]!;
    const leaving = there.filter(({ state }) => state === "disposing" || state === "moving");
    const missing = bytes - free - leaving.reduce((sum, entry) => sum + entry.bytes, 0);
    if (missing <= 0) return null;

    const idle = this.#idle(device);
    const expired = chooseVictims(
      idle.filter((entry) => this.#isExpired(entry)),
      missing,
    );
    if (expired !== null) {
      for (const entry of expired) void this.#drop(entry, "expirations");
      return null;
    }
    if (device.isAccelerator && this.#offload(idle, missing)) return null;
    const reduced = placements.find((placement) => placement.bytes <= free);
    if (reduced !== undefined) return reduced;
    // Where full precision has no chance while others are in use, a reduced form may.
    for (const placement of placements) {
      const victims = chooseVictims(idle, missing - (bytes - placement.bytes));
      if (victims === null) continue;
      for (const entry of victims) void this.#drop(entry, "evictions");
      return null;
    }
    return null;
  }

  /** Moves idle models to the cpu for `bytes` on an accelerator. @returns false, and moves nothing, if that is not enough */
  #offload(idle: readonly Entry[], bytes: number): boolean {
    const cpu = this.#devices.find(({ isAccelerator }) => !isAccelerator);
    if (cpu === undefined) return false;
    const victims = chooseVictims(
      idle.filter(({ loaded }) => loaded?.moveTo !== undefined),
      bytes,
    );
    if (victims === null) return false;
    const needed = victims.reduce((sum, entry) => sum + entry.bytes, 0);
    if (needed > cpu.budget - this.#used(cpu)) return false;
    for (const entry of victims) void this.#move(entry, cpu);
    return true;
  }

  async #load(entry: Entry, { device, precision, bytes }: Placement): Promise<void> {
    Object.assign(entry, { state: "loading", device, precision, bytes });
    const start = this.#clock.now();
    let loaded: LoadedModel<unknown>;
    try {
      await this.#beforeLoad();
      loaded = await entry.loader.load({ device: device.id, precision });
    } catch (error) {
      this.#counts.failures++;
      this.#remove(entry, error);
      this.#pump();
      return;
    }
    this.#counts.loads++;
    Object.assign(entry, { loaded, reloadMs: this.#clock.now() - start, lastUse: this.#clock.now() });
    if (loaded.bytes !== null) {
      entry.bytes = loaded.bytes;
      this.#measured.set(`${precision} ${entry.key}`, loaded.bytes);
    }
    const over = this.#used(device) - device.budget;
    if (over > 0) {
      // The estimate was too low. What is idle makes room; otherwise the model goes back to the queue with what it really needs.
      const victims = chooseVictims(this.#idle(device), over);
      if (victims === null) {
        await this.#unload(entry);
        Object.assign(entry, { state: "waiting", device: null, bytes: 0, loaded: null });
        if (entry.users === 0 || this.#isClosed) this.#remove(entry, this.#closed());
        else this.#queue.unshift(entry);
        this.#pump();
        return;
      }
      await Promise.all(victims.map((victim) => this.#drop(victim, "evictions")));
    }
    entry.state = "resident";
    entry.ready.resolve();
    if (this.#isClosed && entry.users === 0) void this.#drop(entry, "evictions");
    this.#pump();
  }

  async #unload({ loaded }: Entry): Promise<void> {
    try {
      await loaded?.dispose();
    } catch {
      // Nobody can do anything about it: the reservation is released, the count tells.
      this.#counts.failures++;
    }
  }

  async #drop(entry: Entry, count: "evictions" | "expirations"): Promise<void> {
    entry.state = "disposing";
    this.#counts[count]++;
    await this.#unload(entry);
    this.#remove(entry, null);
    this.#pump();
  }

  /** The bytes count on both devices until the move has ended. */
  async #move(entry: Entry, to: Device): Promise<void> {
    entry.state = "moving";
    entry.target = to;
    try {
      await entry.loaded!.moveTo!(to.id);
      this.#counts.offloads++;
      entry.device = to;
      entry.target = null;
      entry.state = "resident";
    } catch {
      // Where it is now nobody knows: it goes, and who asks for it loads it again.
      this.#counts.failures++;
      await this.#drop(entry, "evictions");
    }
    const { moved } = entry;
    entry.moved = deferred();
    moved.resolve();
    if (this.#isClosed && entry.state === "resident") void this.#drop(entry, "evictions");
    this.#pump();
  }
}

interface Deferred<Value> {
  readonly promise: Promise<Value>;
  resolve(value: Value): void;
  reject(error: unknown): void;
}

function deferred<Value>(): Deferred<Value> {
  let resolve!: (value: Value) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<Value>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}
