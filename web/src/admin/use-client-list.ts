import { useCallback, useEffect, useReducer, useRef, useState } from "react";
import type { Problem } from "../lib/http";
import { type ClientsState, MAX_ROWS, NO_CLIENTS, clientsReducer, needsRefill } from "./clients-store";
import { type ClientsChange, listClients } from "./hub-api";

export interface ClientList {
  readonly state: ClientsState;
  readonly problem: Problem | null;
  readonly canLoadMore: boolean;
  /** Loads the first page anew. Calls in quick succession become one. */
  readonly reload: () => void;
  readonly loadMore: () => void;
  readonly setPrefix: (prefix: string) => void;
  readonly apply: (change: ClientsChange) => void;
  /** Asks how far the listed clients are behind: the stream tells when they come and go, not how they read. */
  readonly refresh: () => void;
}

/** However fast the hub's population turns over, the list is not asked for more often than this. */
const RELOAD_MS = 1_000;
const REFRESH_MS = 10_000;

export function useClientList(): ClientList {
  const [state, dispatch] = useReducer(clientsReducer, NO_CLIENTS);
  const [problem, setProblem] = useState<Problem | null>(null);
  const request = useRef(new AbortController());
  const prefix = useRef("");

  const load = useCallback(async (after: string | null) => {
    request.current.abort();
    const mine = new AbortController();
    request.current = mine;
    dispatch({ type: "load", prefix: prefix.current });
    const result = await listClients({ prefix: prefix.current, after }, mine.signal).catch(() => null);
    if (mine.signal.aborted || result === null) return;
    setProblem(result.ok ? null : result.problem);
    dispatch(result.ok ? { type: "page", page: result.value, append: after !== null } : { type: "failed" });
  }, []);

  const reload = useThrottled(load);
  const { next } = state;
  const loadMore = useCallback(() => void load(next), [load, next]);
  const setPrefix = useCallback(
    (wanted: string) => {
      prefix.current = wanted;
      void load(null);
    },
    [load],
  );
  const apply = useCallback(
    (change: ClientsChange) => {
      dispatch({ type: "changed", change });
      if (change.truncated) reload();
    },
    [reload],
  );

  const shown = state.listed.length;
  const refreshing = useRef(false);
  const refresh = useCallback(async () => {
    if (refreshing.current || shown === 0) return;
    refreshing.current = true;
    const query = { prefix: prefix.current, after: null, limit: shown };
    const result = await listClients(query, AbortSignal.timeout(REFRESH_MS)).catch(() => null);
    refreshing.current = false;
    if (result?.ok) dispatch({ type: "refreshed", rows: result.value.clients });
  }, [shown]);

  const refill = needsRefill(state);
  useEffect(() => {
    if (refill) reload();
  }, [refill, reload]);
  useEffect(() => () => request.current.abort(), []);

  const canLoadMore = next !== null && !state.trimmed && state.listed.length < MAX_ROWS;
  return { state, problem, canLoadMore, reload, loadMore, setPrefix, apply, refresh: () => void refresh() };
}

/** The first call runs at once; those that follow too soon share one later run. */
function useThrottled(load: (after: string | null) => Promise<void>): () => void {
  const earliest = useRef(0);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    if (timer.current !== undefined) return;
    timer.current = setTimeout(
      () => {
        timer.current = undefined;
        earliest.current = Date.now() + RELOAD_MS;
        void load(null);
      },
      Math.max(0, earliest.current - Date.now()),
    );
  }, [load]);
}
