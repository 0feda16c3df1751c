import type { Node } from "./model.js";

/** INT attribute as a number. */
export function intAttribute(node: Node, name: string): number | undefined;
export function intAttribute(node: Node, name: string, fallback: number): number;
export function intAttribute(node: Node, name: string, fallback?: number): number | undefined {
  const attribute = node.attributes.find((a) => a.name === name);
  return attribute?.type === "INT" ? Number(attribute.value) : fallback;
}

/** INTS attribute as numbers. */
export function intsAttribute(node: Node, name: string): number[] | undefined {
  const attribute = node.attributes.find((a) => a.name === name);
  return attribute?.type === "INTS" ? attribute.value.map(Number) : undefined;
}

/** FLOAT attribute. */
export function floatAttribute(node: Node, name: string, fallback: number): number {
  const attribute = node.attributes.find((a) => a.name === name);
  return attribute?.type === "FLOAT" ? attribute.value : fallback;
}

/** STRING attribute. */
export function stringAttribute(node: Node, name: string, fallback: string): string {
  const attribute = node.attributes.find((a) => a.name === name);
  return attribute?.type === "STRING" ? attribute.value : fallback;
}
