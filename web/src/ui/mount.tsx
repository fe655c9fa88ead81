import { type ReactNode, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { applyStoredTheme } from "../lib/theme";
import "../styles/tokens.css";
import "../styles/base.css";
import "../styles/controls.css";
import "../styles/shell.css";

export function mount(page: ReactNode): void {
  applyStoredTheme();
  const root = document.getElementById("root");
  if (root === null) throw new Error("The page has no #root.");
  createRoot(root).render(<StrictMode>{page}</StrictMode>);
}
