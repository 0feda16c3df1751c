import { CheckpointFormatError, UnsafePickleError } from "../errors.js";
import { isAllowedGlobal, reduceGlobal, toStorage } from "./globals.js";
import { PickleGlobal, PickleObject } from "./pickle-values.js";

/** Containers within containers; Python's own recursion limit. */
const MAX_DEPTH = 1_000;
/** Entries of the memo, which also bounds the stack. */
const MAX_MEMO = 10_000_000;
/** Opcodes of one pickle. The largest published checkpoints need some hundred thousand. */
const MAX_OPCODES = 50_000_000;

/** Bytes of a module or class name. */
const MAX_NAME = 4096;

class Mark {}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const latin1 = new TextDecoder("latin1");

export interface UnpickleOptions {
  /** For messages. */
  readonly path: string | null;
  /** Prefixes of class names that become inert objects. */
  readonly allowModuleClasses?: readonly string[];
  /** Throws where the bytes end within the pickle. @defaultValue CheckpointFormatError */
  readonly onEnd?: () => never;
}

/**
 * Reads one pickle (protocols 2 to 4) without running anything: an opcode that would call a name builds inert data for the few names that
 * weight files need, and every other name is refused. dict, OrderedDict and Counter become Map, list and tuple Array, set Set, None null;
 * integers outside the safe range stay bigint.
 *
 * @param start - where the pickle begins in `bytes`
 * @returns the value and the position behind STOP
 * @throws {@link UnsafePickleError}, {@link CheckpointFormatError}
 */
