import { useReducer, useState } from "react";
import type { SseEvent } from "../lib/sse-parser";
import { type EventSourceHandle, useEventSource } from "../lib/use-event-source";
import { ADMIN_STREAM, type ClientsChange, type Stats } from "./hub-api";
import { NO_SAMPLES, type Samples, addStats } from "./samples";
import { type ClientList, useClientList } from "./use-client-list";

export interface Dashboard extends EventSourceHandle {
  readonly beat: number;
  readonly samples: Samples;
  readonly clients: ClientList;
}

/** Everything the dashboard shows, fed by the hub's own stream. */
export function useDashboard(): Dashboard {
  const [samples, takeStats] = useReducer(addStats, NO_SAMPLES);
  const [beat, setBeat] = useState(0);
  const clients = useClientList();

  const take = (event: SseEvent) => {
    if (event.name === "stats") takeStats(JSON.parse(event.data) as Stats);
    else if (event.name === "clients") clients.apply(JSON.parse(event.data) as ClientsChange);
    else if (event.name === "__connected") clients.reload();
    else if (event.name === "__heartbeat") setBeat((count) => count + 1);
  };

  return { ...useEventSource(ADMIN_STREAM, take), beat, samples, clients };
}
