import { loadavg } from "node:os";
import { DataType, encodeModel, type Model, type Node } from "@seg/onnx";
import { interleave } from "./measure.js";
import { type NativeSession, openRuntime } from "./open-runtime.js";
import type { BenchResult } from "./result.js";

const node = (opType: string, inputs: string[], output: string): Node => ({
  opType,
  domain: "",
  name: output,
  inputs,
  outputs: [output],
  attributes: [],
});

function model(nodes: Node[], inputs: readonly string[], outputs: readonly string[], length: number): Model {
  const values = (names: readonly string[]) =>
    names.map((name) => ({ name, dataType: DataType.FLOAT, shape: [length] }));
  return {
    irVersion: 8,
    producerName: "bench",
    opsetImport: [{ domain: "", version: 17 }],
    metadataProps: [],
    graph: { name: "g", nodes, initializers: [], inputs: values(inputs), outputs: values(outputs), valueInfo: [] },
  };
}

const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
const nulls = (outputs: readonly string[]): Record<string, null> =>
  Object.fromEntries(outputs.map((name) => [name, null]));

/** Microseconds per unit: the slope between a small and a large case, run in turns. */
async function slope(
  small: { count: number; call: () => unknown },
  large: { count: number; call: () => unknown },
  repeat: number,
): Promise<number> {
  const times = await interleave({ small: small.call, large: large.call }, { repeat });
  return (1000 * (times.large.cpuMs - times.small.cpuMs)) / (large.count - small.count);
}

/** What a run of onnxruntime-node costs besides its kernels (one thread): per run, feed, fetch, node and megabyte of output. */
export async function runtime(): Promise<BenchResult[]> {
  const ort = openRuntime();
  const sessions: NativeSession[] = [];
  const load = (m: Model): NativeSession => {
    const session = ort.load(encodeModel(m), "basic");
    sessions.push(session);
    return session;
  };
  const scalar = () => ort.tensor(Float32Array.of(1));

  const base = load(model([node("Neg", ["x0"], "y0")], ["x0"], ["y0"], 1));
  const baseFeeds = { x0: scalar() };
  const run = await interleave({ run: () => base.run(baseFeeds, { y0: null }, {}) }, { repeat: 2000 });

  // n feeds into one Sum: the kernel adds scalars.
  const feedCase = (count: number) => {
    const inputs = names("x", count);
    const session = load(model([node("Sum", inputs, "y0")], inputs, ["y0"], 1));
    const feeds = Object.fromEntries(inputs.map((name) => [name, scalar()]));
    return { count, call: () => session.run(feeds, { y0: null }, {}) };
  };
  const feed = await slope(feedCase(20), feedCase(220), 200);

  // One graph of 220 results; 20 or all of them are fetched.
  const fetchNames = names("y", 220);
  const fetchSession = load(
    model(
      fetchNames.map((name) => node("Neg", ["x0"], name)),
      ["x0"],
      fetchNames,
      1,
    ),
  );
  const fetchCase = (count: number) => {
    const fetches = nulls(fetchNames.slice(0, count));
    return { count, call: () => fetchSession.run(baseFeeds, fetches, {}) };
  };
  const fetch = await slope(fetchCase(20), fetchCase(220), 200);
  const givenCase = (count: number) => {
    const fetches = Object.fromEntries(fetchNames.slice(0, count).map((name) => [name, scalar()]));
    return { count, call: () => fetchSession.run(baseFeeds, fetches, {}) };
  };
  const given = await slope(givenCase(20), givenCase(220), 200);

  const nodeCase = (count: number) => {
    const outputs = [...names("t", count - 1), "y0"];
    const nodes = outputs.map((name, i) => node(i % 2 === 0 ? "Sin" : "Neg", [i === 0 ? "x0" : outputs[i - 1]!], name));
    const session = load(model(nodes, ["x0"], ["y0"], 1));
    return { count, call: () => session.run(baseFeeds, { y0: null }, {}) };
  };
  const perNode = await slope(nodeCase(50), nodeCase(1050), 100);

  // The same kernel with its result read or only its sum: the difference is the copy of the output.
  const outputCase = (megabytes: number) => {
    const length = (megabytes * 1e6) / 4;
    const session = load(
      model([node("Neg", ["x0"], "y0"), node("ReduceSum", ["y0"], "y1")], ["x0"], ["y0", "y1"], length),
    );
    const feeds = { x0: ort.tensor(new Float32Array(length)) };
    return {
      kept: () => session.run(feeds, { y1: null }, {}),
      copied: () => session.run(feeds, { y0: null, y1: null }, {}),
    };
  };
  const perMegabyte: [number, number][] = [];
  for (const megabytes of [1, 4, 16]) {
    const times = await interleave(outputCase(megabytes), { repeat: megabytes > 4 ? 5 : 20 });
    perMegabyte.push([megabytes, (times.copied.cpuMs - times.kept.cpuMs) / megabytes]);
  }
  for (const session of sessions) session.dispose();

  const note = (reference: string) =>
    `reference ${reference}; 1 thread, load ${loadavg()[0]!.toFixed(1)}, onnxruntime ${ort.version}`;
  const row = (name: string, value: number, unit: string, reference: string): BenchResult => ({
    bench: "runtime",
    case: name,
    value,
    unit,
    note: note(reference),
  });
  return [
    row("run of one node (feed and fetch included)", 1000 * run.run.cpuMs, "CPU-us", "8 + 2 + 4"),
    row("per feed", feed, "CPU-us", "2"),
    row("per fetch, allocated by the runtime", fetch, "CPU-us", "4"),
    row("per fetch into a given tensor", given, "CPU-us", "6"),
    row("per scalar node", perNode, "CPU-us", "0.35"),
    ...perMegabyte.map(([megabytes, ms]) => row(`per MB of output (${megabytes} MB)`, ms, "CPU-ms/MB", "0.4-0.65")),
  ];
}
