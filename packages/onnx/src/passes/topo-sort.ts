import { CheckFailedError } from "../errors.js";
import type { Model, Node } from "../model.js";
import { usedNames } from "../scopes.js";
import type { PassResult } from "./pass.js";

/**
 * Orders the nodes of the main graph so that every value is produced before it is used; otherwise the given order is kept.
 *
 * @throws {@link CheckFailedError} if the graph has a cycle.
 */
export function topoSort(model: Model): PassResult {
  const { nodes } = model.graph;
  const producers = new Map<string, Node>();
  for (const node of nodes) for (const output of node.outputs) if (output !== "") producers.set(output, node);
  const state = new Map<Node, "open" | "done">();
  const sorted: Node[] = [];
  // An explicit stack: graphs are deep enough to exhaust the call stack.
  for (const root of nodes) {
    if (state.has(root)) continue;
    const stack: { node: Node; names: IterableIterator<string> }[] = [];
    const push = (node: Node): void => {
      state.set(node, "open");
      stack.push({ node, names: usedNames(node).values() });
    };
    push(root);
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const { value: name, done } = top.names.next();
      if (done) {
        state.set(top.node, "done");
        sorted.push(top.node);
        stack.pop();
        continue;
      }
      const before = producers.get(name as string);
      if (!before || state.get(before) === "done") continue;
      if (state.get(before) === "open") {
        const message = `Node "${before.name || before.opType}" depends on its own output through "${name}".`;
        const issue = {
          code: "not-sorted",
          severity: "error",
          message,
          node: before.name,
          subject: name as string,
        } as const;
        throw new CheckFailedError({ issues: [issue] });
      }
      push(before);
    }
  }
  if (sorted.every((node, i) => node === nodes[i])) return { model, changed: false };
  return { model: { ...model, graph: { ...model.graph, nodes: sorted } }, changed: true };
}
