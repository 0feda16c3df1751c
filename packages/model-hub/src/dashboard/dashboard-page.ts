import { DASHBOARD_HTML, DASHBOARD_SCRIPT, DASHBOARD_STYLE } from "./generated/dashboard.js";

/** The dashboard as one page; its script and style for the policy that allows exactly them. */
export interface DashboardPage {
  readonly html: string;
  readonly scripts: readonly string[];
  readonly styles: readonly string[];
}

export function dashboardPage(): DashboardPage {
  const html = DASHBOARD_HTML.replace("<!--style-->", () => `<style>${DASHBOARD_STYLE}</style>`).replace(
    "<!--script-->",
    () => `<script type="module">${DASHBOARD_SCRIPT}</script>`,
  );
  return { html, scripts: [DASHBOARD_SCRIPT], styles: [DASHBOARD_STYLE] };
}
