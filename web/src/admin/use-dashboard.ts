import { useReducer, useRef, useState } from "react";
import type { SseEvent } from "../lib/sse-parser";
import { type EventSourceHandle, useEventSource } from "../lib/use-event-source";
import { ADMIN_STREAM, type ClientsChange, type Stats } from "./hub-api";
import { NO_SAMPLES, type Samples, addStats } from "./samples";
import { type ClientList, useClientList } from "./use-client-list";

export interface Dashboard extends EventSourceHandle {
  readonly beat: number;
  readonly samples: Samples;
  /** From whichever event spoke last. */
  readonly totalClients: number;
  readonly clients: ClientList;
}

/** Everything the dashboard shows, fed by the hub's own stream. */
export function useDashboard(): Dashboard {
  const [samples, takeStats] = useReducer(addStats, NO_SAMPLES);
  const [beat, setBeat] = useState(0);
  const [totalClients, setTotalClients] = useState(0);
  const clients = useClientList();
  const wereSlow = useRef(false);

  const take = (event: SseEvent) => {
    if (event.name === "stats") {
      const stats = JSON.parse(event.data) as Stats;
      takeStats(stats);
      setTotalClients(stats.totalClients);
      // Once more when the last of them has caught up.
      if (stats.slowReaders > 0 || wereSlow.current) clients.refresh();
      wereSlow.current = stats.slowReaders > 0;
    } else if (event.name === "clients") {
      const change = JSON.parse(event.data) as ClientsChange;
      clients.apply(change);
      setTotalClients(change.total);
    } else if (event.name === "__connected") clients.reload();
    else if (event.name === "__heartbeat") setBeat((count) => count + 1);
  };

  return { ...useEventSource(ADMIN_STREAM, take), beat, samples, totalClients, clients };
}
