import { escapeMarkup } from "@seg/coco-dataset/preview";

/** Markup that is known to be safe; only {@link html} and {@link raw} make it. */
export class SafeHtml {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  toString(): string {
    return this.text;
  }
}

/** What may stand in an {@link html} template; null, undefined and false print nothing. */
export type HtmlValue = SafeHtml | string | number | null | undefined | false | readonly HtmlValue[];

function print(value: HtmlValue): string {
  if (value === null || value === undefined || value === false) return "";
  if (value instanceof SafeHtml) return value.text;
  if (typeof value === "string") return escapeMarkup(value);
  if (typeof value === "number") return String(value);
  return value.map(print).join("");
}

/**
 * Template tag: every value is escaped unless it is {@link SafeHtml} already, so forgetting to escape is not possible.
 * @example html`<td>${"a < b"}</td>`.text // "<td>a &lt; b</td>"
 */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): SafeHtml {
  let text = strings[0]!;
  values.forEach((value, i) => {
    text += print(value) + strings[i + 1]!;
  });
  return new SafeHtml(text);
}

/** Our own constant markup (style sheets, symbols), taken as it is. Never for text that comes from data. */
export const raw = (text: string): SafeHtml => new SafeHtml(text);
