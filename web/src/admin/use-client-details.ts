import { useCallback, useEffect, useState } from "react";
import type { Result } from "../lib/http";
import { type ClientDetails, type ClientRow, getClient } from "./hub-api";

/** The connections of one client: loaded when opened, and anew whenever the stream says that it changed. */
export function useClientDetails(row: ClientRow) {
  const [details, setDetails] = useState<Result<ClientDetails> | null>(null);
  const [turn, setTurn] = useState(0);
  const refresh = useCallback(() => setTurn((count) => count + 1), []);

  useEffect(() => {
    const request = new AbortController();
    getClient(row.clientId, request.signal).then(setDetails, () => undefined);
    return () => request.abort();
    // `row` is a new object for every change of the client.
  }, [row, turn]);

  return { details, refresh };
}
