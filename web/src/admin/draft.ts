/** What is about to be sent: its checks, and its request body. */

import { checkJson } from "../lib/json-check";
import { checkClientId, checkEventName, checkTopic } from "../lib/names";

export type TargetKind = "client" | "topic" | "everyone";

export interface Draft {
  readonly target: TargetKind;
  readonly clientId: string;
  readonly topic: string;
  readonly event: string;
  readonly payload: string;
}

export interface DraftProblems {
  readonly clientId: string | null;
  readonly topic: string | null;
  readonly event: string | null;
  readonly payload: string | null;
}

export const FIRST_DRAFT: Draft = {
  target: "client",
  clientId: "",
  topic: "",
  event: "notification",
  payload: '{\n  "message": "Hello!"\n}',
};

export function checkDraft(draft: Draft): DraftProblems {
  return {
    clientId: draft.target === "client" ? checkClientId(draft.clientId) : null,
    topic: draft.target === "topic" ? checkTopic(draft.topic) : null,
    event: checkEventName(draft.event),
    payload: checkPayload(draft.payload),
  };
}

function checkPayload(payload: string): string | null {
  const result = checkJson(payload);
  return result.ok ? null : `Line ${result.line}, column ${result.column}: ${result.message}.`;
}

/** The payload goes in as it was typed: a round trip through JSON.parse() would change its numbers. */
export function requestBody(draft: Draft): string {
  return `{${targetField(draft)},"event":${JSON.stringify(draft.event)},"payload":${draft.payload}}`;
}

function targetField(draft: Draft): string {
  if (draft.target === "client") return `"clientId":${JSON.stringify(draft.clientId)}`;
  if (draft.target === "topic") return `"topic":${JSON.stringify(draft.topic)}`;
  return '"broadcast":true';
}

export function targetLabel(draft: Draft): string {
  if (draft.target === "client") return draft.clientId;
  return draft.target === "topic" ? `topic ${draft.topic}` : "everyone";
}
