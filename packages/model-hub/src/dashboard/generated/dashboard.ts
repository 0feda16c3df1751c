export const DASHBOARD_HTML = "";
export const DASHBOARD_STYLE = "";
export const DASHBOARD_SCRIPT = "";
