/** The hub's administrative calls, as api.md of the hub words them. */

import { type Result, requestJson } from "../lib/http";
import type { Standing } from "./session";

export interface ClientRow {
  readonly clientId: string;
  readonly name?: string | null;
  readonly connections: number;
  readonly topics: readonly string[];
  readonly connectedAt: number;
  readonly lastSeen: number;
  /** Events that wait for its connections, all together. */
  readonly pending: number;
  /** How often these were too slow, and lost something. */
  readonly resyncs: number;
}

export interface ClientsPage {
  readonly clients: readonly ClientRow[];
  readonly total: number;
  readonly next: string | null;
}

export interface ConnectionRow {
  readonly connectionId: string;
  readonly address: string;
  readonly userAgent: string | null;
  readonly protocol: string;
  /** `jti` of the token by which it came. */
  readonly tokenId?: string;
  readonly topics: readonly string[];
  readonly connectedAt: number;
  readonly lastSeen: number;
  /** In bytes. */
  readonly pending: number;
  readonly resyncs: number;
}

export interface ClientDetails {
  readonly clientId: string;
  readonly connections: readonly ConnectionRow[];
}

/** Data of the `clients` event of the dashboard's stream. */
export interface ClientsChange {
  readonly changed: readonly ClientRow[];
  readonly removed: readonly string[];
  /** More changed than fitted: the list has to be loaded again. */
  readonly truncated: boolean;
  readonly total: number;
}

export interface Limit {
  readonly name: string;
  /** 0 = none. */
  readonly limit: number;
  /** null: a limit of one client or one request, which has refusals only. */
  readonly used: number | null;
  readonly refused: number;
}

/** Data of the `stats` event of the dashboard's stream; counters run since the hub started. */
export interface Stats {
  readonly ts: number;
  readonly totalConnections: number;
  readonly totalClients: number;
  /** Streams of clients whose socket is full. */
  readonly slowReaders: number;
  readonly published: number;
  readonly delivered: number;
  readonly uptimeMs: number;
  readonly version: string;
  readonly node: string;
  readonly draining: boolean;
  readonly limits: readonly Limit[];
}

export interface NotifyAnswer {
  readonly ok: boolean;
  readonly sent: boolean;
  readonly clientId: string | null;
  readonly connections: number;
  readonly id: string;
}

export const getStanding = (signal: AbortSignal): Promise<Result<Standing>> =>
  requestJson("/api/sse/admin/session", { signal });

export const login = (key: string): Promise<Result<{ until: number }>> =>
  requestJson("/api/sse/admin/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ key }),
  });

export const logout = (): Promise<Result<{ ok: boolean }>> => requestJson("/api/sse/admin/logout", { method: "POST" });

export const ADMIN_STREAM = "/api/sse/admin/stream";
export const PAGE_SIZE = 100;

export function listClients(
  query: { prefix: string; after: string | null; limit?: number },
  signal: AbortSignal,
): Promise<Result<ClientsPage>> {
  const search = new URLSearchParams({ limit: String(query.limit ?? PAGE_SIZE) });
  if (query.prefix !== "") search.set("prefix", query.prefix);
  if (query.after !== null) search.set("after", query.after);
  return requestJson<ClientsPage>(`/api/sse/clients?${search}`, { signal });
}

const clientPath = (clientId: string) => `/api/sse/clients/${encodeURIComponent(clientId)}`;

export const getClient = (clientId: string, signal: AbortSignal): Promise<Result<ClientDetails>> =>
  requestJson<ClientDetails>(clientPath(clientId), { signal });

export function disconnectClient(
  clientId: string,
  banSeconds: number,
): Promise<Result<{ disconnected: number }>> {
  const query = banSeconds > 0 ? `?ban=${banSeconds}` : "";
  return requestJson(clientPath(clientId) + query, { method: "DELETE" });
}

export const disconnectConnection = (connectionId: string): Promise<Result<{ disconnected: number }>> =>
  requestJson(`/api/sse/connections/${encodeURIComponent(connectionId)}`, { method: "DELETE" });

/** `body` is text on purpose: the payload in it must reach the hub as it was typed. */
export const notify = (body: string): Promise<Result<NotifyAnswer>> =>
  requestJson("/api/sse/notify", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
  });
