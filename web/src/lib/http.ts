/** Requests to the hub: the parsed answer, or its problem (RFC 9457) in one shape. Never throws, save for an abort. */

export interface Problem {
  /** 0 when there was no answer at all. */
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly code: string;
}

export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: Problem };

export const needsCredentials = (status: number): boolean => status === 401 || status === 403;

export async function requestJson<T>(path: string, init: RequestInit = {}): Promise<Result<T>> {
  try {
    const response = await fetch(path, { cache: "no-store", ...init });
    if (!response.ok) return { ok: false, problem: await problemOf(response) };
    return { ok: true, value: (await response.json()) as T };
  } catch (error) {
    if (init.signal?.aborted) throw error;
    return { ok: false, problem: unreachable() };
  }
}

export async function problemOf(response: Response): Promise<Problem> {
  const told = await jsonOrNothing(response);
  const title = text(told["title"]) || response.statusText || `Status ${response.status}`;
  return {
    status: response.status,
    title,
    detail: text(told["detail"]) || title,
    code: text(told["code"]),
  };
}

async function jsonOrNothing(response: Response): Promise<Record<string, unknown>> {
  try {
    const body: unknown = await response.json();
    return typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");

function unreachable(): Problem {
  return { status: 0, title: "No answer", detail: "The hub cannot be reached.", code: "" };
}
