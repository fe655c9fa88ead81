import { useCallback, useEffect, useRef, useState } from "react";
import { prepend } from "../lib/bounded";
import { prettyJson } from "../lib/json-pretty";
import type { SseEvent } from "../lib/sse-parser";
import { type EventSourceHandle, useEventSource } from "../lib/use-event-source";

export interface Notification {
  readonly key: number;
  readonly name: string;
  readonly payload: string;
  readonly id: string;
  readonly at: number;
}

/** What the hub says of itself when the stream begins. */
export interface Greeting {
  readonly clientId: string;
  readonly connectionId: string;
  readonly resume: "fresh" | "complete" | "incomplete";
  readonly replayed: number;
}

export interface Inbox extends EventSourceHandle {
  readonly greeting: Greeting | null;
  readonly notifications: readonly Notification[];
  /** Everything received since the page opened or the list was cleared, shown or not. */
  readonly received: number;
  /** Counts heartbeats. */
  readonly beat: number;
  readonly clear: () => void;
}

export const MAX_NOTIFICATIONS = 500;
/** Events that come together are drawn together, so that a flood does not freeze the page. */
const FLUSH_MS = 50;

export function useInbox(url: string | null): Inbox {
  const [greeting, setGreeting] = useState<Greeting | null>(null);
  const [beat, setBeat] = useState(0);
  const list = useBatchedList();

  const { state, retryNow } = useEventSource(url, (event) => {
    if (event.name === "__connected") setGreeting(JSON.parse(event.data) as Greeting);
    else if (event.name === "__heartbeat") setBeat((count) => count + 1);
    else list.add(event);
  });

  return { state, retryNow, greeting, beat, ...list };
}

function useBatchedList() {
  const [notifications, setNotifications] = useState<readonly Notification[]>([]);
  const [received, setReceived] = useState(0);
  const waiting = useRef<Notification[]>([]);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const count = useRef(0);

  const flush = useCallback(() => {
    const batch = waiting.current;
    waiting.current = [];
    timer.current = undefined;
    setReceived(count.current);
    setNotifications((shown) => prepend(batch, shown, MAX_NOTIFICATIONS));
  }, []);

  const add = useCallback(
    (event: SseEvent) => {
      count.current += 1;
      waiting.current = prepend([notificationOf(event)], waiting.current, MAX_NOTIFICATIONS);
      timer.current ??= setTimeout(flush, FLUSH_MS);
    },
    [flush],
  );

  const clear = useCallback(() => {
    waiting.current = [];
    count.current = 0;
    setReceived(0);
    setNotifications([]);
  }, []);

  useEffect(() => () => clearTimeout(timer.current), []);
  return { notifications, received, add, clear };
}

let lastKey = 0;

function notificationOf(event: SseEvent): Notification {
  lastKey += 1;
  return { key: lastKey, name: event.name, payload: prettyJson(event.data), id: event.id, at: Date.now() };
}
