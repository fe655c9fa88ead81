/** Light or dark: the system's choice until the visitor makes one, which is kept in this browser. */

export type Theme = "light" | "dark";

const KEY = "tidings-theme";

/** Storage can be forbidden altogether; the page then follows the system. */
function stored(): Theme | null {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : null;
  } catch {
    return null;
  }
}

export function currentTheme(): Theme {
  return stored() ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

export function applyStoredTheme(): void {
  const theme = stored();
  if (theme !== null) document.documentElement.dataset["theme"] = theme;
}

export function chooseTheme(theme: Theme): void {
  document.documentElement.dataset["theme"] = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // The choice then lasts as long as the page.
  }
}
