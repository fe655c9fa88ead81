/**
 * The list of connected clients: pages that were loaded, kept true by the changes that stream in.
 * Pure, so that every order in which pages and changes can arrive is tested without a browser.
 */

import type { ClientRow, ClientsChange, ClientsPage } from "./hub-api";

export interface ListedClient {
  readonly row: ClientRow;
  /** Came by itself rather than with a page, which the list shows for a moment. */
  readonly arrived: boolean;
}

export interface ClientsState {
  readonly prefix: string;
  readonly listed: readonly ListedClient[];
  readonly next: string | null;
  /** Rows were dropped to stay below the ceiling, so `next` no longer continues the list. */
  readonly trimmed: boolean;
  readonly loading: boolean;
  /** A page has come, so that an empty list means an empty hub. */
  readonly loaded: boolean;
  /** Changes that came while a page was under way: it may be older than they are. */
  readonly held: readonly ClientsChange[];
}

export type ClientsAction =
  | { readonly type: "load"; readonly prefix: string }
  | { readonly type: "page"; readonly page: ClientsPage; readonly append: boolean }
  | { readonly type: "failed" }
  | { readonly type: "changed"; readonly change: ClientsChange }
  | { readonly type: "refreshed"; readonly rows: readonly ClientRow[] };

/** As many rows as a browser lays out without effort, whatever the hub holds. */
export const MAX_ROWS = 500;
const REFILL_BELOW = 25;

export const NO_CLIENTS: ClientsState = {
  prefix: "",
  listed: [],
  next: null,
  trimmed: false,
  loading: false,
  loaded: false,
  held: [],
};

export function clientsReducer(state: ClientsState, action: ClientsAction): ClientsState {
  switch (action.type) {
    case "load":
      return { ...state, prefix: action.prefix, loading: true, held: [] };
    case "page":
      return takePage(state, action.page, action.append);
    case "failed":
      return { ...state, loading: false, held: [] };
    case "changed":
      return applyChange(
        state.loading ? { ...state, held: [...state.held, action.change] } : state,
        action.change,
      );
    case "refreshed":
      return { ...state, listed: refreshed(state.listed, action.rows) };
  }
}

/** Rows left on their own (by departures, or by trimming and then departures) while others wait unseen. */
export const needsRefill = (state: ClientsState): boolean =>
  !state.loading && state.listed.length < REFILL_BELOW && (state.next !== null || state.trimmed);

function takePage(state: ClientsState, page: ClientsPage, append: boolean): ClientsState {
  const rows = page.clients.map((row) => ({ row, arrived: false }));
  const listed = append ? withoutDoubles([...state.listed, ...rows]) : rows;
  const loaded = bound({
    ...state,
    listed,
    next: page.next,
    trimmed: append && state.trimmed,
    loading: false,
    loaded: true,
    held: [],
  });
  return state.held.reduce(applyChange, loaded);
}

/**
 * How far the listed clients are behind. The rows may be older than what the stream has said since, so they bring
 * nobody in and change nothing else; who is as far behind as before keeps the object, and is not drawn again.
 */
function refreshed(listed: readonly ListedClient[], rows: readonly ClientRow[]): ListedClient[] {
  const byId = new Map(rows.map((row) => [row.clientId, row]));
  return listed.map((client) => {
    const { pending, resyncs } = byId.get(client.row.clientId) ?? client.row;
    const same = pending === client.row.pending && resyncs === client.row.resyncs;
    return same ? client : { ...client, row: { ...client.row, pending, resyncs } };
  });
}

function withoutDoubles(listed: readonly ListedClient[]): ListedClient[] {
  return [...new Map(listed.map((client) => [client.row.clientId, client])).values()];
}

function applyChange(state: ClientsState, change: ClientsChange): ClientsState {
  const byId = new Map(state.listed.map((client) => [client.row.clientId, client]));
  for (const clientId of change.removed) byId.delete(clientId);
  for (const row of change.changed) {
    if (!row.clientId.startsWith(state.prefix)) continue;
    const known = byId.get(row.clientId);
    if (known !== undefined) byId.set(row.clientId, { row, arrived: known.arrived });
    else if (!isBeyondTheEnd(state, row)) byId.set(row.clientId, { row, arrived: true });
  }
  const listed = [...byId.values()].sort((a, b) => b.row.connectedAt - a.row.connectedAt);
  return bound({ ...state, listed });
}

/** Its place is on a page that was not loaded yet. */
function isBeyondTheEnd(state: ClientsState, row: ClientRow): boolean {
  const last = state.listed.at(-1);
  const more = state.next !== null || state.trimmed;
  return more && last !== undefined && row.connectedAt < last.row.connectedAt;
}

function bound(state: ClientsState): ClientsState {
  if (state.listed.length <= MAX_ROWS) return state;
  return { ...state, listed: state.listed.slice(0, MAX_ROWS), trimmed: true };
}
