/** Who is signed in. */
export interface Caller {
  readonly name: string;
  readonly role: "user" | "admin";
}

const TOKEN = "seg-hub-token";
const THEME = "seg-hub-theme";

/** The token lives in this tab only and is gone when the tab closes. */
export const storedToken = (): string | null => sessionStorage.getItem(TOKEN);
export const storeToken = (token: string): void => sessionStorage.setItem(TOKEN, token);
export const forgetToken = (): void => sessionStorage.removeItem(TOKEN);

export type Theme = "system" | "light" | "dark";

export function storedTheme(): Theme {
  const theme = localStorage.getItem(THEME);
  return theme === "light" || theme === "dark" ? theme : "system";
}

export function applyTheme(theme: Theme): void {
  if (theme === "system") {
    localStorage.removeItem(THEME);
    delete document.documentElement.dataset["theme"];
  } else {
    localStorage.setItem(THEME, theme);
    document.documentElement.dataset["theme"] = theme;
  }
}
