import { plural } from "../lib/format";
import { needsCredentials } from "../lib/http";
import { CredentialsNotice } from "../ui/CredentialsNotice";
import { Notice } from "../ui/Notice";
import type { NotifyAnswer } from "./hub-api";
import type { Sent } from "./use-sender";

/** What the hub said to the last notification. The region is always there, so that it is announced. */
export function Answer({ last }: { last: Sent | null }) {
  return (
    <div role="status" data-testid="answer">
      {last !== null && <Words key={last.key} sent={last} />}
    </div>
  );
}

function Words({ sent: { result } }: { sent: Sent }) {
  if (result.ok) return <Accepted answer={result.value} />;
  const { status, title, detail } = result.problem;
  if (needsCredentials(status)) return <CredentialsNotice detail={detail} />;
  return (
    <Notice tone="bad">
      <strong>Not sent{status > 0 && ` (${status} ${title})`}.</strong> {detail}
    </Notice>
  );
}

function Accepted({ answer }: { answer: NotifyAnswer }) {
  return (
    <Notice tone={answer.sent ? "good" : "warning"}>
      <strong>{answer.sent ? `Sent to ${plural(answer.connections, "connection")}.` : "Accepted, but nobody is connected."}</strong>
      <dl className="answer-facts mono">
        <Fact term="ok" value={String(answer.ok)} />
        <Fact term="sent" value={String(answer.sent)} />
        <Fact term="connections" value={String(answer.connections)} />
        <Fact term="id" value={answer.id} />
      </dl>
    </Notice>
  );
}

function Fact({ term, value }: { term: string; value: string }) {
  return (
    <div>
      <dt>{term}</dt>
      <dd className="break">{value}</dd>
    </div>
  );
}
