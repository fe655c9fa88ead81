import { useCallback, useState } from "react";
import { prepend } from "../lib/bounded";
import type { Result } from "../lib/http";
import { type Draft, requestBody } from "./draft";
import { type NotifyAnswer, notify } from "./hub-api";

export interface Sent {
  readonly key: number;
  readonly at: number;
  readonly draft: Draft;
  readonly result: Result<NotifyAnswer>;
}

export interface Sender {
  readonly sending: boolean;
  readonly sent: readonly Sent[];
  readonly send: (draft: Draft) => void;
}

const MAX_SENT = 50;

export function useSender(): Sender {
  const [sending, setSending] = useState(false);
  const [sent, setSent] = useState<readonly Sent[]>([]);

  const send = useCallback(async (draft: Draft) => {
    setSending(true);
    const result = await notify(requestBody(draft));
    setSending(false);
    setSent((log) => prepend([{ key: (log[0]?.key ?? 0) + 1, at: Date.now(), draft, result }], log, MAX_SENT));
  }, []);

  return { sending, sent, send };
}
