/** Appends to the list of a key, which it makes when absent. */
export function appendTo<V>(lists: Record<string, V[]>, key: string, value: V): void {
  const list = lists[key];
  if (list === undefined) lists[key] = [value];
  else list.push(value);
}
