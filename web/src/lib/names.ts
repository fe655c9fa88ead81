/** What the hub accepts as a name, so that a page can say what is wrong before anything is sent. */

export const GUIDE_EVENTS = [
  "notification",
  "system-alert",
  "maintenance",
  "maintenance-alert",
  "job-completed",
  "job-failed",
  "user-update",
  "message",
] as const;

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const LONE_SURROGATE = /\p{Surrogate}/u;

export const byteLength = (text: string): number => new TextEncoder().encode(text).length;

/** What is wrong with `value`, or null. */
function checkText(what: string, value: string, maxBytes: number): string | null {
  if (value === "") return `${what} is missing.`;
  if (CONTROL.test(value)) return `${what} must not contain control characters.`;
  if (LONE_SURROGATE.test(value)) return `${what} must be valid Unicode.`;
  const bytes = byteLength(value);
  return bytes > maxBytes ? `${what} is ${bytes} bytes long; ${maxBytes} are allowed.` : null;
}

export const checkClientId = (value: string): string | null => checkText("The client", value, 128);

export const checkTopic = (value: string): string | null => checkText("The topic", value, 256);

export const checkDisplayName = (value: string): string | null => checkText("The name", value, 128);

export function checkEventName(value: string): string | null {
  const wrong = checkText("The event name", value, 128);
  if (wrong !== null) return wrong;
  if (value.startsWith("__")) return "Names that begin with __ belong to the hub.";
  if (value === "open" || value === "error") return `“${value}” is EventSource's own name.`;
  return null;
}

/** A browser resolves these two as folders, even percent-encoded, so no page can address them. */
export const isAddressable = (clientId: string): boolean => clientId !== "." && clientId !== "..";
