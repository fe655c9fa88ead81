/** Whether the visitor may see the dashboard, and how that changes. Pure: the calls are in hub-api.ts. */

import { type Problem, type Result, needsCredentials } from "../lib/http";

/** What the hub says of this browser. */
export interface Standing {
  /** false: the hub has no credentials, whoever reaches it may do everything. */
  readonly needed: boolean;
  readonly admin: boolean;
  /** Ms since 1970; null when it is not this page's login that admits. */
  readonly until: number | null;
}

export type Session =
  | { readonly kind: "asking" }
  /** `until` is null where there is nothing to log out of. */
  | { readonly kind: "in"; readonly until: number | null }
  | { readonly kind: "out"; readonly trying: boolean; readonly problem: string | null };

export const ASKING: Session = { kind: "asking" };

export const out = (problem: string | null, trying = false): Session => ({ kind: "out", trying, problem });

/** A hub that cannot be asked is looked at all the same: the dashboard itself says what is wrong, and tries again. */
export function fromStanding(answer: Result<Standing>): Session {
  if (!answer.ok) return needsCredentials(answer.problem.status) ? out(null) : { kind: "in", until: null };
  const { needed, admin, until } = answer.value;
  return !needed || admin ? { kind: "in", until } : out(null);
}

export function fromLogin(answer: Result<{ until: number }>): Session {
  return answer.ok ? { kind: "in", until: answer.value.until } : out(complaint(answer.problem));
}

/** When the hub no longer answers a page that was logged in. */
export function lost(session: Session, status: number): Session {
  if (session.kind !== "in" || !needsCredentials(status)) return session;
  return out(session.until === null ? null : "The login is over. Enter the key again.");
}

const WORDS: Readonly<Record<string, string>> = {
  invalid_key: "The hub does not know this key.",
  forbidden: "This key is right, but it is not an admin's.",
  token_expired: "This token has expired.",
  origin: "The hub takes no logins from this address. Open the dashboard under the hub's own name.",
};

function complaint({ code, detail }: Problem): string {
  return WORDS[code] ?? detail;
}
