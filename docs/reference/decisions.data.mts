import { createContentLoader } from "vitepress";

interface Decision {
  readonly number: string;
  readonly title: string;
  readonly url: string;
}

declare const data: Decision[];

export { data };

/** Number and title of every decision record, from its file name and heading. */
export default createContentLoader("decisions/*.md", {
  includeSrc: true,
  transform: (pages): Decision[] =>
    pages
      .map(({ url, src = "" }) => ({
        number: url.match(/(\d{4})-/)?.[1] ?? "",
        title: (src.match(/^# (.+)$/m)?.[1] ?? url).replace(/^\d{4}\s*/, ""),
        url,
      }))
      .sort((a, b) => a.number.localeCompare(b.number)),
});
