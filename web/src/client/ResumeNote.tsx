import { plural } from "../lib/format";
import { Notice } from "../ui/Notice";
import type { Greeting } from "./use-inbox";

/** What the hub could make up for since this client was last connected. */
export function ResumeNote({ greeting }: { greeting: Greeting }) {
  if (greeting.resume === "incomplete") {
    return <Notice tone="warning">Back again, but some notifications from the time in between may be missing.</Notice>;
  }
  if (greeting.resume === "complete") {
    return <Notice tone="good">Back again, nothing was missed: {plural(greeting.replayed, "notification")} came after.</Notice>;
  }
  return (
    <p className="soft small break">
      A fresh start: you see what is sent from now on. Connection <code>{greeting.connectionId}</code>
    </p>
  );
}