export function unpickle(
  bytes: Uint8Array,
  { path, allowModuleClasses = [], onEnd }: UnpickleOptions,
  start = 0,
): { value: unknown; end: number } {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stack: unknown[] = [];
  const memo = new Map<number, unknown>();
  const depths = new WeakMap<object, number>();
  let marks = 0;
  let at = start;
  let opcodeAt = start;

  const fail = (reason: string): never => {
    throw new CheckpointFormatError({ reason: `${reason} at byte ${opcodeAt} of the pickle`, path });
  };
  const refuse = (global: string): never => {
    throw new UnsafePickleError({ global, offset: opcodeAt, path });
  };
  const early = (): never => (onEnd ? onEnd() : fail("the pickle ends early"));
  const take = (length: number): number => {
    const from = at;
    if (!(length >= 0) || from + length > bytes.length) early();
    at = from + length;
    return from;
  };
  const text = (length: number): string => {
    const from = take(length);
    try {
      return utf8.decode(bytes.subarray(from, at));
    } catch {
      return fail("a string is not UTF-8");
    }
  };
  const line = (): string => {
    const end = bytes.indexOf(10, at);
    if (end < 0 && bytes.length - at < MAX_NAME) return early();
    if (end < 0 || end - at > MAX_NAME) return fail("a name does not end");
    const name = text(end - at);
    at++;
    return name;
  };
  const size8 = (): number => {
    const value = data.getBigUint64(take(8), true);
    return value > BigInt(bytes.length) ? early() : Number(value);
  };
  const push = (value: unknown): void => {
    if (stack.length >= MAX_MEMO) fail("the stack is too large");
    stack.push(value);
  };
  const pop = (): unknown => {
    if (stack.length === 0) return fail("the stack is empty");
    const value = stack.pop();
    return value instanceof Mark ? fail("a mark is used as a value") : value;
  };
  const popToMark = (): unknown[] => {
    const from = stack.findLastIndex((value) => value instanceof Mark);
    if (from < 0) return fail("a mark is missing");
    marks--;
    const items = stack.splice(from);
    items.shift();
    return items;
  };
  const top = (): unknown => {
    const value = stack.at(-1);
    return value === undefined || value instanceof Mark ? fail("the stack is empty") : value;
  };
  const depthOf = (value: unknown): number =>
    typeof value === "object" && value !== null ? (depths.get(value) ?? 0) : 0;
  /** Notes that `container` now holds `items`. */
  const hold = <T extends object>(container: T, items: readonly unknown[]): T => {
    let depth = depths.get(container) ?? 1;
    for (const item of items) depth = Math.max(depth, depthOf(item) + 1);
    if (depth > MAX_DEPTH) fail(`containers are nested deeper than ${MAX_DEPTH}`);
    depths.set(container, depth);
    return container;
  };
  const setItems = (items: unknown[]): void => {
    const target = top();
    if (items.length % 2 !== 0) fail("a key has no value");
    // Objects of allowed classes may derive from dict; their items do not matter.
    if (target instanceof PickleObject) return;
    if (!(target instanceof Map)) return void fail("items are set on something that is no dict");
    for (let i = 0; i < items.length; i += 2) target.set(items[i], items[i + 1]);
    hold(target, items);
  };
  const appendItems = (items: unknown[]): void => {
    const target = top();
    if (target instanceof PickleObject) return;
    if (!Array.isArray(target) || Object.isFrozen(target))
      return void fail("items are appended to something that is no list");
    for (const item of items) target.push(item);
    hold(target, items);
  };
  /** Tuples are frozen, so that nothing appends to them. */
  const tuple = (items: unknown[]): readonly unknown[] => Object.freeze(hold(items, items));
  const isClassAllowed = (name: string) => allowModuleClasses.some((prefix) => name.startsWith(prefix));
  const pushGlobal = (module: string, name: string): void => {
    const full = `${module}.${name}`;
    if (!isAllowedGlobal(full) && !isClassAllowed(full)) refuse(full);
    push(new PickleGlobal(full));
  };
  const call = (callable: unknown, args: unknown): unknown => {
    if (!(callable instanceof PickleGlobal)) return fail("something that is no name is called");
    if (!Array.isArray(args)) return fail("arguments are no tuple");
    if (!isAllowedGlobal(callable.name)) return hold(new PickleObject(callable.name, args), args);
    const result = reduceGlobal(callable.name, args, fail);
    return typeof result === "object" && result !== null ? hold(result, args) : result;
  };
  const longValue = (length: number): number | bigint => {
    const from = take(length);
    // Two's complement, little-endian.
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[from + i]!);
    if (length > 0 && bytes[at - 1]! & 128) value -= 1n << BigInt(8 * length);
    const isSafe = value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
    return isSafe ? Number(value) : value;
  };
  const put = (index: number): void => {
    if (memo.size >= MAX_MEMO) fail("the memo is too large");
    memo.set(index, top());
  };
  const get = (index: number): void => {
    if (!memo.has(index)) fail(`memo entry ${index} does not exist`);
    push(memo.get(index));
  };

  for (let opcodes = 0; opcodes < MAX_OPCODES; opcodes++) {
    opcodeAt = at;
    const opcode = bytes[take(1)]!;
    switch (opcode) {
      case 0x80: {
        const protocol = bytes[take(1)]!;
        if (protocol > 5) fail(`pickle protocol ${protocol}`);
        break;
      }
      case 0x2e: {
        // STOP
        const value = pop();
        if (stack.length > 0) fail("values are left on the stack");
        return { value, end: at };
      }
      case 0x95: // FRAME
        take(8);
        break;
      case 0x28: // MARK
        if (++marks > MAX_DEPTH) fail(`containers are nested deeper than ${MAX_DEPTH}`);
        push(new Mark());
        break;
      case 0x4e:
        push(null);
        break;
      case 0x88:
        push(true);
        break;
      case 0x89:
        push(false);
        break;
      case 0x4a: // BININT
        push(data.getInt32(take(4), true));
        break;
      case 0x4b: // BININT1
        push(bytes[take(1)]!);
        break;
      case 0x4d: // BININT2
        push(data.getUint16(take(2), true));
        break;
      case 0x8a: // LONG1
        push(longValue(bytes[take(1)]!));
        break;
      case 0x47: // BINFLOAT
        push(data.getFloat64(take(8), false));
        break;
      case 0x58: // BINUNICODE
        push(text(data.getUint32(take(4), true)));
        break;
      case 0x8c: // SHORT_BINUNICODE
        push(text(bytes[take(1)]!));
        break;
      case 0x8d: // BINUNICODE8
        push(text(size8()));
        break;
      case 0x55: {
        // SHORT_BINSTRING: a Python 2 string, whose encoding is unknown
        const length = bytes[take(1)]!;
        const from = take(length);
        push(latin1.decode(bytes.subarray(from, at)));
        break;
      }
      case 0x43: // SHORT_BINBYTES
      case 0x42: {
        // BINBYTES
        const length = opcode === 0x43 ? bytes[take(1)]! : data.getUint32(take(4), true);
        const from = take(length);
        push(bytes.slice(from, at));
        break;
      }
      case 0x29:
        push(tuple([]));
        break;
      case 0x5d:
        push(hold<unknown[]>([], []));
        break;
      case 0x7d:
        push(hold(new Map(), []));
        break;
      case 0x8f:
        push(hold(new Set(), []));
        break;
      case 0x85:
      case 0x86:
      case 0x87: {
        // TUPLE1 to TUPLE3
        const items: unknown[] = [];
        for (let i = opcode - 0x84; i > 0; i--) items.unshift(pop());
        push(tuple(items));
        break;
      }
      case 0x74:
        push(tuple(popToMark()));
        break;
      case 0x61:
        appendItems([pop()]);
        break;
      case 0x65:
        appendItems(popToMark());
        break;
      case 0x73: {
        const value = pop();
        setItems([pop(), value]);
        break;
      }
      case 0x75:
        setItems(popToMark());
        break;
      case 0x90: {
        // ADDITEMS
        const items = popToMark();
        const target = top();
        if (!(target instanceof Set)) return fail("items are added to something that is no set");
        for (const item of items) target.add(item);
        hold(target, items);
        break;
      }
      case 0x71: // BINPUT
        put(bytes[take(1)]!);
        break;
      case 0x72: // LONG_BINPUT
        put(data.getUint32(take(4), true));
        break;
      case 0x94: // MEMOIZE
        put(memo.size);
        break;
      case 0x68: // BINGET
        get(bytes[take(1)]!);
        break;
      case 0x6a: // LONG_BINGET
        get(data.getUint32(take(4), true));
        break;
      case 0x63: {
        // GLOBAL
        const module = line();
        pushGlobal(module, line());
        break;
      }
      case 0x93: {
        // STACK_GLOBAL
        const [name, module] = [pop(), pop()];
        if (typeof name !== "string" || typeof module !== "string") return fail("an imported name is no string");
        pushGlobal(module, name);
        break;
      }
      case 0x52: // REDUCE
      case 0x81: {
        // NEWOBJ
        const args = pop();
        push(call(pop(), args));
        break;
      }
      case 0x62: {
        // BUILD: attributes of OrderedDict (_metadata) and tensors do not matter here.
        const state = pop();
        const target = top();
        if (target instanceof PickleObject) {
          target.state = state;
          hold(target, [state]);
        }
        break;
      }
      case 0x51: // BINPERSID
        push(toStorage(pop(), fail));
        break;
      case 0x69: {
        // INST
        const module = line();
        return refuse(`${module}.${line()}`);
      }
      case 0x6f:
        return refuse("the class of an OBJ opcode");
      case 0x92:
        return refuse("the class of a NEWOBJ_EX opcode");
      case 0x82:
      case 0x83:
      case 0x84:
        return refuse("a name of the extension registry");
      default:
        return fail(`opcode 0x${opcode.toString(16).padStart(2, "0")} is not one of those that weight files need`);
    }
  }
  return fail(`more than ${MAX_OPCODES} opcodes`);
}
