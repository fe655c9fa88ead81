import { type FormEvent, type RefObject, useState } from "react";
import { flushSync } from "react-dom";
import { GUIDE_EVENTS } from "../lib/names";
import { focusFirstInvalid } from "../ui/focus-invalid";
import { Field } from "../ui/Field";
import { Answer } from "./Answer";
import type { ListedClient } from "./clients-store";
import { type Draft, type DraftProblems, checkDraft } from "./draft";
import { TargetChoice } from "./TargetChoice";
import { TargetField } from "./TargetField";
import type { Sender } from "./use-sender";

interface SendNotificationProps {
  readonly draft: Draft;
  readonly onChange: (draft: Draft) => void;
  readonly sender: Sender;
  readonly formRef: RefObject<HTMLFormElement | null>;
  readonly suggestions: readonly ListedClient[];
}

export function SendNotification({ draft, onChange, sender, formRef, suggestions }: SendNotificationProps) {
  const [tried, setTried] = useState(false);
  const problems = checkDraft(draft);
  const change = (parts: Partial<Draft>) => onChange({ ...draft, ...parts });

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const sound = Object.values(problems).every((wrong) => wrong === null);
    // Drawn at once, so that the field that is wrong is marked before it is looked for.
    flushSync(() => setTried(!sound));
    if (!sound) focusFirstInvalid(formRef.current);
    else if (!sender.sending) sender.send(draft);
  };

  return (
    <section className="card" aria-labelledby="send-notification">
      <h2 id="send-notification">Send Notification</h2>
      <form ref={formRef} className="send" onSubmit={submit} noValidate>
        <TargetChoice target={draft.target} onChange={(target) => change({ target })} />
        <TargetField draft={draft} problems={problems} tried={tried} change={change} suggestions={suggestions} />
        <EventField draft={draft} problems={problems} change={change} />
        <PayloadField draft={draft} problems={problems} change={change} />
        <button type="submit" className="button is-main" aria-disabled={sender.sending}>
          Send Notification
        </button>
      </form>
      <Answer last={sender.sent[0] ?? null} />
    </section>
  );
}

interface FieldProps {
  readonly draft: Draft;
  readonly problems: DraftProblems;
  readonly change: (parts: Partial<Draft>) => void;
}

function EventField({ draft, problems, change }: FieldProps) {
  return (
    <>
      <Field label="Event" problem={problems.event}>
        {(control) => (
          <input
            {...control}
            list="event-names"
            value={draft.event}
            onChange={(event) => change({ event: event.target.value })}
            autoCapitalize="none"
            autoComplete="off"
            spellCheck={false}
          />
        )}
      </Field>
      <datalist id="event-names">
        {GUIDE_EVENTS.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </>
  );
}

function PayloadField({ draft, problems, change }: FieldProps) {
  return (
    <Field label="Payload (JSON)" problem={problems.payload} hint="Valid JSON.">
      {(control) => (
        <textarea
          {...control}
          value={draft.payload}
          onChange={(event) => change({ payload: event.target.value })}
          autoCapitalize="none"
          spellCheck={false}
        />
      )}
    </Field>
  );
}
