import { GraphView } from "../graph-view.js";
import type { Model } from "../model.js";

/** What a pass returns: `model` is the given object itself if nothing changed. */
export interface PassResult {
  readonly model: Model;
  readonly changed: boolean;
}

/** A rewrite of a model that keeps what it computes. The input is never mutated; unchanged parts are shared. */
export type Pass = (model: Model) => PassResult;

/** Runs `edit` on the main graph. */
export function editGraph(model: Model, edit: (view: GraphView) => void): PassResult {
  const view = new GraphView(model.graph);
  edit(view);
  const graph = view.build();
  return graph === model.graph ? { model, changed: false } : { model: { ...model, graph }, changed: true };
}
