import type { ReactNode } from "react";

export type Tone = "plain" | "good" | "warning" | "bad";

export function Notice({ tone, children }: { tone: Tone; children: ReactNode }) {
  return <div className={`notice is-${tone}`}>{children}</div>;
}
