import { useCallback, useEffect, useRef, useState } from "react";
import { HubSource, type SourceState } from "./event-source";
import type { SseEvent } from "./sse-parser";

const IDLE: SourceState = { kind: "idle" };

export interface EventSourceHandle {
  readonly state: SourceState;
  readonly retryNow: () => void;
}

/** Keeps a stream to `url` open while the component lives; null closes it. */
export function useEventSource(
  url: string | null,
  onEvent: (event: SseEvent) => void,
): EventSourceHandle {
  const [state, setState] = useState<SourceState>(IDLE);
  const source = useRef<HubSource | null>(null);
  const listener = useRef(onEvent);
  useEffect(() => {
    listener.current = onEvent;
  });

  useEffect(() => {
    if (url === null) return;
    const opened = new HubSource({
      url,
      onState: setState,
      onEvent: (event) => listener.current(event),
    });
    source.current = opened;
    opened.open();
    return () => {
      opened.close();
      source.current = null;
      setState(IDLE);
    };
  }, [url]);

  const retryNow = useCallback(() => source.current?.retryNow(), []);
  useEffect(() => {
    // A network that is back is the best moment to try; no need to sit out the pause.
    window.addEventListener("online", retryNow);
    return () => window.removeEventListener("online", retryNow);
  }, [retryNow]);

  return { state, retryNow };
}
