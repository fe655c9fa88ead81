// SPDX-License-Identifier: MIT
//
// The guide's hook, as printed there: const { events, isConnected } = useSSE("user-123");
import { useEffect, useState } from "react";

export function useSSE(clientId: string) {
  const [events, setEvents] = useState<any[]>([]);
  const [isConnected, setIsConnected] = useState(false);

  useEffect(() => {
    const eventSource = new EventSource(`/api/sse/subscribe/${clientId}`);

    eventSource.addEventListener("__connected", () => {
      setIsConnected(true);
    });

    eventSource.addEventListener("notification", (e) => {
      const data = JSON.parse(e.data);
      setEvents((prev) => [...prev, data]);
    });

    eventSource.onerror = () => {
      setIsConnected(false);
    };

    return () => {
      eventSource.close();
    };
  }, [clientId]);

  return { events, isConnected };
}
