import { describe, expect, it } from "vitest";
import {
  type ClientsAction,
  type ClientsState,
  MAX_ROWS,
  NO_CLIENTS,
  clientsReducer,
  needsRefill,
} from "./clients-store";
import type { ClientRow, ClientsChange } from "./hub-api";

const row = (clientId: string, connectedAt: number, connections = 1): ClientRow => ({
  clientId,
  name: null,
  connections,
  topics: [],
  connectedAt,
  lastSeen: connectedAt,
  pending: 0,
  resyncs: 0,
});

const load = (prefix = ""): ClientsAction => ({ type: "load", prefix });
const page = (clients: ClientRow[], next: string | null = null, append = false): ClientsAction => ({
  type: "page",
  page: { clients, total: clients.length, next },
  append,
});
const change = (parts: Partial<ClientsChange>): ClientsAction => ({
  type: "changed",
  change: { changed: [], removed: [], truncated: false, total: 1, ...parts },
});

const after = (...actions: ClientsAction[]): ClientsState => actions.reduce(clientsReducer, NO_CLIENTS);
const ids = (state: ClientsState) => state.listed.map((client) => client.row.clientId);

describe("the list", () => {
  it("shows newcomers first and lets the departed go", () => {
    const state = after(
      load(),
      page([row("b", 20), row("a", 10)]),
      change({ changed: [row("c", 30)], removed: ["a"], total: 2 }),
    );
    expect(ids(state)).toEqual(["c", "b"]);
    expect(state.listed.map((client) => client.arrived)).toEqual([true, false]);
  });

  it("takes the new state of a known client", () => {
    const state = after(load(), page([row("a", 10)]), change({ changed: [row("a", 10, 3)] }));
    expect(state.listed).toEqual([{ row: row("a", 10, 3), arrived: false }]);
  });

  it("learns how far the listed are behind, and nothing else, from rows that may be old", () => {
    const before = after(load(), page([row("b", 20, 2), row("a", 10)]));
    const rows = [{ ...row("b", 20), pending: 7, resyncs: 1 }, row("a", 10), row("gone", 5)];
    const state = clientsReducer(before, { type: "refreshed", rows });
    expect(state.listed[0]).toEqual({ row: { ...row("b", 20, 2), pending: 7, resyncs: 1 }, arrived: false });
    expect(state.listed[1]).toBe(before.listed[1]);
    expect(ids(state)).toEqual(["b", "a"]);
  });

  it("keeps a client that left and came back within one change", () => {
    const state = after(load(), page([row("a", 10)]), change({ changed: [row("a", 30)], removed: ["a"] }));
    expect(ids(state)).toEqual(["a"]);
  });

  it("applies changes that overtook the page", () => {
    const state = after(
      load(),
      change({ changed: [row("b", 20)] }),
      change({ removed: ["a"], total: 1 }),
      page([row("a", 10)]),
    );
    expect(ids(state)).toEqual(["b"]);
    expect(state.held).toEqual([]);
  });

  it("keeps to its prefix", () => {
    const state = after(load("us"), page([row("user", 10)]), change({ changed: [row("bot", 20), row("use", 30)] }));
    expect(ids(state)).toEqual(["use", "user"]);
  });

  it("leaves a client for the page that it belongs to", () => {
    const state = after(load(), page([row("b", 20)], "b"), change({ changed: [row("old", 10), row("new", 30)] }));
    expect(ids(state)).toEqual(["new", "b"]);
  });

  it("has no doubles when a page repeats a row", () => {
    const state = after(load(), page([row("b", 20), row("a", 10)], "a"), load(), page([row("a", 10), row("0", 5)], null, true));
    expect(ids(state)).toEqual(["b", "a", "0"]);
  });

  it("stays as it was when a load fails", () => {
    const state = after(load(), page([row("a", 10)]), load(), { type: "failed" });
    expect(ids(state)).toEqual(["a"]);
    expect(state.loading).toBe(false);
  });
});

describe("the ceiling", () => {
  const many = Array.from({ length: 10_000 }, (_, index) => row(`c${index}`, 10_000 + index));

  it("drops the oldest and remembers that it did", () => {
    const state = after(load(), page([]), change({ changed: many, total: 10_000 }));
    expect(state.listed).toHaveLength(MAX_ROWS);
    expect(ids(state)[0]).toBe("c9999");
    expect(state.trimmed).toBe(true);
  });

  it("asks for a refill when what was shown has gone", () => {
    const full = after(load(), page([]), change({ changed: many }));
    expect(needsRefill(full)).toBe(false);
    const emptied = clientsReducer(full, change({ removed: ids(full), total: 9_500 }));
    expect(needsRefill(emptied)).toBe(true);
    expect(needsRefill(clientsReducer(emptied, load()))).toBe(false);
  });

  it("asks for none when everything is shown", () => {
    expect(needsRefill(after(load(), page([row("a", 1)])))).toBe(false);
  });
});
